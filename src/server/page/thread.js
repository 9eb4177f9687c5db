// The answers of the conversation that is open: makes their views, draws what grows a slice at a time, and stays at the
// end while the reader is there.
import { byId, h } from "./dom.js";
import { pathTo, siblings } from "./conversation.js";
import { bringFormulasBack, putFormulasAway } from "./formula.js";
import { warmUp } from "./markdown.js";
import { MessageView } from "./message_view.js";
import { settleParts } from "./parts.js";
import { languageNow, say } from "./words.js";

const NEAR_END = 48; // pixels that count as the end
const FRAME_MS = 8; // that drawing and the layout of what was drawn may take; to paint it takes as much again
const DRAW_MS = [1, 4]; // of it for drawing: least, where layout is dear, and most
const REST_MS = 32; // between two frames that draw: thirty times a second is smooth for text
const LEAVES_AT_ONCE = 20; // parts of an answer
const SCRIPTS = { ko: /\p{Script=Hangul}/u, zh: /\p{Script=Han}/u }; // by which a question is in the page's language
const REST_FACTOR = 3; // a slow machine draws less often

export class Thread {
  constructor(acts) {
    this.acts = { ...acts, changed: () => this.draw() };
    this.scroller = byId("scroller");
    this.log = byId("log");
    this.latest = byId("latest");
    this.views = new Map();
    this.questions = []; // that the server offers where nothing was asked
    this.isAtEnd = true;
    this.lastTop = 0; // where the reader was, and of what height, when it was looked at last
    this.lastHeight = 0;
    this.isDrawing = false;
    this.next = 0;
    this.drawMs = DRAW_MS[1] / 2;
    this.leaving = [];
    this.scroller.addEventListener("scroll", () => this.look(), { passive: true });
    this.latest.addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => this.stay()).observe(this.scroller);
    this.log.addEventListener("contentvisibilityautostatechange", ({ target, skipped }) => {
      if (!target.classList.contains("part")) return;
      if (skipped) putFormulasAway(target);
      else bringFormulasBack(target);
    });
  }

  /** Shows the path of a conversation. Views of the messages that stay are kept. */
  show(conversation) {
    const path = conversation.leaf ? pathTo(conversation, conversation.leaf) : [];
    const old = this.views;
    this.views = new Map();
    for (const node of path) {
      const alike = siblings(conversation, node);
      const place = { index: alike.indexOf(node), count: alike.length };
      const before = old.get(node.id);
      const isSame = before && before.node === node && before.place.count === place.count;
      this.views.set(node.id, isSame ? before : new MessageView(node, this.acts, place));
    }
    const elements = new Set([...this.views.values()].map((view) => view.element));
    // What stands already in its place is not moved: that would end a selection.
    const there = [...this.log.children].filter((each) => !each.classList.contains("leaves"));
    for (const element of elements) {
      if (element === there[0]) there.shift();
      else this.log.insertBefore(element, there[0] ?? null);
    }
    for (const element of there) if (!elements.has(element)) this.leave(element);
    if (path.length === 0) this.log.append(this.makeWelcome());
    this.isAtEnd = true;
    this.draw();
  }

  /** What is long is gone at once to the eye, and taken away in slices: ten thousand lines in one would keep a frame. */
  leave(element) {
    const pieces = element.querySelectorAll(".parts, .part, .code-part");
    if (pieces.length < LEAVES_AT_ONCE) return element.remove();
    element.classList.add("leaves"); // as `inert` it would have the style of every line computed once more
    this.leaving.push(element, ...pieces); // from the last one on, so that those inside come before what they are in
    return undefined;
  }

  takeAway(ms) {
    const end = performance.now() + ms;
    while (this.leaving.length > 0 && performance.now() < end) this.leaving.pop().remove();
    return this.leaving.length === 0;
  }

  makeWelcome() {
    const script = SCRIPTS[languageNow()];
    const isOurs = (text) => Number(Boolean(script?.test(text)));
    const questions = [...this.questions].sort((a, b) => isOurs(b) - isOurs(a));
    return h("div", { class: "welcome" }, h("div", { class: "mark", "aria-hidden": "true" }, "나루"),
      questions.length > 0 && this.model && h("p", { class: "dim model-name" }, this.model),
      say(h("p", {}), "welcome"), questions.length > 0 && h("ul", { class: "questions" }, questions.map((text) =>
        h("li", {}, h("button", { type: "button", onclick: () => this.acts.ask(text) }, text)))),
      say(h("p", { class: "dim" }), "welcome_more"));
  }

  setQuestions(questions, model) {
    this.questions = questions;
    this.model = model;
    this.welcomeAnew();
  }

  /** Also when the language is another: questions in it come first. */
  welcomeAnew() {
    this.log.querySelector(".welcome")?.replaceWith(this.makeWelcome());
  }

  view(id) {
    return this.views.get(id);
  }

  /** Draws what has changed, in the frames that come. */
  draw() {
    if (this.isDrawing) return;
    this.isDrawing = true;
    this.log.setAttribute("aria-busy", "true");
    requestAnimationFrame(() => this.frame());
  }

  frame() {
    const begin = performance.now();
    // To put parts out of sight has the browser lay out again: no frame does that and draws as well. Nor does one that compiles.
    if (warmUp() || settleParts() || begin < this.next) return requestAnimationFrame(() => this.frame());
    const isMade = this.drawViews(performance.now() + this.drawMs);
    this.stay();
    this.weigh(performance.now() - begin);
    // What is opened is there the sooner the better; what grows is drawn as often as it is read.
    const grows = [...this.views.values()].some((view) => view.node.state === "streaming");
    this.next = grows ? begin + Math.max(REST_MS, REST_FACTOR * (performance.now() - begin)) : 0;
    const isAway = this.takeAway(this.drawMs / 2);
    if (!isMade || !isAway) return requestAnimationFrame(() => this.frame());
    this.isDrawing = false;
    this.log.setAttribute("aria-busy", "false");
    return undefined;
  }

  /** True where all is drawn. Something is, however slow the machine: time cannot be up before the first step. */
  drawViews(end) {
    let isMade = true;
    let hasDrawn = false;
    // The last ones first: they are in sight.
    for (const view of [...this.views.values()].reverse()) {
      if (view.node.role === "user") continue;
      view.update();
      if (view.isDrawn) continue;
      const left = end - performance.now();
      if (hasDrawn && left <= 0) return false;
      hasDrawn = true;
      if (!view.step(left)) isMade = false;
    }
    return isMade;
  }

  /** The next frame draws less when this one took long: a machine may be slow, or busy with other things. */
  weigh(ms) {
    const [least, most] = DRAW_MS;
    this.drawMs = Math.min(most, Math.max(least, this.drawMs * (ms > FRAME_MS ? 0.7 : 1.2)));
  }

  look() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    // Only the reader goes up; what grows below is no going up, nor is what shrinks.
    if (scrollTop < this.lastTop - 2 && scrollHeight >= this.lastHeight) this.isAtEnd = false;
    if (scrollHeight - scrollTop - clientHeight < NEAR_END) this.isAtEnd = true;
    this.lastTop = scrollTop;
    this.lastHeight = scrollHeight;
    this.latest.hidden = this.isAtEnd;
  }

  stay() {
    if (!this.isAtEnd) {
      this.latest.hidden = false;
      return;
    }
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.lastTop = this.scroller.scrollTop;
    this.lastHeight = this.scroller.scrollHeight;
    this.latest.hidden = true;
  }

  toEnd() {
    this.isAtEnd = true;
    this.stay();
  }

  /** The next message from the one that has the focus. */
  step(by) {
    const all = [...this.views.values()].map((view) => view.element);
    const now = all.findIndex((element) => element.contains(document.activeElement));
    const next = now < 0 ? (by < 0 ? all.length - 1 : 0) : Math.min(all.length - 1, Math.max(0, now + by));
    all[next]?.focus();
    all[next]?.scrollIntoView({ block: "nearest" });
  }
}
