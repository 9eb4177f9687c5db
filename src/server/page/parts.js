// Parts of a long text that the browser need not lay out while they are out of sight. A part gets there only when it is
// out of the window, and with the very height that it has: nothing that is seen moves by it.
const AWAY = 100; // pixels
const TOGETHER = 3; // parts that are looked at together: each time costs a frame

const grown = new Set(); // lists of parts, of which some have begun since they were looked at

export class Parts {
  constructor() {
    this.open = [];
    this.begun = 0; // since they were looked at
  }

  /** The part that grows from now on. */
  begin(part) {
    this.open.push(part);
    if (++this.begun >= TOGETHER) grown.add(this);
  }
}

/** Looks at all that is done growing; true where some of it is put out of sight. To be called where nothing has changed
 * since it was laid out: it asks for heights. */
export function settleParts() {
  const far = [];
  for (const parts of grown) {
    // To ask what is not shown for its height would have it laid out.
    if (parts.open[0].closest(".leaves")) continue;
    parts.begun = 0;
    const last = parts.open.pop();
    const open = [];
    for (const part of parts.open) {
      const { top, bottom, height } = part.getBoundingClientRect();
      if (height === 0 || (bottom > -AWAY && top < innerHeight + AWAY)) open.push(part);
      else far.push([part, height]);
    }
    parts.open = [...open, last];
  }
  grown.clear();
  for (const [part, height] of far) {
    part.style.containIntrinsicSize = `auto ${height}px`;
    part.classList.add("far");
  }
  return far.length > 0;
}
