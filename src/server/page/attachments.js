// Text files that go with the next message: chosen, dropped or pasted.
import { byId, h } from "./dom.js";
import { label, number, t } from "./words.js";

const FILE_BYTES_MAX = 2 << 20;
const ALL_BYTES_MAX = 6 << 20; // the server takes bodies of 8 MiB

export class Attachments {
  constructor(tell) {
    this.files = [];
    this.tell = tell;
    const chooser = byId("attach-file");
    byId("attach").addEventListener("click", () => chooser.click());
    chooser.addEventListener("change", async () => {
      await this.add(chooser.files);
      chooser.value = "";
    });
    const composer = byId("composer");
    const thread = composer.parentElement;
    thread.addEventListener("dragover", (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      thread.classList.add("drop");
    });
    for (const name of ["dragleave", "drop"]) thread.addEventListener(name, () => thread.classList.remove("drop"));
    thread.addEventListener("drop", (event) => {
      if (event.dataTransfer.files.length === 0) return;
      event.preventDefault();
      this.add(event.dataTransfer.files);
    });
    byId("input").addEventListener("paste", (event) => {
      if (event.clipboardData.files.length === 0) return;
      event.preventDefault();
      this.add(event.clipboardData.files);
    });
  }

  async add(list) {
    for (const file of list) {
      const all = this.files.reduce((sum, each) => sum + each.text.length, 0);
      if (file.size > FILE_BYTES_MAX || all + file.size > ALL_BYTES_MAX) {
        this.tell("file_too_large", { name: file.name, bytes: number(file.size), max: number(FILE_BYTES_MAX) });
        continue;
      }
      let text = null;
      try {
        text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
      } catch {
        // No text, or not to be read.
      }
      if (text === null || text.includes("\0")) this.tell("file_no_text", { name: file.name });
      else this.files.push({ name: file.name, text });
    }
    this.show();
  }

  take() {
    const files = this.files;
    this.set([]);
    return files;
  }

  set(files) {
    this.files = files;
    this.show();
  }

  show() {
    byId("files").replaceChildren(...this.files.map((file, i) => {
      const remove = label(h("button", { class: "icon small", type: "button" }, "×"), "file_remove");
      remove.setAttribute("aria-label", `${t("file_remove")}: ${file.name}`);
      remove.addEventListener("click", () => this.set(this.files.filter((_, other) => other !== i)));
      return h("span", { class: "chip" }, `${file.name} · ${number(file.text.length)}`, remove);
    }));
  }
}
