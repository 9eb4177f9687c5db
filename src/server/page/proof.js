// The proof: one request is answered alone, among others, and as a stream, and every time the text and the probability of
// every token are the same, bit for bit. That is what naru promises; here anybody can see it.
import { askJson, askText, streamed } from "./api.js";
import { bodyFor } from "./answer.js";
import { byId, h } from "./dom.js";
import { numbersOf } from "./metrics.js";
import { sha256 } from "./sha256.js";
import { label, number, say, t } from "./words.js";

const TOKENS_MAX = 200; // of each answer
const OTHERS_MAX = 7;
const OTHER_TOKENS = 2000; // they are stopped as soon as nobody needs them
const WAIT_MS = 150; // for the others to be at work
const HASH_SHOWN = 16;
const HEADS = ["proof_how", "proof_running", "proof_tokens", "proof_text", "proof_bits"];

/** The text and the probabilities of an answer, hashed. Of its tokens the one that ends it is no text, and not listed. */
function hashes(reasoning, content, logprobs, usage) {
  const numbers = logprobs.map((token) => `${JSON.stringify(token.bytes)} ${token.logprob}`).join("\n");
  return { text: sha256(`${reasoning}\0${content}`), bits: sha256(numbers), listed: logprobs.length,
    tokens: usage?.completion_tokens ?? logprobs.length, content, reasoning };
}

const listed = (choice) => [...(choice.logprobs?.reasoning_content ?? []), ...(choice.logprobs?.content ?? [])];

async function whole(body, signal) {
  const { choices: [choice], usage } = await askJson("chat/completions", { method: "POST", body, signal });
  return hashes(choice.message.reasoning_content ?? "", choice.message.content ?? "", listed(choice), usage);
}

async function asStream(body, signal) {
  let [reasoning, content, logprobs, usage] = ["", "", [], undefined];
  const asked = { ...body, stream: true, stream_options: { include_usage: true } };
  for await (const piece of streamed("chat/completions", asked, signal)) {
    usage = piece.usage ?? usage;
    const choice = piece.choices?.[0];
    if (!choice) continue;
    reasoning += choice.delta?.reasoning_content ?? "";
    content += choice.delta?.content ?? "";
    logprobs.push(...listed(choice));
  }
  return hashes(reasoning, content, logprobs, usage);
}

const runningNow = async () => numbersOf(await askText("metrics?names=naru")).total("naru_requests_running");

/** Keeps others asking, runs `work` beside them, and stops them. How many were answered or asked meanwhile, and what came. */
async function amongOthers(body, count, signal, work) {
  const stop = new AbortController();
  const stopAll = () => stop.abort();
  signal.addEventListener("abort", stopAll);
  const rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  let served = 0;
  let asked = 0; // and not answered yet
  const others = Array.from({ length: count }, async (_, i) => {
    for (let n = 0; !stop.signal.aborted; ++n) {
      const other = { ...body, max_tokens: OTHER_TOKENS, seed: n, ignore_eos: true, logprobs: false, temperature: 1,
        messages: [{ role: "user", content: `${i} ${n} `.repeat(3 + i) }] };
      ++asked;
      try {
        await askJson("chat/completions", { method: "POST", body: other, signal: stop.signal });
        ++served;
      } catch {
        await rest(WAIT_MS); // the queue is full, or it is over
      }
      --asked;
    }
  });
  await rest(WAIT_MS);
  try {
    const before = served;
    const result = await work();
    return { running: served - before + asked, result };
  } finally {
    stopAll();
    await Promise.all(others);
  }
}

/** "7 tokens, 6 of them text". */
function tokensText({ tokens, listed: text }) {
  const gaps = { n: number(tokens), text: number(text) };
  return t(text === tokens ? "proof_n_tokens" : "proof_n_tokens_text", gaps);
}

export class Proof {
  constructor(facts) {
    this.facts = facts; // -> what /v1/server says
    this.dialog = byId("proof") ?? this.make();
  }

  make() {
    this.rows = h("tbody", {});
    this.verdict = h("p", { class: "verdict", role: "status" });
    const close = label(h("button", { class: "icon", type: "button", onclick: () => this.dialog.close() }, "×"), "close");
    const dialog = h("dialog", { id: "proof", class: "wide" },
      h("div", { class: "row" }, say(h("h2", {}), "proof_title"), h("span", { class: "space" }), close),
      say(h("p", {}), "proof_about"),
      this.verdict,
      h("div", { class: "table", tabindex: "0" }, h("table", { class: "stacks" },
        h("thead", {}, h("tr", {}, HEADS.map((name) => say(h("th", { scope: "col" }), name)))), this.rows)));
    dialog.addEventListener("close", () => this.abort?.abort());
    document.body.append(dialog);
    return dialog;
  }

  row(name) {
    const cells = ["", "", "", ""].map((text) => h("td", {}, text));
    // A narrow screen has no head above them. No other language can be chosen while the dialog is there.
    cells.forEach((cell, i) => (cell.dataset.head = t(HEADS[i + 1])));
    const row = h("tr", {}, say(h("th", { scope: "row" }), name), cells);
    this.rows.append(row);
    return ({ running, result }) => {
      cells[0].textContent = number(running);
      cells[1].textContent = result.tokens ? number(result.tokens) : "";
      [result.text, result.bits].forEach((hash, i) =>
        cells[2 + i].replaceChildren(h("code", { title: hash }, hash.slice(0, HASH_SHOWN))));
      return result;
    };
  }

  close() {
    this.dialog.close();
  }

  /** Of the answer in this node, which was asked for as the conversation says. */
  async show(conversation, node) {
    this.abort?.abort();
    this.abort = new AbortController();
    const { signal } = this.abort;
    this.rows.replaceChildren();
    this.verdict.className = "verdict";
    say(this.verdict, "proof_running_now");
    if (!this.dialog.open) this.dialog.showModal();
    const body = { ...bodyFor(conversation, node), logprobs: true };
    body.seed ??= 1;
    body.max_tokens = Math.min(body.max_tokens ?? TOKENS_MAX, TOKENS_MAX, node.usage?.completion || TOKENS_MAX);
    const others = Math.max(1, Math.min(OTHERS_MAX, (this.facts()?.parallel ?? 4) - 1));
    try {
      const put = [this.row("proof_alone"), this.row("proof_among"), this.row("proof_stream")];
      const found = [
        put[0]({ running: await runningNow(), result: await whole(body, signal) }),
        put[1](await amongOthers(body, others, signal, () => whole(body, signal))),
        put[2](await amongOthers(body, others, signal, () => asStream(body, signal))),
      ];
      const isEqual = found.every((each) => ["text", "bits", "tokens"].every((name) => each[name] === found[0][name]));
      const isShown = node.text.startsWith(found[0].content) && (node.reasoning ?? "").startsWith(found[0].reasoning);
      this.verdict.classList.add(isEqual && found[0].tokens > 0 ? "good" : "bad");
      say(this.verdict, isEqual ? (isShown ? "proof_equal_shown" : "proof_equal") : "proof_differ",
        { tokens: () => tokensText(found[0]) });
    } catch (problem) {
      if (signal.aborted) return;
      this.verdict.classList.add("bad");
      say(this.verdict, "failed", { message: problem.message });
    }
  }
}
