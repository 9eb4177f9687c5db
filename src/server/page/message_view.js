// A message as it is shown: its text, its reasoning folded with its time, what it took, and what can be done with it.
import { copyText, h } from "./dom.js";
import { StreamView } from "./stream_view.js";
import { label, number, say } from "./words.js";

const seconds = (ms) => number(ms / 1000, ms < 10000 ? 1 : 0);

function button(name, act, attributes = {}) {
  return say(h("button", { class: "quiet", type: "button", onclick: act, ...attributes }), name);
}

export class MessageView {
  /** `acts`: edit, retry, goOn, prove, branch(node, by), each told the node. `place`: {index, count} among its siblings. */
  constructor(node, acts, place) {
    this.node = node;
    this.acts = acts;
    this.place = place;
    this.isEnding = false;
    this.isDrawn = false; // until something changes there is nothing to do
    this.element = h("article", { class: `message ${node.role}`, "data-id": node.id, tabindex: "-1" });
    label(this.element, node.role === "user" ? "you" : "model");
    this.body = h("div", { class: "body" });
    this.foot = h("div", { class: "foot" });
    if (node.role === "user") this.makeUser();
    else this.makeAnswer();
    this.element.append(say(h("h2", { class: "unseen" }), node.role === "user" ? "you" : "model"), this.body, this.foot);
    if (node.state !== "streaming") this.makeFoot();
  }

  makeUser() {
    for (const file of this.node.files ?? []) {
      this.body.append(h("details", { class: "file" }, h("summary", {}, `${file.name} · ${number(file.text.length)}`),
        h("pre", { tabindex: "0" }, file.text.slice(0, 20000) + (file.text.length > 20000 ? "\n…" : ""))));
    }
    this.body.append(h("div", { class: "said" }, this.node.text));
  }

  makeAnswer() {
    this.reasoningHead = h("summary", {});
    this.reasoningBody = h("div", { class: "reasoning-text" });
    this.reasoning = h("details", { class: "reasoning", hidden: true }, this.reasoningHead, this.reasoningBody);
    this.text = h("div", { class: "text" });
    this.notice = h("p", { class: "notice", hidden: true });
    this.body.append(this.reasoning, this.text, this.notice);
    this.textView = new StreamView(this.text);
    this.reasoningView = new StreamView(this.reasoningBody);
    this.given = { text: 0, reasoning: 0 };
    this.reasoning.addEventListener("toggle", () => {
      this.isDrawn = false; // nobody draws what is folded
      this.acts.changed();
    });
    if (this.node.state !== "streaming") {
      this.textView.finish();
      this.reasoningView.finish();
    }
    this.update();
  }

  /** Takes what the node has now; step() makes it. */
  update() {
    const { node } = this;
    const reasoning = node.reasoning ?? "";
    const mark = `${node.state} ${node.text.length} ${reasoning.length} ${node.reasoningMs}`;
    if (mark === this.mark) return;
    this.mark = mark;
    this.isDrawn = false;
    const reading = [["text", this.textView, node.text], ["reasoning", this.reasoningView, reasoning]];
    for (const [name, view, text] of reading) {
      if (text.length > this.given[name]) view.append(text.slice(this.given[name]));
      this.given[name] = text.length;
    }
    if (reasoning) {
      this.reasoning.hidden = false;
      const isThinking = node.state === "streaming" && !node.text;
      say(this.reasoningHead, isThinking ? "thinking" : "thought", { seconds: seconds(node.reasoningMs ?? 0) });
    }
    this.element.classList.toggle("waits", node.state === "streaming" && !node.text && !reasoning);
    this.element.classList.toggle("streams", node.state === "streaming" || this.isEnding);
  }

  /** Draws for a slice of time; true when there is nothing left to draw. */
  step(ms) {
    if (this.node.role === "user") return true;
    const isMade = this.reasoning.open || !this.node.reasoning ? this.reasoningView.step(ms / 2) : true;
    const isAllMade = this.textView.step(ms) && isMade;
    if (isAllMade && this.isEnding) this.end();
    this.isDrawn = isAllMade;
    return isAllMade;
  }

  say(name, gaps = {}) {
    this.notice.hidden = name === null;
    if (name !== null) say(this.notice, name, gaps);
  }

  /** The answer grows no more. Its foot comes when all of it is drawn: before that it would be moved. */
  finish() {
    this.isEnding = true;
    this.isDrawn = false;
    this.update();
    this.textView.finish();
    this.reasoningView.finish();
  }

  end() {
    this.isEnding = false;
    this.element.classList.remove("streams");
    this.makeFoot();
  }

  /** Cut where the context ended: nothing can go on behind it. */
  isFull() {
    const { finish, usage } = this.node;
    const size = this.acts.contextSize();
    return finish === "length" && Boolean(usage && size) && usage.prompt + usage.completion >= size;
  }

  /** When the server has told, maybe anew, how long its context is. */
  contextIsKnown() {
    if (this.shownFull !== undefined && this.shownFull !== this.isFull()) this.makeFoot();
  }

  makeFoot() {
    const { node, acts } = this;
    const isUser = node.role === "user";
    const copy = button("copy", async () => {
      say(copy, (await copyText(node.text)) ? "copied" : "copy_failed");
      setTimeout(() => say(copy, "copy"), 2000);
    });
    const actions = h("div", { class: "actions" }, this.makeBranches(), copy,
      isUser ? button("edit", () => acts.edit(node)) : [
        button("retry", () => acts.retry(node)),
        !this.isFull() && button("go_on", () => acts.goOn(node)),
        button("prove", () => acts.prove(node), { class: "quiet proof" }),
      ]);
    this.shownFull = this.isFull();
    this.foot.replaceChildren(actions);
    if (!isUser) {
      this.makeFacts();
      this.makeNotice();
    }
  }

  makeBranches() {
    const { node, acts, place } = this;
    if (place.count < 2) return null;
    const step = (by, glyph, name) => label(h("button", { class: "icon small", type: "button",
      disabled: by < 0 ? place.index === 0 : place.index === place.count - 1,
      onclick: () => acts.branch(node, by) }, glyph), name);
    return h("span", { class: "branches" }, step(-1, "‹", "branch_before"), `${place.index + 1}/${place.count}`,
      step(1, "›", "branch_after"));
  }

  makeFacts() {
    const { node } = this;
    const facts = h("span", { class: "facts" });
    const add = (name, gaps) => facts.append(say(h("span", {}), name, gaps));
    if (node.usage) {
      add("fact_tokens", { n: number(node.usage.completion) });
      if (node.rate) add("fact_rate", { n: number(node.rate, 1) });
      if (node.usage.cached) add("fact_cached", { n: number(node.usage.cached), of: number(node.usage.prompt) });
    }
    if (node.firstMs !== undefined) add("fact_first", { seconds: number(node.firstMs / 1000, 2) });
    if (node.seed) add("fact_seed", { n: node.seed });
    if (facts.childElementCount > 0) this.foot.append(facts);
  }

  makeNotice() {
    const { node } = this;
    if (node.state === "failed") {
      this.say(node.error === "differs" ? "failed_differs" : "failed", { message: node.error });
      this.notice.classList.add("bad");
    } else if (node.state === "stopped") {
      this.say("stopped");
    } else if (node.finish === "length") {
      this.say(this.isFull() ? "ended_by_context" : "ended_by_length");
    } else if (node.state === "done" && !node.text.trim()) {
      this.say("empty_answer");
    } else {
      this.say(null);
    }
  }
}
