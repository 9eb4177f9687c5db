// A text that grows, shown as Markdown. Blocks that can change no more are made once; only the last one is made anew, so
// that a step costs the same at the end of ten thousand lines as at their begin. Code that is open takes lines as they
// come. Long pieces are made in slices of time.
import { blocksOf, elementsOf } from "./markdown.js";
import { codeBlock } from "./code_block.js";
import { h } from "./dom.js";
import { Parts } from "./parts.js";

const SLICE_MS = 8; // of one frame, for blocks
const WINDOW = 1250; // characters that are looked at together, while they hold a block
const WINDOW_MAX = 10000; // of one block, before it is cut
const PART_ELEMENTS = 200; // that the browser lays out, or not, together
const PARTS_TOGETHER = 24; // in one box: what the browser does for a change it does for all boxes beside it
const FORMULA_WEIGHT = 600; // characters of text that cost as much as a formula does
const TABLE_ROWS = 12; // that are made together; the next ones are put behind them
const TABLE_MAX = 4000; // characters of one table, which the browser lays out whole: the next one has its head again
const CODE_WINDOW = 1500; // characters of code that are made together
const SURE_CHARACTERS = 16; // of a line after which it is clear what block it begins
const FENCE = /^ {0,3}(`{3,}|~{3,})([^\n`]*)\n/;
const OPEN_TEX = /^ {0,3}(?:\$\$(?![^]*\$\$)|\\\[(?![^]*\\\]))/;
const TEX_WAITS = 2000; // characters that a formula may have before it is taken for text
const ITEM = /\n(?=(?:[-*+]|\d{1,9}[.)])[ \t])/; // where one of a list that is not inside of another begins
const GROW_MS = 12; // a window that takes longer is not made larger: time may grow faster than it
const SLOW_MS = 60; // one that takes longer is shown as it is written
// A line of so many markers is none that anybody means, and each would be a level.
const NESTED = /^(?: {0,3}(?:>|[-*+]|\d{1,9}[.)])[ \t]*){16}/;

export class StreamView {
  constructor(root) {
    this.root = root;
    root.classList.add("md");
    this.source = "";
    this.at = 0; // where the part that may change begins
    this.isWhole = false;
    this.code = null; // {block, end: RegExp, isInLine: what comes next is no begin of a line} of an open fence
    this.width = WINDOW; // characters that are looked at together now
    this.table = null; // {head, body, length} of one whose first rows are made already: its head as text, where rows go
    this.tailRows = []; // of that table, made of what may change
    this.listGoesOn = false; // the items before it are made already
    this.numbered = null; // {next, mark} of the ordered list that was made last: what its next item is
    this.box = null; // of parts
    this.boxes = new Parts();
    this.boxParts = 0;
    this.part = null;
    this.parts = new Parts();
    this.partElements = 0;
    this.tail = h("div", { class: "tail" });
    this.shown = -1; // length of the source that the tail was made of
  }

  append(text) {
    this.source += text.replaceAll("\r", "");
  }

  /** What is there will not grow. */
  finish() {
    this.isWhole = true;
  }

  /** Makes what there is, for a slice of time. True: all of it is made. */
  step(ms = SLICE_MS) {
    const end = performance.now() + ms;
    do {
      if (!(this.code ? this.takeCode() : this.takeBlocks())) return true;
    } while (performance.now() < end);
    return this.shown === this.source.length && this.at === this.source.length;
  }

  /** More rows go into the table that was made last: so long its part grows. */
  rowsGoOn() {
    return this.table !== null && this.table.length < TABLE_MAX;
  }

  place() {
    if (this.part === null || (this.partElements >= PART_ELEMENTS && !this.rowsGoOn())) {
      this.tail.remove();
      this.part = h("div", { class: "part" });
      this.placeInBox(this.part);
      this.parts.begin(this.part);
      this.part.append(this.tail);
      this.partElements = 0;
    }
    return this.part;
  }

