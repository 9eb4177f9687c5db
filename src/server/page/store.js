// The conversations that the browser keeps (IndexedDB): whole ones, and a short line of each for the list. Where it
// keeps none (forbidden, full) they are kept in memory, and whoever listens is told, so that the user can save them.
import { merged, readConversation } from "./conversation.js";

const DATABASE = "naru";
const memory = new Map(); // what the browser has not kept
const deleted = new Set();
let opening = null;
let listener = () => {};
let problem = null; // "forbidden", "full" or nothing
const channel = typeof BroadcastChannel === "function" ? new BroadcastChannel("naru") : null;

/** Told the kind of trouble, and null when it is over. */
export function whenStoreFails(listen) {
  listener = listen;
}

/** When another tab has changed something. */
export function whenStoreChanges(listen) {
  channel?.addEventListener("message", listen);
}

function set(kind) {
  if (problem === kind) return;
  problem = kind;
  listener(kind);
}

export const storeProblem = () => problem;

const done = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

const ended = (transaction) =>
  new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error("aborted"));
    transaction.onerror = () => {};
  });

function open() {
  opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("conversations", { keyPath: "id" });
      request.result.createObjectStore("heads", { keyPath: "id" });
    };
    request.onsuccess = () => {
      request.result.onversionchange = () => request.result.close();
      resolve(request.result);
    };
    request.onerror = () => reject(request.error);
  });
  opening.catch(() => (opening = null));
  return opening;
}

async function transact(mode, work) {
  const database = await open();
  const transaction = database.transaction(["conversations", "heads"], mode);
  const end = ended(transaction);
  end.catch(() => {});
  try {
    const result = await work(transaction.objectStore("conversations"), transaction.objectStore("heads"));
    await end;
    return result;
  } catch (problem) {
    await end.catch((why) => (problem = why?.name === "QuotaExceededError" ? why : problem)); // the request says less
    throw problem;
  }
}

const headOf = (conversation) =>
  ({ id: conversation.id, title: conversation.title, updated: conversation.updated, created: conversation.created });

/** Short lines of all, newest first. */
export async function listHeads() {
  const heads = new Map();
  try {
    for (const head of await transact("readonly", (_, store) => done(store.getAll()))) heads.set(head.id, head);
  } catch {
    set("forbidden");
  }
  for (const each of memory.values()) heads.set(each.id, headOf(each));
  return [...heads.values()].filter((head) => !deleted.has(head.id)).sort((a, b) => b.updated - a.updated);
}

export async function load(id) {
  if (memory.has(id)) return memory.get(id);
  try {
    return readConversation(await transact("readonly", (store) => done(store.get(id))));
  } catch {
    return null;
  }
}

async function put(conversation) {
  await transact("readwrite", async (store, heads) => {
    const whole = merged(conversation, await done(store.get(conversation.id)));
    await Promise.all([done(store.put(whole)), done(heads.put(headOf(whole)))]);
  });
  memory.delete(conversation.id);
}

const kindOf = (failure) => (failure?.name === "QuotaExceededError" ? "full" : "forbidden");

/** Keeps it, with what another tab has added meanwhile. False where the browser does not; then memory does. */
export async function save(conversation) {
  deleted.delete(conversation.id);
  try {
    await put(conversation);
  } catch (failure) {
    memory.set(conversation.id, conversation);
    set(kindOf(failure));
    return false;
  }
  channel?.postMessage("saved");
  try {
    for (const each of [...memory.values()]) await put(each); // there may be room for them again
    set(null);
  } catch (failure) {
    set(kindOf(failure));
  }
  return true;
}

export async function remove(id) {
  memory.delete(id);
  deleted.add(id);
  try {
    await transact("readwrite", (store, heads) => Promise.all([done(store.delete(id)), done(heads.delete(id))]));
    channel?.postMessage("removed");
  } catch {
    set("forbidden");
  }
}

/** Calls `each` with every conversation, one after the other. */
export async function forEach(each) {
  for (const head of await listHeads()) {
    const conversation = await load(head.id);
    if (conversation) each(conversation);
  }
}

/** Ids of those in whose title or texts the words are. */
export async function search(words) {
  const wanted = words.toLocaleLowerCase();
  const found = new Set();
  await forEach((conversation) => {
    const texts = [conversation.title, ...Object.values(conversation.nodes).map((node) => node.text)];
    if (texts.some((text) => text.toLocaleLowerCase().includes(wanted))) found.add(conversation.id);
  });
  return found;
}
