// The chat: what the user asks of it becomes nodes of the open conversation, and answers that are made for them. Answers
// go on when another conversation is opened; each is kept as it grows.
import { byId, remember, remembered } from "./dom.js";
import { Answer } from "./answer.js";
import { Attachments } from "./attachments.js";
import { addNode, newConversation, showBranch, siblings, touch } from "./conversation.js";
import { Settings } from "./settings.js";
import { Sidebar } from "./sidebar.js";
import * as store from "./store.js";
import { Thread } from "./thread.js";
import { number, say, t } from "./words.js";

const SAVE_MS = 1000; // between two savings of what grows
const METER_MS = 250;
const SEED_STEPS = 2 ** 53;

export class Chat {
  /** `tell(words, gaps)` shows a line to the user; `prove(conversation, node)` opens the proof; `serverIsAway()` is told so. */
  constructor({ tell, prove, closeSidebar, serverIsAway }) {
    this.tell = tell;
    this.serverIsAway = serverIsAway;
    this.closeSidebar = closeSidebar;
    this.answers = new Map(); // conversation's id -> Answer
    this.open = new Map(); // those that are loaded: answers change them
    this.savings = new Map();
    this.input = byId("input");
    this.editing = null; // the message that is being edited
    this.attachments = new Attachments(tell);
    this.thread = new Thread({
      ask: (text) => this.ask(text),
      edit: (node) => this.edit(node),
      retry: (node) => this.retry(node),
      goOn: (node) => this.goOn(node),
      contextSize: () => this.settings.modelFacts()?.context_length,
      prove: (node) => prove(this.conversation, node),
      branch: (node, by) => this.branch(node, by),
    });
    this.settings = new Settings(() => {
      this.rememberSettings();
      this.saveSoon(this.conversation);
    });
    this.sidebar = new Sidebar({
      open: (id) => this.openConversation(id),
      begin: () => this.begin(),
      removed: (id) => this.removed(id),
      tell,
    });
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.answer()) this.stop();
      else this.send();
    });
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.input.addEventListener("input", () => this.typed());
    window.addEventListener("pagehide", () => this.saveAll());
    document.addEventListener("visibilitychange", () => document.hidden && this.saveAll());
  }

  async start() {
    const last = remembered("open");
    const conversation = last ? await store.load(last) : null;
    if (conversation) this.show(conversation);
    else this.begin();
  }

  answer() {
    return this.answers.get(this.conversation?.id);
  }

  // ---- which conversation

  begin() {
    let kept = {};
    try {
      kept = JSON.parse(remembered("settings") ?? "{}");
    } catch {
      // As if there were none.
    }
    this.show(newConversation(kept.settings ?? {}, typeof kept.system === "string" ? kept.system : ""));
    this.input.focus();
  }

  async openConversation(id) {
    const conversation = this.open.get(id) ?? (await store.load(id));
    if (conversation) this.show(conversation);
    this.closeSidebar();
  }

  show(conversation) {
    // One that is neither shown nor answered is loaded again when it is wanted.
    if (this.conversation && !this.answers.has(this.conversation.id)) this.open.delete(this.conversation.id);
    this.conversation = conversation;
    this.open.set(conversation.id, conversation);
    remember("open", conversation.id);
    this.editing = null;
    this.attachments.set([]);
    this.input.value = conversation.draft;
    this.fit();
    this.settings.show(conversation);
    this.settings.showDefaults();
    this.refresh();
    this.sidebar.show(conversation.id);
  }

  removed(id) {
    this.answers.get(id)?.stop();
    this.open.delete(id);
    clearTimeout(this.savings.get(id));
    this.savings.delete(id);
    if (this.conversation.id === id) this.begin();
  }

  refresh() {
    this.thread.show(this.conversation);
    this.showState();
  }

  showState() {
    const answer = this.answer();
    say(byId("send"), answer ? "stop" : this.editing ? "send_edited" : "send");
    byId("send").classList.toggle("stops", Boolean(answer));
    byId("composer").classList.toggle("edits", Boolean(this.editing));
    this.showMeter();
  }

  // ---- what the user does

  key(event) {
    if (event.isComposing || event.keyCode === 229) return; // of Korean and Chinese, the keyboard's own affair
    if (event.key === "Enter" && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      if (!this.answer()) this.send();
    } else if (event.key === "Escape" && this.editing) {
      this.endEdit();
      event.stopPropagation();
    } else if (event.key === "ArrowUp" && this.input.value === "" && !this.answer()) {
      const last = this.lastOf("user");
      if (last) this.edit(last);
      event.preventDefault();
    }
  }

  typed() {
    this.fit();
    if (this.editing) return;
    this.conversation.draft = this.input.value;
    if (this.conversation.leaf || this.input.value) this.saveSoon(this.conversation);
  }

  fit() {
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(this.input.scrollHeight, innerHeight * 0.4)}px`;
  }

  lastOf(role) {
    return [...this.thread.views.values()].map((view) => view.node).filter((node) => node.role === role).pop();
  }

  send() {
    const text = this.input.value;
    const { conversation } = this;
    const files = this.attachments.take();
    if (!text.trim() && files.length === 0) return;
    const parent = this.editing ? this.editing.parent : conversation.leaf;
    this.editing = null;
    conversation.draft = "";
    this.input.value = "";
    this.fit();
    this.post(parent, files.length > 0 ? { text, files } : { text });
  }

  /** A question that was offered; what was typed or attached stays. */
  ask(text) {
    if (!this.answer()) this.post(this.conversation.leaf, { text });
  }

  post(parent, message) {
    addNode(this.conversation, parent, "user", message);
    this.make(this.conversation.leaf);
  }

  edit(node) {
    if (this.answer()) return;
    this.editing = node;
    this.input.value = node.text;
    this.attachments.set([...(node.files ?? [])]);
    this.fit();
    this.input.focus();
    this.showState();
  }

  endEdit() {
    this.editing = null;
    this.input.value = this.conversation.draft;
    this.attachments.set([]);
    this.fit();
    this.showState();
  }

  /** Another answer in the place of this one: with a seed that was asked for the next one, else one is drawn. */
  retry(node = this.lastOf("assistant")) {
    if (!node || this.answer()) return;
    const { seed } = this.conversation.settings;
    const n = siblings(this.conversation, node).length;
    this.make(node.parent, seed === undefined ? undefined : String((seed + n) % SEED_STEPS));
  }

  /** Behind the end of an answer. */
  goOn(node = this.lastOf("assistant")) {
    if (!node || this.answer() || this.thread.view(node.id)?.isFull()) return;
    node.request = { ...this.conversation.settings };
    delete node.seed;
    if (this.conversation.settings.seed !== undefined) node.seed = String(this.conversation.settings.seed);
    this.run(node, true);
  }

  branch(node, by) {
    if (this.answer()) return;
    const alike = siblings(this.conversation, node);
    const next = alike[alike.indexOf(node) + by];
    if (!next) return;
    showBranch(this.conversation, next.id);
    this.saveSoon(this.conversation);
    this.refresh();
    this.thread.view(next.id)?.element.focus({ preventScroll: true });
  }

  stop() {
    this.answer()?.stop();
  }

  // ---- answers

  make(parent, seed) {
    const { conversation } = this;
    const request = { ...conversation.settings };
    const node = addNode(conversation, parent, "assistant", { request, state: "streaming" });
    if (seed !== undefined) node.seed = seed;
    else if (request.seed !== undefined) node.seed = String(request.seed);
    this.run(node, false);
  }

  run(node, goesOn) {
    const { conversation } = this;
    const answer = new Answer(conversation, node, {
      changed: () => {
        this.saveSoon(conversation);
        if (conversation === this.conversation) this.thread.draw();
      },
      state: (kind) => this.tellState(conversation, node, kind),
      ended: () => this.ended(conversation, node, answer),
    }, goesOn);
    this.answers.set(conversation.id, answer);
    const view = conversation === this.conversation ? this.thread.view(node.id) : null;
    if (view) this.thread.views.delete(node.id); // made anew: it grows again
    node.state = "streaming";
    this.refresh();
    this.save(conversation).then(() => this.sidebar.show());
    this.meter ??= setInterval(() => this.showMeter(), METER_MS);
    this.done = answer.run();
  }

  tellState(conversation, node, kind) {
    if (kind === "away") this.serverIsAway();
    if (conversation !== this.conversation) return;
    const view = this.thread.view(node.id);
    if (!view) return;
    if (kind === "away") view.say("away");
    else if (kind === "again") view.say("again");
    else view.say(null);
    this.thread.draw();
  }

  ended(conversation, node, answer) {
    node.rate = answer.tokensPerSecond() || undefined;
    this.answers.delete(conversation.id);
    if (conversation === this.conversation) {
      this.thread.view(node.id)?.finish();
      this.thread.draw();
      this.showState();
      byId("said").textContent = t(node.state === "done" ? "said_done" : "said_stopped");
    } else {
      this.open.delete(conversation.id);
    }
    if (this.answers.size === 0) {
      clearInterval(this.meter);
      this.meter = null;
    }
    this.save(conversation).then(() => this.sidebar.show());
  }

  // ---- numbers below the input

  showMeter() {
    const answer = this.answer();
    const node = answer?.node ?? this.lastOf("assistant");
    const rate = answer ? answer.tokensPerSecond() : node?.rate ?? 0;
    const show = (id, words, gaps, is) => (is ? say(byId(id), words, gaps) : byId(id).replaceChildren());
    show("speed", "meter_speed", { n: number(rate, 1) }, rate > 0);
    const usage = node?.usage;
    show("cached", "meter_cached", { n: number(usage?.cached ?? 0), of: number(usage?.prompt ?? 0) }, Boolean(usage));
    const size = this.settings.modelFacts()?.context_length;
    const used = (usage?.prompt ?? 0) + (usage?.completion ?? 0);
    show("context", "meter_context", { n: number(used), of: number(size ?? 0) }, Boolean(usage && size));
    const bar = byId("context-bar");
    bar.classList.toggle("shown", Boolean(usage && size));
    bar.firstElementChild.style.width = size ? `${Math.min(100, (100 * used) / size)}%` : "0";
    bar.classList.toggle("full", Boolean(size) && used > 0.9 * size);
  }

  // ---- keeping

  saveSoon(conversation) {
    if (this.savings.has(conversation.id)) return;
    this.savings.set(conversation.id, setTimeout(() => this.save(conversation), SAVE_MS));
  }

  save(conversation) {
    clearTimeout(this.savings.get(conversation.id));
    this.savings.delete(conversation.id);
    touch(conversation, this.answers.get(conversation.id)?.node);
    return store.save(conversation);
  }

  saveAll() {
    for (const [id] of this.savings) {
      const conversation = this.open.get(id);
      if (conversation) this.save(conversation);
    }
  }

  rememberSettings() {
    const { settings, system } = this.conversation;
    remember("settings", JSON.stringify({ settings, system }));
  }
}
