// The conversations that there are: a list, its search, what goes out to files and comes in from them.
import { byId, download, h } from "./dom.js";
import { exported, readExport } from "./conversation.js";
import * as store from "./store.js";
import { dayOf, label, say, t } from "./words.js";

const SEARCH_REST_MS = 150;
const SHOWN_MAX = 500;

export class Sidebar {
  /** `acts`: open(id), begin(), removed(id), tell(words, gaps). */
  constructor(acts) {
    this.acts = acts;
    this.openId = null;
    this.list = byId("list");
    this.searchInput = byId("search");
    byId("new").addEventListener("click", () => acts.begin());
    byId("export").addEventListener("click", () => this.exportAll());
    byId("import").addEventListener("click", () => byId("import-file").click());
    byId("import-file").addEventListener("change", (event) => this.importFile(event.target));
    this.searchInput.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.show(), SEARCH_REST_MS);
    });
    this.list.addEventListener("keydown", (event) => this.step(event));
    store.whenStoreChanges(() => this.show());
  }

  step(event) {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by) return;
    const all = [...this.list.querySelectorAll(".open")];
    const next = all[all.indexOf(document.activeElement) + by];
    if (next) next.focus();
    event.preventDefault();
  }

  async show(openId = this.openId) {
    this.openId = openId;
    const words = this.searchInput.value.trim();
    const turn = (this.turn = (this.turn ?? 0) + 1);
    let heads = await store.listHeads();
    if (words) {
      const found = await store.search(words);
      heads = heads.filter((head) => found.has(head.id));
    }
    if (turn !== this.turn) return; // another search has begun
    const rows = heads.slice(0, SHOWN_MAX).map((head) => this.row(head));
    if (rows.length === 0) rows.push(say(h("p", { class: "dim" }), words ? "search_none" : "list_none"));
    this.list.replaceChildren(...rows);
  }

  row(head) {
    const title = head.title || t("untitled");
    const time = dayOf(head.updated);
    const open = h("button", { class: "open", type: "button", onclick: () => this.acts.open(head.id),
      "aria-current": head.id === this.openId ? "true" : null, title }, h("span", { class: "title" }, title),
    h("span", { class: "time" }, time));
    const save = label(h("button", { class: "icon small", type: "button", onclick: () => this.exportOne(head.id) }, "⤓"),
      "export_one");
    const remove = label(h("button", { class: "icon small", type: "button" }, "×"), "remove");
    remove.addEventListener("click", async () => {
      if (!remove.classList.contains("sure")) {
        remove.classList.add("sure");
        say(remove, "remove_sure");
        setTimeout(() => {
          remove.classList.remove("sure");
          delete remove.dataset.t;
          remove.textContent = "×";
        }, 3000);
        return;
      }
      await store.remove(head.id);
      this.acts.removed(head.id);
      this.show();
    });
    return h("div", { class: "item" }, open, save, remove);
  }

  async exportOne(id) {
    const conversation = await store.load(id);
    if (conversation) download(`naru-${id.slice(0, 8)}.json`, exported([conversation]));
  }

  async exportAll() {
    const all = [];
    await store.forEach((conversation) => all.push(conversation));
    download("naru-conversations.json", exported(all));
  }

  async importFile(chooser) {
    const file = chooser.files[0];
    if (!file) return;
    const read = readExport(await file.text().catch(() => ""));
    chooser.value = "";
    if (read === null) {
      this.acts.tell("import_wrong", { name: file.name });
      return;
    }
    for (const conversation of read.conversations) await store.save(conversation);
    this.acts.tell(read.wrong > 0 ? "import_some" : "import_done", { n: read.conversations.length, wrong: read.wrong });
    if (read.conversations.length > 0) this.acts.open(read.conversations[0].id);
    this.show();
  }
}
