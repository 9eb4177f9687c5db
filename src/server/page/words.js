// The page's own words in the language that was chosen. Elements say which words they show (data-t, data-t-label,
// data-t-placeholder), so that another language can be put in at any time.
import { remember, remembered } from "./dom.js";
import en from "./words_en.js";
import ko from "./words_ko.js";
import zh from "./words_zh.js";

const LANGUAGES = { en, ko, zh };
const SHORT_FROM = 1e7;
const values = new WeakMap(); // element -> what stands in the gaps of its words
const listeners = new Set();
let language = chosen();

function chosen() {
  const own = remembered("language");
  if (own in LANGUAGES) return own;
  for (const each of navigator.languages ?? []) {
    const name = each.slice(0, 2).toLowerCase();
    if (name in LANGUAGES) return name;
  }
  return "en";
}

export const languageNow = () => language;

/** The words of that name, with {gaps} filled in; a function is asked anew in each language. */
export function t(name, gaps = {}) {
  const words = LANGUAGES[language][name] ?? en[name] ?? name;
  const filled = (value) => String(typeof value === "function" ? value() : value);
  return words.replace(/\{(\w+)\}/g, (whole, gap) => (gap in gaps ? filled(gaps[gap]) : whole));
}

/** Makes the element show these words, in other languages too. */
export function say(element, name, gaps = {}) {
  element.dataset.t = name;
  values.set(element, gaps);
  element.textContent = t(name, gaps);
  return element;
}

/** The same for what a screen reader calls it, and what a pointer over it shows. */
export function label(element, name) {
  element.dataset.tLabel = name;
  element.setAttribute("aria-label", t(name));
  if (element.tagName === "BUTTON") element.title = t(name);
  return element;
}

export function translate(root = document) {
  document.documentElement.lang = language === "zh" ? "zh-Hans" : language;
  for (const element of root.querySelectorAll("[data-t]")) {
    element.textContent = t(element.dataset.t, values.get(element));
  }
  for (const element of root.querySelectorAll("[data-t-label]")) label(element, element.dataset.tLabel);
  for (const element of root.querySelectorAll("[data-t-placeholder]")) {
    element.placeholder = t(element.dataset.tPlaceholder);
  }
}

export function setLanguage(name) {
  language = name;
  remember("language", name);
  translate();
  for (const listener of listeners) listener();
}

export const whenLanguageChanges = (listener) => listeners.add(listener);

/** As all three languages write it. The browser's own way has it read its tables first, in the frame that needs a number. */
export function number(value, digits = 0) {
  const [whole, part] = value.toFixed(digits).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return part === undefined ? grouped : `${grouped}.${part}`;
}

/** "Dec 1" of milliseconds since 1970. As above: the browser's own way would read its tables first. */
export function dayOf(ms) {
  const date = new Date(ms);
  return t("day", { month: t("months").split(" ")[date.getMonth()], day: date.getDate() });
}

/** A large number in millions or what the language counts in. */
export const short = (value) => (Math.abs(value) < SHORT_FROM ? number(value)
  : value.toLocaleString(language, { notation: "compact", maximumSignificantDigits: 4 }));

/** "3 min 20 s", in the two largest units. */
export function duration(seconds) {
  if (seconds < 60) return t("time_s", { s: number(seconds, seconds < 10 ? 1 : 0) });
  const whole = Math.round(seconds);
  if (whole < 3600) return t("time_min", { min: Math.floor(whole / 60), s: whole % 60 });
  return t("time_h", { h: number(Math.floor(whole / 3600)), min: Math.floor((whole % 3600) / 60) });
}
