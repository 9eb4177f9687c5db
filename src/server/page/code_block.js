// A block of code that may grow: whole lines are coloured once and never touched again, in parts that the browser need
// not lay out while they are out of sight.
import { copyText, h } from "./dom.js";
import { Parts } from "./parts.js";
import { colouredLine, languageOf } from "./highlighter.js";
import { label, say, t } from "./words.js";

const PART_LINES = 30; // a part that grows is laid out whole

export function codeBlock(name) {
  const language = languageOf(name);
  const code = h("code", { class: "code-lines" });
  const body = h("pre", { tabindex: "0", role: "region", "aria-label": name || "code" }, code);
  const copy = say(h("button", { class: "quiet", type: "button" }), "copy");
  const element = h("div", { class: "code" }, h("div", { class: "code-head" }, h("span", {}, name), copy), body);
  const lines = []; // whole ones
  let open = ""; // the line that is not whole yet
  let openElement = null;
  let inside = "";
  let part = null;
  const parts = new Parts();
  let partLines = 0;

  copy.addEventListener("click", async () => {
    say(copy, (await copyText([...lines, open].join("\n"))) ? "copied" : "copy_failed");
    setTimeout(() => say(copy, "copy"), 2000);
  });

  const lineElement = (text, isWhole) => {
    if (!language) return document.createTextNode(isWhole ? `${text}\n` : text);
    const coloured = colouredLine(language, text, inside);
    if (isWhole) inside = coloured.inside;
    const line = h("span", {}, coloured.pieces.map(([kind, piece]) => (kind ? h("span", { class: kind }, piece) : piece)));
    if (isWhole) line.append("\n");
    return line;
  };

  const place = () => {
    if (part === null || partLines >= PART_LINES) {
      part = h("span", { class: "code-part" });
      partLines = 0;
      code.append(part);
      parts.begin(part);
    }
    return part;
  };

  return {
    element,
    append(text) {
      const pieces = (open + text).split("\n");
      open = pieces.pop();
      openElement?.remove();
      for (const line of pieces) {
        place().append(lineElement(line, true));
        ++partLines;
        lines.push(line);
      }
      openElement = open ? lineElement(open, false) : null;
      if (openElement) place().append(openElement);
    },
    close() {
      label(copy, "copy");
      copy.setAttribute("aria-label", `${t("copy")}${name ? `: ${name}` : ""}`);
    },
  };
}
