// Parts of a long text that the browser need not lay out while they are out of sight. A part gets there only when it is
// above the window, and with the very height that it has: nothing that is seen moves by it.
const ABOVE = -100; // pixels

export class Parts {
  constructor() {
    this.open = [];
  }

  /** The part that grows from now on. */
  begin(part) {
    this.open = this.open.filter((each) => !settled(each));
    this.open.push(part);
  }
}

function settled(part) {
  const { bottom, height } = part.getBoundingClientRect();
  if (height === 0 || bottom > ABOVE) return false;
  part.style.containIntrinsicSize = `auto ${height}px`;
  part.classList.add("far");
  return true;
}
