// Markdown to elements. What a model writes is never markup: its HTML is shown as text, its pictures as links, and all
// that marked makes of the rest passes DOMPurify. Formulas and code become elements of our own, made without markup.
import { codeBlock } from "./code_block.js";
import { formula } from "./formula.js";

const { marked, DOMPurify } = globalThis;

const TAGS = ["a", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "span",
  "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"];
const ATTRIBUTES = ["href", "class", "start", "data-kind", "data-language"];
const HEADINGS = [0, 3, 3, 4, 5, 6, 6];
const TEX_CHARACTERS_MAX = 5000;

const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escaped = (text) => text.replace(/[&<>"']/g, (c) => ESCAPES[c]);
const isWebAddress = (href) => /^(https?:\/\/|mailto:)/i.test(href ?? "");

const link = (href, text) =>
  isWebAddress(href) ? `<a href="${escaped(href)}">${text}</a>` : text;

const renderer = {
  html: (html) => escaped(html),
  image: (href, _, text) => link(href, escaped(text || href || "")),
  link: (href, _, text) => link(href, text),
  // Those of the page stand above: its name, and who speaks.
  heading: (text, level) => `<h${HEADINGS[level]}>${text}</h${HEADINGS[level]}>\n`,
  code: (code, info) => `<pre data-language="${escaped((info ?? "").split(/\s/)[0].slice(0, 40))}">${escaped(code)}</pre>\n`,
  checkbox: (isChecked) => (isChecked ? "☑ " : "☐ "),
  // White space only: marked has no class for the alignment of a cell.
  tablecell: (content, { header, align }) => {
    const tag = header ? "th" : "td";
    return `<${tag}${align ? ` class="to-${escaped(align)}"` : ""}>${content}</${tag}>`;
  },
};

// \[...\] and $$...$$ as blocks; \(...\), $$...$$ and $...$ in lines. A single $ must hug its formula, and no digit may
// follow it, so that prices stay prices.
const BLOCK_TEX = /^ {0,3}(?:\$\$([^$]+?)\$\$|\\\[([\s\S]+?)\\\])[ \t]*(?:\n|$)/;
const LINE_TEX = /^(?:\$\$([^$\n]+?)\$\$|\\\(((?:[^\\\n]|\\[^)\n])+)\\\)|\\\[((?:[^\\\n]|\\[^\]\n])+)\\\]|\$((?!\s)(?:[^$\\\n]|\\[^\n])*?[^\s\\$]|(?!\s)[^\s\\$])\$(?!\d))/;

const texTag = (tex, kind) => `<span data-kind="${kind}">${escaped(tex)}</span>`;

const extensions = [
  {
    name: "texBlock",
    level: "block",
    start: (source) => source.match(/\n {0,3}(?:\$\$|\\\[)/)?.index,
    tokenizer(source) {
      const match = source.slice(0, TEX_CHARACTERS_MAX).match(BLOCK_TEX);
      if (match) return { type: "texBlock", raw: match[0], tex: match[1] ?? match[2] };
    },
    renderer: (token) => `<p>${texTag(token.tex, "tex-block")}</p>`,
  },
  {
    name: "texLine",
    level: "inline",
    start: (source) => source.match(/\$|\\\(|\\\[/)?.index,
    tokenizer(source) {
      const match = source.slice(0, TEX_CHARACTERS_MAX).match(LINE_TEX);
      if (!match) return undefined;
      const isBlock = match[1] !== undefined || match[3] !== undefined;
      return { type: "texLine", raw: match[0], isBlock, tex: match[1] ?? match[2] ?? match[3] ?? match[4] };
    },
    renderer: (token) => texTag(token.tex, token.isBlock ? "tex-block" : "tex"),
  },
];

// Products and powers: 3*2, 24*(3, )*4, 2*x, 2**3. Their signs stand between two factors, where Markdown would see emphasis.
// Two signs before a bracket are the end of bold: **24**(a note).
const FACTORS = /(?<=\d|[)\]]|(?<!\p{L})[A-Za-z])(?:[*_](?=[\d([])|\*\*(?=\d))|(?<=[\d)\]])\*(?=[A-Za-z])/gu;
let read = { masked: "", factors: "" }; // once for all signs of a paragraph

function withoutFactors(masked) {
  if (read.masked !== masked) read = { masked, factors: masked.replace(FACTORS, (signs) => "x".repeat(signs.length)) };
  return read.factors;
}

const tokenizer = {
  // `masked` ends with the source, with that blinded which ends no emphasis.
  emStrong(source, masked, before) {
    const factors = withoutFactors(masked);
    if (factors[masked.length - source.length] !== masked[masked.length - source.length]) return undefined;
    return marked.Tokenizer.prototype.emStrong.call(this, source, factors, before);
  },
};

marked.use({ renderer, extensions, tokenizer, gfm: true, breaks: false, mangle: false, headerIds: false, pedantic: false });

/** Tokens of blocks, each with `raw`, the source that it was made of; together they are the whole source. */
export const blocksOf = (source) => marked.lexer(source);

// Of each kind of block one. Each is made twice: expressions that are used again are compiled anew.
const SAMPLES = ["# a\n\n**b** *c* `d` [e](https://f.g)\n\n> h\n", "- a\n- b\n\n1. c\n", "| a |\n|---|\n| b |\n", "```cpp\nint a;\n```\n"];

let nWarm = 0;

/** Has the browser compile what blocks are made with, a kind at a time: a frame of an answer has no time for it. False where
 * that is done. */
export function warmUp() {
  if (nWarm === 2 * SAMPLES.length) return false;
  elementsOf(Object.assign(blocksOf(SAMPLES[nWarm++ % SAMPLES.length]), { links: {} }));
  return true;
}

/** Elements for tokens of blocksOf(). */
export function elementsOf(tokens) {
  const fragment = DOMPurify.sanitize(marked.parser(tokens), {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  });
  for (const anchor of fragment.querySelectorAll("a")) {
    anchor.target = "_blank";
    anchor.rel = "noopener noreferrer";
  }
  for (const place of fragment.querySelectorAll("[data-kind]")) {
    place.replaceWith(formula(place.textContent, place.dataset.kind === "tex-block"));
  }
  for (const place of fragment.querySelectorAll("pre")) {
    const block = codeBlock(place.dataset.language ?? "");
    block.append(place.textContent);
    block.close();
    place.replaceWith(block.element);
  }
  for (const list of fragment.querySelectorAll("ol")) {
    // Room for its longest number: what stands out of the text's column is cut off.
    const digits = String(list.start + list.children.length - 1).length;
    if (digits > 1) list.style.paddingInlineStart = `${(0.9 + 0.65 * digits).toFixed(2)}em`;
  }
  for (const table of fragment.querySelectorAll("table")) {
    const frame = document.createElement("div");
    frame.className = "table";
    frame.tabIndex = 0;
    table.replaceWith(frame);
    frame.append(table);
  }
  return fragment;
}