  placeInBox(part) {
    if (this.box === null || this.boxParts >= PARTS_TOGETHER) {
      this.box = h("div", { class: "parts" });
      this.root.append(this.box);
      this.boxes.begin(this.box);
      this.boxParts = 0;
    }
    this.box.append(part);
    ++this.boxParts;
  }

  freeze(fragment) {
    if (!fragment.hasChildNodes()) return; // text alone is a block too
    this.place();
    this.partElements += fragment.childNodes.length + fragment.querySelectorAll("*").length;
    this.tail.before(fragment);
  }

  clearTail() {
    this.tail.replaceChildren();
    for (const row of this.tailRows) row.remove();
    this.tailRows = [];
  }

  /** Puts rows that go on a table where they belong, and leaves the other elements. A table that is long enough begins
   * anew, with its head. */
  putRows(tokens, fragment) {
    const frame = fragment.firstElementChild;
    if (this.table === null || tokens[0]?.type !== "table" || !frame?.matches(".table")) return [];
    const rows = [...frame.querySelectorAll("tbody > tr")];
    if (rows.length > 0 && !this.rowsGoOn()) return [];
    frame.remove();
    this.table.body.append(...rows);
    return rows;
  }

  // Each takes a step and says whether there is more to do.

  takeBlocks() {
    const window = this.source.slice(this.at, this.at + this.width);
    const isEnd = this.at + window.length === this.source.length;
    if (window === "") return this.showTail([]);
    const fence = FENCE.exec(window);
    if (fence) return this.openCode(fence);
    if (NESTED.test(window)) return this.takeLine(window, isEnd);
    const { tokens, ms: firstMs } = blocksInTime(window, this.table?.head ?? "");
    let n = isEnd && this.isWhole ? tokens.length : this.countSure(tokens);
    // Code with fences is made by takeCode(); to marked it may be a paragraph until its last line is whole.
    const fenced = tokens.findIndex((token, i) => i > 0 && FENCE.test(`${token.raw}\n`)); // a blank line may follow
    if (fenced > 0) n = Math.min(n, fenced);
    if (n > 0) {
      this.takeTokens(tokens.slice(0, countAffordable(tokens, n)));
      this.table = null;
      this.width = WINDOW;
      return true;
    }
    if (tokens[0].type === "table" && this.cutTable(tokens[0])) return true;
    // A list need not grow until it is the largest block: its items are blocks of their own.
    if (!isEnd && tokens[0].type === "list" && ITEM.test(window)) return this.cutLong(false);
    // What takes long is tried again, for once may be another program's doing.
    let ms = firstMs;
    for (let n = 1; n < 3 && ms > GROW_MS; ++n) ms = Math.min(ms, blocksInTime(window, this.table?.head ?? "").ms);
    if (!isEnd && this.width < WINDOW_MAX && ms <= GROW_MS) {
      this.width *= 2;
      return true;
    }
    if (!isEnd || window.length >= WINDOW_MAX || ms > SLOW_MS) {
      if (tokens[0].type === "table" && this.cutTable(tokens[0], 1)) return true; // of long rows
      return this.cutLong(ms > SLOW_MS);
    }
    return this.showTail(tokens);
  }

  takeLine(window, isEnd) {
    const line = window.indexOf("\n") + 1;
    if (line === 0 && isEnd && !this.isWhole) return this.showTail([plain(window)]);
    this.table = null;
    this.takeTokens([plain(line > 0 ? window.slice(0, line) : window)]);
    return true;
  }

  // Blocks before the last one, where that has surely begun another.
  countSure(tokens) {
    const blockBefore = (i) => {
      while (i > 0 && tokens[i - 1].type === "space") --i;
      return i - 1;
    };
    let last = blockBefore(tokens.length);
    if (last < 1) return 0;
    const { raw } = tokens[last];
    // What has hardly begun may still go on the block before it.
    if (!raw.includes("\n") && raw.length < SURE_CHARACTERS) last = blockBefore(last);
    if (last < 1) return 0;
    // A formula may have empty lines in it: it waits for its end, for a while.
    const open = tokens.findIndex((token) => token.type === "paragraph" && OPEN_TEX.test(token.raw));
    const waits = open >= 0 && tokens.slice(open).reduce((sum, token) => sum + token.length, 0) < TEX_WAITS;
    return waits ? Math.min(last, open) : last;
  }

