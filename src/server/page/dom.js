// Elements made of plain values. Text is only ever text: nothing here reads markup.

/** h("button", {class: "x", onclick: f, "aria-label": "y"}, child, "text"): null and false children are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in PROPERTIES) element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child);
  }
  return element;
}

const PROPERTIES = { value: 1, checked: 1, disabled: 1, hidden: 1, open: 1, tabIndex: 1 };

export const byId = (id) => document.getElementById(id);

/** A value kept by the browser, or nothing where it keeps none. */
export function remembered(name) {
  try {
    return localStorage.getItem(`naru.${name}`);
  } catch {
    return null;
  }
}

/** False where the browser keeps nothing. null forgets. */
export function remember(name, value) {
  try {
    if (value === null) localStorage.removeItem(`naru.${name}`);
    else localStorage.setItem(`naru.${name}`, value);
    return true;
  } catch {
    return false;
  }
}

export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

/** Hands a text to the user as a file. */
export function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/** Where there is no clipboard (a page of plain HTTP on another machine) by the old command. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { class: "unseen", value: text, "aria-hidden": "true" });
    const focused = document.activeElement;
    document.body.append(area);
    area.select();
    const isDone = document.execCommand("copy");
    area.remove();
    focused?.focus();
    return isDone;
  }
}
