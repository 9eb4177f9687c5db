// Asks for an API key, where the server wants one. It stays in memory, and in the browser only if the user says so.
import { h } from "./dom.js";
import { say } from "./words.js";

/** {key, isKept}, or null where the user gives none. */
export function askForKey(wasWrong) {
  return new Promise((resolve) => {
    const input = h("input", { id: "key", type: "password", autocomplete: "off", required: true, minlength: "16", spellcheck: "false" });
    const keep = h("input", { id: "key-keep", type: "checkbox" });
    const form = h("form", {}, say(h("h2", {}), "key_title"), say(h("p", { class: wasWrong ? "bad" : "" }), wasWrong ? "key_wrong" : "key_about"),
      h("div", { class: "field" }, say(h("label", { for: "key" }), "key_label"), input),
      h("div", { class: "check" }, keep, say(h("label", { for: "key-keep" }), "key_keep")),
      h("div", { class: "row" }, h("span", { class: "space" }),
        say(h("button", { class: "quiet", type: "button", onclick: () => dialog.close() }), "cancel"),
        say(h("button", { class: "main-button" }), "key_use")));
    const dialog = h("dialog", { id: "key-dialog" }, form);
    let given = null;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      given = { key: input.value.trim(), isKept: keep.checked };
      dialog.close();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(given);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
