// One answer being made: the request of a node, its stream, and what becomes of it when the server goes away. Since the
// same request and seed give the same answer, a cut one is asked for again and goes on behind what is there already:
// the new stream must begin with the very text that was kept.
import { Refused, Unreachable, isThere, streamed } from "./api.js";
import { contentOf, pathTo, touch } from "./conversation.js";

const WAIT_MS = [1000, 1000, 2000, 3000, 5000, 8000, 10000]; // between looks whether it is back

const RATE_MS_MIN = 100; // pieces that came in one go say nothing of the rate

const NUMBERS = ["temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty",
  "frequency_penalty", "max_tokens"];

/** The body of a request for this node, of the messages before it and the settings that it was asked with. */
export function bodyFor(conversation, node, begun = null) {
  const messages = [];
  if (conversation.system.trim()) messages.push({ role: "system", content: conversation.system });
  for (const each of pathTo(conversation, node.parent)) {
    messages.push({ role: each.role, content: each.role === "user" ? contentOf(each) : each.text });
  }
  if (begun) {
    const message = { role: "assistant", content: begun.text, prefix: true };
    // Of one that was cut behind its reasoning that alone is there: spelled, its end is said too.
    if (begun.hasThought && !begun.text) message.content = `<think>${begun.reasoning}</think>`;
    else if (begun.reasoning) message.reasoning_content = begun.reasoning;
    messages.push(message);
  }
  const settings = node.request ?? {};
  const body = { messages };
  if (settings.model) body.model = settings.model;
  for (const name of NUMBERS) if (Number.isFinite(settings[name])) body[name] = settings[name];
  if (settings.stop) body.stop = settings.stop.split("\n").filter(Boolean).slice(0, 16);
  if (settings.thinking) body.thinking = { type: settings.thinking };
  if (node.seed) body.seed = Number(node.seed);
  return body;
}

const usageOf = (usage) => ({ prompt: usage.prompt_tokens, completion: usage.completion_tokens,
  cached: usage.prompt_tokens_details?.cached_tokens ?? 0,
  reasoning: usage.completion_tokens_details?.reasoning_tokens ?? 0 });

export class Answer {
  /** `listener`: changed(), state(kind, values), ended(). `goesOn`: behind what the node holds. */
  constructor(conversation, node, listener, goesOn = false) {
    this.conversation = conversation;
    this.node = node;
    this.listener = listener;
    this.abort = new AbortController();
    this.pieces = 0; // of this stream, near enough its tokens
    this.begin = performance.now();
    this.first = 0;
    this.last = 0;
    this.kept = { text: node.text, reasoning: node.reasoning ?? "" };
    this.begun = goesOn ? { ...this.kept, hasThought: node.hasThought } : null;
    this.base = goesOn ? { ...this.kept } : { text: "", reasoning: "" };
    this.wake = () => {};
  }

  stop() {
    this.abort.abort();
    this.wake();
  }

  /** Looks at once whether the server is back. */
  lookNow() {
    this.wake();
  }

  tokensPerSecond() {
    const ms = this.last - this.first;
    return this.pieces > 1 && ms > RATE_MS_MIN ? ((this.pieces - 1) * 1000) / ms : 0;
  }

  async run() {
    const { node, conversation } = this;
    node.state = "streaming";
    delete node.error;
    delete node.finish;
    try {
      while (!(await this.once())) await this.waitForServer();
      node.state = "done";
    } catch (problem) {
      if (this.abort.signal.aborted) {
        node.state = "stopped";
      } else {
        node.state = "failed";
        node.error = problem.message;
      }
    }
    node.ms = Math.round((node.ms ?? 0) + performance.now() - this.begin);
    touch(conversation, node);
    this.listener.ended();
  }

  /** One stream. True: the answer is whole. False: the server is not there. */
  async once() {
    const { node, conversation } = this;
    const body = bodyFor(conversation, node, this.begun);
    const came = { ...this.base }; // with what this stream has brought
    const isAgain = node.text.length + (node.reasoning ?? "").length > came.text.length + came.reasoning.length;
    Object.assign(body, { stream: true, stream_options: { include_usage: true } });
    try {
      const begun = (headers) => {
        const seed = headers.get("x-naru-seed");
        if (seed) node.seed = seed;
        this.listener.state("answering", {});
      };
      for await (const piece of streamed("chat/completions", body, this.abort.signal, begun)) {
        this.take(piece, came, isAgain);
      }
      if (came.text !== node.text || came.reasoning !== (node.reasoning ?? "")) throw new Error("differs");
      return true;
    } catch (problem) {
      const isAway = problem instanceof Unreachable ||
        (problem instanceof Refused && this.pieces > 0 && [429, 502, 503, 504].includes(problem.status));
      if (isAway && !this.abort.signal.aborted) return false;
      throw problem;
    }
  }

  take(piece, came, isAgain) {
    const { node } = this;
    if (piece.usage) node.usage = usageOf(piece.usage);
    if (piece.model) node.model = piece.model;
    const choice = piece.choices?.[0];
    if (!choice) return;
    const { role, content, reasoning_content: reasoning } = choice.delta ?? {};
    const now = performance.now();
    if (reasoning) {
      came.reasoning += reasoning;
      node.reasoningMs ??= 0;
      this.reasoningSince ??= now;
      node.reasoningMs = Math.max(node.reasoningMs, Math.round(now - this.reasoningSince));
    }
    if (content === "" && role === undefined) node.hasThought = true; // the server's sign that reasoning has ended
    if (content) came.text += content;
    if (content || reasoning) this.count(now);
    if (choice.finish_reason) node.finish = choice.finish_reason;
    this.show("reasoning", came.reasoning, isAgain);
    this.show("text", came.text, isAgain);
  }

  count(now) {
    if (this.pieces++ === 0) {
      this.first = now;
      this.node.firstMs = Math.round(now - this.begin);
    }
    this.last = now;
  }

  /** What came becomes what is there; where something was there already it must be its beginning. */
  show(field, came, isAgain) {
    const there = this.node[field] ?? "";
    if (came.length <= there.length) {
      if (isAgain && !there.startsWith(came)) throw new Error("differs");
      return;
    }
    if (isAgain && !came.startsWith(there)) throw new Error("differs");
    this.node[field] = came;
    this.listener.changed();
  }

  async waitForServer() {
    touch(this.conversation, this.node);
    this.listener.state("away", {});
    for (let i = 0; !this.abort.signal.aborted; ++i) {
      const wait = WAIT_MS[Math.min(i, WAIT_MS.length - 1)];
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, wait);
        this.wake = () => (clearTimeout(timer), resolve());
      });
      if (this.abort.signal.aborted) break;
      if (await isThere()) {
        this.listener.state("again", {});
        return;
      }
    }
    throw new DOMException("stopped", "AbortError");
  }
}
