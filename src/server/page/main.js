// The page begins here: the three parts, what they share, and whether the server is there.
import { askJson, isThere, whenKeyIsWanted } from "./api.js";
import { Chat } from "./chat.js";
import { byId, h, remember, remembered } from "./dom.js";
import { prepareFormulas } from "./formula.js";
import { askForKey } from "./key_dialog.js";
import { Keys } from "./keys.js";
import { warmUp } from "./markdown.js";
import { recolourPlots } from "./plots.js";
import { Proof } from "./proof.js";
import { RunsTab } from "./runs_tab.js";
import { ServerTab } from "./server_tab.js";
import * as store from "./store.js";
import { label, languageNow, say, setLanguage, translate, whenLanguageChanges } from "./words.js";

const TABS = ["chat", "server", "runs"];
const LOOK_MS = 5000; // whether the server is there
const TOLD_MS = 8000;
const THEMES = ["", "light", "dark"];

translate();
delete document.documentElement.dataset.waits;
whenKeyIsWanted(askForKey);

// ---- what is told

const banner = byId("banner");

function tell(words, gaps = {}, { stays = false, name = words } = {}) {
  banner.querySelector(`[data-name="${name}"]`)?.remove();
  if (words === null) return;
  const line = h("div", { class: "banner", "data-name": name }, say(h("span", {}), words, gaps),
    label(h("button", { class: "icon small", type: "button", onclick: () => line.remove() }, "×"), "close"));
  banner.append(line);
  if (!stays) setTimeout(() => line.remove(), TOLD_MS);
}

store.whenStoreFails((kind) => {
  tell(null, {}, { name: "store" });
  if (kind) tell(`store_${kind}`, {}, { stays: true, name: "store" });
});

// ---- the parts

const sidebar = byId("sidebar");
const showSidebar = (isShown) => {
  sidebar.classList.toggle("shown", isShown);
  byId("menu").setAttribute("aria-expanded", String(isShown));
};
byId("menu").addEventListener("click", () => showSidebar(!sidebar.classList.contains("shown")));
byId("chat").addEventListener("pointerdown", (event) => {
  if (!event.target.closest("#sidebar")) showSidebar(false);
});

let proof = null;
const chat = new Chat({
  tell,
  prove: (conversation, node) => {
    proof ??= new Proof(() => chat.settings.facts);
    proof.show(conversation, node);
  },
  closeSidebar: () => showSidebar(false),
  serverIsAway: () => look(),
});
const serverTab = new ServerTab(byId("server"));
const runsTab = new RunsTab(byId("runs"));

function showTab(name) {
  for (const each of TABS) {
    const isShown = each === name;
    const tab = byId(`tab-${each}`);
    tab.setAttribute("aria-selected", String(isShown));
    tab.tabIndex = isShown ? 0 : -1;
    byId(each).hidden = !isShown;
  }
  byId("menu").classList.toggle("gone", name !== "chat");
  if (name === "server") serverTab.show();
  else serverTab.hide();
  if (name === "runs") runsTab.show();
  else runsTab.hide();
  if (name === "chat") chat.thread.stay();
  else proof?.close(); // it belongs to an answer of the chat
  const mark = name === "chat" ? "" : `#${name}`;
  if (location.hash !== mark) history.replaceState(null, "", mark || location.pathname);
}

for (const name of TABS) {
  const tab = byId(`tab-${name}`);
  tab.addEventListener("click", () => showTab(name));
  tab.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const next = TABS[(TABS.indexOf(name) + by + TABS.length) % TABS.length];
    showTab(next);
    byId(`tab-${next}`).focus();
  });
}
const tabOfAddress = () => TABS.find((name) => location.hash === `#${name}`) ?? "chat";
window.addEventListener("hashchange", () => showTab(tabOfAddress()));
// A part that scrolls can have the focus, for keys to scroll it; not before there was one, for an address gives its target
// the focus at once, and a frame with it.
window.addEventListener("keydown", () => {
  for (const panel of document.querySelectorAll(".panel")) panel.tabIndex = 0;
}, { once: true, capture: true });

// ---- theme and language

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  remember("theme", theme || null);
  recolourPlots();
}
const nextTheme = () =>
  setTheme(THEMES[(THEMES.indexOf(remembered("theme") ?? document.documentElement.dataset.theme ?? "") + 1) % THEMES.length]);
byId("theme").addEventListener("click", nextTheme);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolourPlots);

const language = byId("language");
language.value = languageNow();
language.addEventListener("change", () => setLanguage(language.value));
whenLanguageChanges(() => {
  chat.thread.welcomeAnew();
  chat.sidebar.show();
  chat.refresh();
  const name = tabOfAddress();
  if (name !== "chat") showTab(name);
});

// ---- whether the server is there

let wasThere = null;
let looking = null;

async function look() {
  clearTimeout(looking);
  const is = await isThere();
  if (is !== wasThere) {
    wasThere = is;
    say(byId("connection"), is ? "server_here" : "server_gone");
    byId("connection").classList.toggle("bad", !is);
    if (is) {
      chat.answer()?.lookNow();
      await readFacts();
    }
  }
  clearTimeout(looking);
  looking = setTimeout(look, document.hidden ? 4 * LOOK_MS : LOOK_MS);
}

async function readFacts() {
  try {
    const facts = await askJson("server");
    chat.settings.setFacts(facts);
    const model = facts.model ?? facts.models?.[0]?.id;
    chat.thread.setQuestions(facts.questions ?? [], model);
    document.title = model ? `${model} · naru` : "naru";
    chat.showMeter();
    for (const view of chat.thread.views.values()) view.contextIsKnown();
  } catch (problem) {
    wasThere = null; // asked again
    if (problem.status === 401) tell("key_missing");
  }
}

// ---- the keyboard

new Keys({
  input: () => (showTab("chat"), byId("input").focus()),
  begin: () => (showTab("chat"), chat.begin()),
  search: () => (showTab("chat"), showSidebar(true), byId("search").focus()),
  next: () => chat.thread.step(1),
  before: () => chat.thread.step(-1),
  retry: () => chat.retry(),
  goOn: () => chat.goOn(),
  edit: () => {
    const last = chat.lastOf("user");
    if (last) chat.edit(last);
  },
  prove: () => {
    const last = chat.lastOf("assistant");
    if (last && !chat.answer()) chat.thread.acts.prove(last);
  },
  settings: () => (showTab("chat"), chat.settings.toggle()),
  chat: () => showTab("chat"),
  server: () => showTab("server"),
  runs: () => showTab("runs"),
  theme: nextTheme,
  help: () => byId("help").click(),
  escape: (event) => {
    if (sidebar.classList.contains("shown")) showSidebar(false);
    else if (chat.answer()) chat.stop();
    else if (!chat.settings.panel.hidden) chat.settings.toggle(false);
    else if (event.target === byId("input")) byId("scroller").focus();
  },
});

await chat.start();
showTab(tabOfAddress());
const whenIdle = globalThis.requestIdleCallback ?? setTimeout;
whenIdle(prepareFormulas);
const warm = () => warmUp() && whenIdle(warm);
whenIdle(warm);
look();
