// The keyboard: one table of keys, which the help shows too. A key alone works where nothing is typed; with Alt anywhere.
import { byId, h } from "./dom.js";
import { label, say } from "./words.js";

const isTyping = (target) => target.closest?.("input, textarea, select, [contenteditable]") !== null;

export class Keys {
  /** `acts`: name -> function; the names are those of KEYS. */
  constructor(acts) {
    this.acts = acts;
    document.addEventListener("keydown", (event) => this.take(event));
    byId("help").addEventListener("click", () => this.help());
  }

  take(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.isComposing) return;
    if (event.key === "Escape") {
      if (!document.querySelector("dialog[open]")) this.acts.escape(event);
      return;
    }
    if (document.querySelector("dialog[open]")) return;
    if (!event.altKey && isTyping(event.target)) return;
    // With Alt some keyboards type other characters: then the key's place says which it is.
    const name = event.altKey ? PLACES[event.code] ?? event.code.replace(/^(Key|Digit)/, "").toLowerCase() : event.key;
    const row = KEYS.find(([key]) => key === name);
    if (!row) return;
    event.preventDefault();
    this.acts[row[1]]();
  }

  help() {
    this.dialog ??= this.make();
    this.dialog.showModal();
  }

  make() {
    const close = label(h("button", { class: "icon", type: "button", onclick: () => dialog.close() }, "×"), "close");
    const row = (key, name) => h("tr", {}, h("th", { scope: "row" }, h("kbd", {}, key)), say(h("td", {}), name));
    const dialog = h("dialog", { id: "help-dialog" },
      h("div", { class: "row" }, say(h("h2", {}), "help_title"), h("span", { class: "space" }), close),
      say(h("p", { class: "dim" }), "help_about"),
      h("table", { class: "keys" }, h("tbody", {}, row("Enter", "key_send"), row("Shift Enter", "key_line"),
        row("↑", "key_edit_last"), row("Esc", "key_escape"), KEYS.map(([key, name]) => row(key, `key_${name}`)))));
    document.body.append(dialog);
    return dialog;
  }
}

const PLACES = { Slash: "/", Comma: "," };

const KEYS = [
  ["/", "input"], ["n", "begin"], ["s", "search"], ["j", "next"], ["k", "before"], ["r", "retry"], ["c", "goOn"],
  ["e", "edit"], ["p", "prove"], [",", "settings"], ["1", "chat"], ["2", "server"], ["3", "runs"], ["t", "theme"],
  ["?", "help"],
];