  takeTokens(tokens) {
    const length = tokens.reduce((sum, token) => sum + token.length, 0);
    this.clearTail();
    const fragment = this.made(tokens);
    this.putRows(tokens, fragment);
    this.freeze(fragment);
    this.numbered = numberedBy(tokens);
    this.listGoesOn = false;
    this.at += length;
    this.shown = this.at;
  }

  made(tokens) {
    if (tokens.length === 1 && tokens[0].type === "plain") {
      const fragment = document.createDocumentFragment();
      fragment.append(h("p", { class: "plain" }, tokens[0].raw));
      return fragment;
    }
    const isMore = this.listGoesOn && tokens[0].type === "list";
    // Its own numbers count for nothing where it is not the first piece, as in a list that is whole.
    if (isMore && this.numbered?.mark === markOf(tokens[0])) tokens[0].start = this.numbered.next;
    try {
      const fragment = elementsOf(Object.assign([...tokens], { links: {} }));
      if (isMore) fragment.firstElementChild?.classList.add("goes-on");
      return fragment;
    } catch {
      return this.made([plain(tokens.map((token) => token.raw).join(""))]); // nested too deeply
    }
  }

  // The rows of a table before the last line, which may be none of it yet. False where there are too few.
  cutTable(token, least = TABLE_ROWS) {
    const text = this.source.slice(this.at, this.at + token.length);
    const head = this.table?.head ?? text.split("\n", 2).join("\n") + "\n";
    const place = text.trimEnd().lastIndexOf("\n") + 1;
    const rows = text.slice(0, place).split("\n").length - (this.table ? 1 : 3);
    if (rows < least) return false;
    this.takeTokens(blocksIn(text.slice(0, place), this.table?.head ?? ""));
    const frame = this.tail.previousElementSibling;
    if (!frame?.matches(".table")) this.table = null; // it is shown as it is written
    else if (this.rowsGoOn()) this.table.length += place;
    else this.table = { head, body: frame.querySelector("tbody"), length: place };
    return true;
  }

  // One block that is longer than the window: a list is cut between its items, and anything else where a line ends.
  cutLong(isSlow) {
    const text = this.source.slice(this.at, this.at + this.width);
    const cutAt = (place) => {
      const block = text.slice(0, place);
      this.table = null;
      this.takeTokens(isSlow ? [plain(block)] : blocksIn(block));
      return true;
    };
    const item = lastMatch(text, ITEM);
    if (item > 0) {
      cutAt(item + 1);
      return (this.listGoesOn = true);
    }
    const line = text.lastIndexOf("\n");
    const place = line > 0 ? line : text.lastIndexOf(" ");
    return cutAt(place > 0 ? place + 1 : text.length);
  }

  showTail(tokens) {
    if (this.shown !== this.source.length) {
      this.place();
      this.clearTail();
      const fragment = tokens.length > 0 ? this.made(tokens) : "";
      if (fragment) this.tailRows = this.putRows(tokens, fragment);
      this.tail.append(fragment);
      this.shown = this.source.length;
    }
    return false;
  }

  openCode(fence) {
    const block = codeBlock(fence[2].trim().split(/\s/)[0].slice(0, 40));
    this.clearTail();
    this.table = null;
    this.place();
    this.tail.before(block.element);
    ++this.partElements;
    const mark = fence[1];
    this.code = { block, isInLine: false, end: new RegExp(`^ {0,3}${mark[0]}{${mark.length},}[ \\t]*(?:\\n|$)`) };
    this.at += fence[0].length;
    return true;
  }

