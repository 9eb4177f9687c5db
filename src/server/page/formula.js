// A formula as KaTeX draws it, which is fetched when the page has nothing else to do, or when the first one is there. It
// builds elements itself, no markup; what it cannot read stays as it was written. Its bounds keep a hostile formula small:
// sizes, expansions, length. A formula is some eighty elements, and what the browser does for a change it often does for all
// elements of the page: those far out of sight are their source again, until they come near.
import { h } from "./dom.js";

const CHARACTERS_MAX = 4000;
const KEPT_MAX = 300; // formulas drawn lately: while an answer grows its last block is drawn again and again
const FONTS = ["KaTeX_Main", "KaTeX_Math", "KaTeX_Size1", "KaTeX_Size2"]; // that most formulas are set in
const DRAW_MS = 6; // of one frame, for formulas that come near again
const OPTIONS = { throwOnError: true, trust: false, strict: "ignore", maxSize: 12, maxExpand: 300, output: "htmlAndMathml" };

let katex = null;
let coming = null;
const waiting = new Set();
const sources = new WeakMap(); // element -> {tex, isBlock}
const returning = new Map(); // part -> its formulas that are to be drawn again
let isDrawing = false;
const kept = new Map();

function fetchKatex() {
  coming ??= import("./katex.js").then(() => {
    katex = globalThis.katex;
    for (const { element, tex, isBlock } of waiting) if (element.isConnected) draw(element, tex, isBlock);
    waiting.clear();
  }).catch(() => {}); // sources stay
  if (!document.querySelector('link[href="page/katex.css"]')) {
    document.head.append(h("link", { rel: "stylesheet", href: "page/katex.css" }));
  }
}

/** So that the first formula of an answer is drawn at once, and nothing below it moves. */
export function prepareFormulas() {
  fetchKatex();
  // Its script has been run in this task: to compile what it draws with is another one's.
  coming.then(() => new Promise((done) => setTimeout(done))).then(() => {
    formula("\\sum_k \\frac{a}{b}", true); // compiles
    return Promise.all(FONTS.map((font) => document.fonts.load(`1em ${font}`)));
  }).catch(() => {});
}

function draw(element, tex, isBlock) {
  const name = `${isBlock ? "b" : "i"}${tex}`;
  let drawn = kept.get(name);
  if (!drawn) {
    drawn = document.createElement("span");
    try {
      katex.render(tex, drawn, { ...OPTIONS, displayMode: isBlock, macros: {} });
    } catch {
      drawn = null;
    }
    if (drawn === null) return; // not TeX that it knows
    if (kept.size >= KEPT_MAX) kept.delete(kept.keys().next().value);
    kept.set(name, drawn);
  }
  element.replaceChildren(drawn.cloneNode(true));
  element.classList.add("drawn");
}

const sourceOf = (tex, isBlock) => (isBlock ? `$$${tex}$$` : `$${tex}$`);

/** For a part that the browser does not show any more: it keeps its height. */
export function putFormulasAway(part) {
  returning.delete(part);
  const drawn = part.querySelectorAll(".tex.drawn");
  if (drawn.length > 0) part.style.minHeight = part.style.containIntrinsicSize.replace("auto ", "");
  for (const element of drawn) {
    const { tex, isBlock } = sources.get(element);
    element.replaceChildren(sourceOf(tex, isBlock));
    element.classList.remove("drawn");
  }
}

/** For one that it shows again, or will soon. */
export function bringFormulasBack(part) {
  const away = part.querySelectorAll(".tex:not(.drawn)");
  if (away.length === 0) return;
  returning.set(part, [...away].reverse());
  if (!isDrawing) requestAnimationFrame(drawAgain);
  isDrawing = true;
}

function drawAgain() {
  const end = performance.now() + DRAW_MS;
  for (const [part, away] of returning) {
    while (away.length > 0) {
      if (performance.now() >= end) return requestAnimationFrame(drawAgain);
      const element = away.pop();
      const { tex, isBlock } = sources.get(element);
      if (tex.length <= CHARACTERS_MAX) draw(element, tex, isBlock);
    }
    part.style.minHeight = "";
    returning.delete(part);
  }
  isDrawing = false;
  return undefined;
}

export function formula(tex, isBlock) {
  const element = h("span", { class: isBlock ? "tex block" : "tex" }, sourceOf(tex, isBlock));
  sources.set(element, { tex, isBlock });
  if (tex.length > CHARACTERS_MAX) return element;
  if (katex) {
    draw(element, tex, isBlock);
  } else {
    waiting.add({ element, tex, isBlock });
    fetchKatex();
  }
  return element;
}
