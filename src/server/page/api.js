// Questions to the server that this page came from, and to nobody else: its key, its errors, its streams.
import { remember, remembered } from "./dom.js";

const base = new URL("../v1/", import.meta.url);

let key = remembered("key") ?? "";
let askForKey = async () => null; // -> {key, isKept} or null
let asking = null; // one question for a key at a time

export function whenKeyIsWanted(ask) {
  askForKey = ask;
}

/** What the server refused: its status, and its own words. */
export class Refused extends Error {
  constructor(status, body, retryAfter) {
    super(body?.error?.message ?? `HTTP ${status}`);
    this.status = status;
    this.code = body?.error?.code ?? "";
    this.retryAfter = retryAfter;
  }
}

/** The server is not there, or went away in the middle. */
export class Unreachable extends Error {}

async function wantKey(wasWrong) {
  asking ??= askForKey(wasWrong).finally(() => (asking = null));
  const given = await asking;
  if (given === null) return false;
  key = given.key;
  remember("key", given.isKept ? key : null);
  return true;
}

async function ask(path, { method = "GET", body, signal, headers = {} } = {}) {
  const options = { method, signal, headers: { ...headers }, cache: "no-store", credentials: "same-origin" };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  for (;;) {
    const sent = key;
    if (sent) options.headers.Authorization = `Bearer ${sent}`;
    let response;
    try {
      response = await fetch(new URL(path, base), options);
    } catch (problem) {
      if (signal?.aborted) throw problem;
      throw new Unreachable(String(problem.message ?? problem));
    }
    if (response.status === 401 && (sent !== key || (await wantKey(sent !== "")))) continue;
    if (response.ok) return response;
    let said = null;
    try {
      said = await response.json();
    } catch {
      // A proxy's own words.
    }
    throw new Refused(response.status, said, Number(response.headers.get("retry-after")) || 0);
  }
}

const lost = (problem, signal) => {
  if (signal?.aborted || problem instanceof Refused) return problem;
  return new Unreachable(String(problem.message ?? problem));
};

export async function askJson(path, options) {
  const response = await ask(path, options);
  try {
    return await response.json();
  } catch (problem) {
    throw lost(problem, options?.signal);
  }
}

export async function askText(path, options) {
  const response = await ask(path, options);
  return response.text();
}

/** Whether it answers and its model is there. */
export async function isThere() {
  try {
    const response = await fetch(new URL("health", base), { cache: "no-store", credentials: "same-origin" });
    return response.ok;
  } catch {
    return false;
  }
}

/** The pieces of a stream, as objects; `begun` is told its header. Unreachable where it ends before its end. */
export async function* streamed(path, body, signal, begun = () => {}) {
  const response = await ask(path, { method: "POST", body, signal });
  begun(response.headers);
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let held = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      held += done ? decoder.decode() : decoder.decode(value, { stream: true });
      for (let end = held.indexOf("\n\n"); end >= 0; end = held.indexOf("\n\n")) {
        const event = held.slice(0, end);
        held = held.slice(end + 2);
        if (!event.startsWith("data: ")) continue; // a comment
        if (event === "data: [DONE]") return;
        const piece = JSON.parse(event.slice(6));
        if (piece.error) throw new Refused(piece.error.code === "draining" ? 503 : 500, piece, 0);
        yield piece;
      }
      if (done) throw new Unreachable("the stream ended early");
    }
  } catch (problem) {
    throw lost(problem, signal);
  } finally {
    reader.cancel().catch(() => {});
  }
}
