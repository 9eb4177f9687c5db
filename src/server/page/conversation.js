// A conversation: a tree of messages, of which one path is shown. Editing and retrying add branches; nothing is taken
// away. It is plain data, as the browser keeps it and as files hold it.
import { newId } from "./dom.js";

export const FORMAT = "naru-conversations";
const VERSION = 1;
const TITLE_CHARACTERS = 60;
const SETTINGS = ["model", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty",
  "frequency_penalty", "max_tokens", "seed", "stop", "thinking"];

export function newConversation(settings = {}, system = "") {
  const now = Date.now();
  return { version: VERSION, id: newId(), title: "", created: now, updated: now, system, settings: { ...settings },
    nodes: {}, leaf: null, draft: "" };
}

export function addNode(conversation, parent, role, fields = {}) {
  const node = { id: newId(), parent, role, text: "", created: Date.now(), at: Date.now(), ...fields };
  conversation.nodes[node.id] = node;
  conversation.leaf = node.id;
  touch(conversation, node);
  if (!conversation.title && role === "user") conversation.title = titleOf(node);
  return node;
}

/** A node that has changed is newer than the same one elsewhere. */
export function touch(conversation, node) {
  conversation.updated = Date.now();
  if (node) node.at = Math.max(conversation.updated, node.at + 1);
}

function titleOf(node) {
  const text = (node.text || node.files?.[0]?.name || "").trim().split("\n")[0];
  const characters = [...text];
  return characters.length > TITLE_CHARACTERS ? `${characters.slice(0, TITLE_CHARACTERS).join("")}…` : text;
}

/** From the first message to this one. */
export function pathTo(conversation, id) {
  const path = [];
  for (let node = conversation.nodes[id]; node && path.length < 100000; node = conversation.nodes[node.parent]) {
    path.push(node);
  }
  return path.reverse();
}

const byBirth = (a, b) => a.created - b.created || (a.id < b.id ? -1 : 1);
const childrenOf = (conversation, parent) =>
  Object.values(conversation.nodes).filter((node) => node.parent === parent).sort(byBirth);

/** Those that stand in the same place, oldest first. */
export const siblings = (conversation, node) =>
  childrenOf(conversation, node.parent).filter((other) => other.role === node.role);

/** Shows the branch of this node: down to its newest end. */
export function showBranch(conversation, id) {
  for (let children = [conversation.nodes[id]]; children.length > 0;) {
    conversation.leaf = children[children.length - 1].id;
    children = childrenOf(conversation, conversation.leaf);
  }
  touch(conversation);
}

/** What was said, with the files before it. */
export function contentOf(node) {
  const files = (node.files ?? []).map((file) => {
    const longest = Math.max(2, ...[...file.text.matchAll(/^`{3,}/gm)].map((match) => match[0].length));
    const fence = "`".repeat(longest + 1);
    return `${file.name}\n${fence}\n${file.text}${file.text.endsWith("\n") ? "" : "\n"}${fence}\n\n`;
  });
  return files.join("") + node.text;
}

/** Of two copies of one conversation, everything that is in either; of a node in both, the newer. */
export function merged(ours, stored) {
  if (!stored) return ours;
  const nodes = { ...stored.nodes };
  for (const [id, node] of Object.entries(ours.nodes)) {
    if (!nodes[id] || nodes[id].at <= node.at) nodes[id] = node;
  }
  return { ...ours, nodes };
}

const isText = (value) => typeof value === "string";
const isCount = (value) => Number.isFinite(value) && value >= 0;

function readNode(id, value) {
  if (typeof value !== "object" || value === null || value.id !== id) return null;
  if (value.role !== "user" && value.role !== "assistant") return null;
  if (!isText(value.text) || !(value.parent === null || isText(value.parent))) return null;
  const node = { id, parent: value.parent, role: value.role, text: value.text,
    created: isCount(value.created) ? value.created : 0, at: isCount(value.at) ? value.at : 0 };
  for (const name of ["reasoning", "state", "finish", "error", "model", "seed"]) {
    if (isText(value[name])) node[name] = value[name];
  }
  for (const name of ["reasoningMs", "ms", "firstMs"]) if (isCount(value[name])) node[name] = value[name];
  if (value.hasThought === true) node.hasThought = true;
  if (node.state === "streaming") node.state = "stopped"; // whoever streamed it is gone
  if (typeof value.usage === "object" && value.usage !== null) {
    node.usage = {};
    for (const name of ["prompt", "cached", "completion", "reasoning"]) {
      node.usage[name] = isCount(value.usage[name]) ? value.usage[name] : 0;
    }
  }
  if (Array.isArray(value.files)) {
    node.files = value.files.filter((file) => isText(file?.name) && isText(file?.text))
      .map((file) => ({ name: file.name, text: file.text }));
  }
  node.request = readSettings(value.request);
  return node;
}

function readSettings(value) {
  const settings = {};
  for (const name of SETTINGS) {
    if (isText(value?.[name]) || Number.isFinite(value?.[name])) settings[name] = value[name];
  }
  return settings;
}

/** A conversation of foreign data; null where it is none. Every path of it ends at a first message. */
export function readConversation(value) {
  if (typeof value !== "object" || value === null || value.version !== VERSION || !isText(value.id)) return null;
  if (!/^[0-9a-f]{24}$/.test(value.id) || typeof value.nodes !== "object" || value.nodes === null) return null;
  const nodes = {};
  for (const [id, each] of Object.entries(value.nodes)) {
    const node = /^[0-9a-f]{24}$/.test(id) ? readNode(id, each) : null;
    if (!node) return null;
    nodes[id] = node;
  }
  const rooted = new Set();
  for (const start of Object.values(nodes)) {
    const seen = new Set();
    for (let node = start; !rooted.has(node.id); node = nodes[node.parent]) {
      if (seen.has(node.id)) return null;
      seen.add(node.id);
      if (node.parent === null) break;
      if (!nodes[node.parent]) return null;
    }
    for (const id of seen) rooted.add(id);
  }
  const conversation = { version: VERSION, id: value.id, title: isText(value.title) ? value.title.slice(0, 200) : "",
    created: isCount(value.created) ? value.created : 0, updated: isCount(value.updated) ? value.updated : 0,
    system: isText(value.system) ? value.system : "", settings: readSettings(value.settings), nodes,
    leaf: isText(value.leaf) && nodes[value.leaf] ? value.leaf : null, draft: isText(value.draft) ? value.draft : "" };
  if (conversation.leaf === null) {
    const newest = Object.values(nodes).sort(byBirth).pop();
    conversation.leaf = newest ? newest.id : null;
  }
  return conversation;
}

export const exported = (conversations) =>
  `${JSON.stringify({ format: FORMAT, version: VERSION, conversations }, null, 1)}\n`;

/** {conversations, wrong}: those of a file that can be read, and how many cannot; null where it is no such file. */
export function readExport(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (value?.format !== FORMAT || !Array.isArray(value.conversations)) return null;
  const conversations = value.conversations.map(readConversation);
  return { conversations: conversations.filter(Boolean), wrong: conversations.filter((each) => !each).length };
}