  // Whole lines up to the fence that ends it; the last line only where it cannot become that fence.
  takeCode() {
    const { block, end } = this.code;
    const text = this.source.slice(this.at, this.at + CODE_WINDOW);
    const isEnd = this.at + text.length === this.source.length;
    let place = 0;
    while (place < text.length) {
      const next = text.indexOf("\n", place) + 1;
      if (next === 0 && !isEnd && place > 1) break; // the next step has more of this line
      const line = next > 0 ? text.slice(place, next) : text.slice(place);
      const isBegin = place > 0 || !this.code.isInLine;
      if (isBegin && end.test(line) && (next > 0 || (isEnd && this.isWhole))) {
        block.append(text.slice(0, place).replace(/\n$/, ""));
        block.close();
        this.code = null;
        this.at += place + line.length;
        this.shown = -1;
        return true;
      }
      if (next === 0 && isBegin && isEnd && !this.isWhole && /^ {0,3}[`~]*$/.test(line)) break;
      place = next > 0 ? next : text.length;
    }
    // A line break is held back: the last one before the fence is none of the code.
    let taken = text.slice(0, place);
    if (taken.endsWith("\n") && !(isEnd && this.isWhole)) taken = taken.slice(0, -1);
    block.append(taken);
    if (taken) this.code.isInLine = !taken.endsWith("\n");
    this.at += taken.length;
    this.shown = this.source.length;
    if (this.isWhole && this.at === this.source.length) {
      block.close();
      this.code = null;
      return false;
    }
    return taken.length > 0 && this.at < this.source.length;
  }
}

// What stands behind the numbers of an ordered list: another mark begins another list.
const markOf = (list) => (list.ordered ? /^\s*\d+([.)])/.exec(list.raw)?.[1] : undefined);

function numberedBy(tokens) {
  const last = tokens.filter((token) => token.type !== "space").pop();
  const mark = last?.type === "list" ? markOf(last) : undefined;
  return mark ? { next: last.start + last.items.length, mark } : null;
}

// Of blocks that are sure, how many are made in one step: at least one, and no more formulas than a frame has time for.
function countAffordable(tokens, n) {
  let weight = 0;
  for (let i = 0; i < n; ++i) {
    weight += tokens[i].length + FORMULA_WEIGHT * (tokens[i].raw.split(/\$+|\\[([]/).length >> 1);
    if (weight > WINDOW && i > 0) return i;
  }
  return n;
}

const plain = (text) => ({ type: "plain", raw: text, length: text.length });

/**
 * The blocks of a text, each with its length in it: marked makes tabs at the begin of a line four spaces before it cuts,
 * so that the length of `raw` may be another. `head` is read before the text, and counts for nothing.
 */
function blocksIn(text, head = "") {
  let tokens;
  try {
    tokens = blocksOf(head + text);
  } catch {
    return [plain(text)]; // nested too deeply
  }
  let read = -head.length; // characters of the text as marked has it
  let place = 0; // of the text as it is
  let line = 0; // where its line begins, in both
  let lineRead = 0;
  for (const token of tokens) {
    read += token.raw.length;
    const from = place;
    if (!text.includes("\t")) {
      place = Math.max(0, Math.min(read, text.length));
    } else {
      for (;;) {
        const indent = /^ *\t*/.exec(text.slice(line, line + 200))[0];
        const tabs = indent.length - indent.trimEnd().length === 0 ? 0 : indent.split("\t").length - 1;
        const end = text.indexOf("\n", line);
        const length = (end < 0 ? text.length : end + 1) - line;
        if (lineRead + length + 3 * tabs > read || end < 0) {
          place = Math.max(line, Math.min(text.length, line + read - lineRead - 3 * tabs));
          break;
        }
        line = end + 1;
        lineRead += length + 3 * tabs;
        place = line;
      }
    }
    token.length = place - from;
  }
  const last = tokens[tokens.length - 1];
  if (last) last.length += text.length - place;
  return tokens.length > 0 ? tokens : [{ type: "space", raw: text, length: text.length }];
}

// With the time that it takes.
function blocksInTime(text, head) {
  const begin = performance.now();
  const tokens = blocksIn(text, head);
  return { tokens, ms: performance.now() - begin };
}

function lastMatch(text, expression) {
  let last = -1;
  for (const match of text.matchAll(new RegExp(expression, "g"))) last = match.index;
  return last;
}
