// A formula as KaTeX draws it, which is fetched when the page has nothing else to do, or when the first one is there. It
// builds elements itself, no markup; what it cannot read stays as it was written. Its bounds keep a hostile formula small:
// sizes, expansions, length.
import { h } from "./dom.js";

const CHARACTERS_MAX = 4000;
const KEPT_MAX = 300; // formulas drawn lately: while an answer grows its last block is drawn again and again
const FONTS = ["KaTeX_Main", "KaTeX_Math", "KaTeX_Size1", "KaTeX_Size2"]; // that most formulas are set in
const OPTIONS = { throwOnError: true, trust: false, strict: "ignore", maxSize: 12, maxExpand: 300, output: "htmlAndMathml" };

let katex = null;
let coming = null;
const waiting = new Set();
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
  coming.then(() => {
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

export function formula(tex, isBlock) {
  const element = h("span", { class: isBlock ? "tex block" : "tex" }, isBlock ? `$$${tex}$$` : `$${tex}$`);
  if (tex.length > CHARACTERS_MAX) return element;
  if (katex) {
    draw(element, tex, isBlock);
  } else {
    waiting.add({ element, tex, isBlock });
    fetchKatex();
  }
  return element;
}
