// How answers are drawn: fields that are empty are the server's to choose, and say what it chooses.
import { byId, h } from "./dom.js";
import { label, number, say, t, whenLanguageChanges } from "./words.js";

const FIELDS = [
  { name: "temperature", min: 0, max: 100, step: 0.05 },
  { name: "top_p", min: 0, max: 1, step: 0.01 },
  { name: "top_k", min: 0, max: 1000000, step: 1 },
  { name: "min_p", min: 0, max: 1, step: 0.01 },
  { name: "repetition_penalty", min: 0.01, max: 100, step: 0.05 },
  { name: "presence_penalty", min: -2, max: 2, step: 0.1, plain: 0 },
  { name: "frequency_penalty", min: -2, max: 2, step: 0.1, plain: 0 },
  { name: "max_tokens", min: 1, max: 10000000, step: 1, words: "default_max_tokens" },
  { name: "seed", min: 0, max: Number.MAX_SAFE_INTEGER, step: 1, words: "default_seed" },
];

export class Settings {
  /** `changed` is called when the conversation's settings or system prompt are others. */
  constructor(changed) {
    this.changed = changed;
    this.panel = byId("settings");
    this.opener = byId("settings-open");
    this.facts = null;
    this.conversation = null;
    this.inputs = new Map();
    this.make();
    this.opener.addEventListener("click", () => this.toggle());
    whenLanguageChanges(() => this.showDefaults());
  }

  toggle(isOpen = this.panel.hidden) {
    this.panel.hidden = !isOpen;
    this.opener.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) this.system.focus();
    else this.opener.focus();
  }

  make() {
    this.system = h("textarea", { id: "system", rows: "5" });
    this.system.addEventListener("input", () => this.take("system"));
    this.model = h("select", { id: "model" });
    this.model.addEventListener("change", () => this.take("model"));
    this.modelRow = this.row("model", this.model);
    this.stop = h("textarea", { id: "stop", rows: "2" });
    this.stop.dataset.tPlaceholder = "stop_hint";
    this.stop.addEventListener("input", () => this.take("stop"));
    this.thinking = h("select", { id: "thinking" }, ["", "enabled", "disabled"].map((value) =>
      say(h("option", { value }), `thinking_${value || "default"}`)));
    this.thinking.addEventListener("change", () => this.take("thinking"));
    const close = label(h("button", { class: "icon", type: "button", onclick: () => this.toggle(false) }, "×"), "close");
    this.panel.append(h("div", { class: "row" }, say(h("h2", {}), "settings"), h("span", { class: "space" }), close),
      this.row("system", this.system), this.modelRow, this.row("thinking", this.thinking));
    for (const field of FIELDS) {
      const input = h("input", { id: `set-${field.name}`, type: "number", inputmode: "decimal", min: field.min,
        max: field.max, step: "any" });
      input.addEventListener("input", () => this.take(field.name));
      this.inputs.set(field.name, input);
      this.panel.append(this.row(field.name, input, `set-${field.name}`));
    }
    this.panel.append(this.row("stop", this.stop),
      say(h("button", { class: "quiet", type: "button", onclick: () => this.reset() }), "settings_reset"));
  }

  row(name, input, id = input.id) {
    return h("div", { class: "field" }, say(h("label", { for: id }), `set_${name}`), input);
  }

  take(name) {
    const { conversation } = this;
    if (name === "system") {
      conversation.system = this.system.value;
    } else if (name === "model" || name === "thinking" || name === "stop") {
      if (this[name].value) conversation.settings[name] = this[name].value;
      else delete conversation.settings[name];
    } else {
      const input = this.inputs.get(name);
      const field = FIELDS.find((each) => each.name === name);
      const value = input.valueAsNumber;
      const isWhole = field.step !== 1 || Number.isInteger(value);
      const isFine = input.value === "" ? !input.validity.badInput : value >= field.min && value <= field.max && isWhole;
      input.setAttribute("aria-invalid", String(!isFine));
      if (!isFine) return;
      if (input.value === "") delete conversation.settings[name];
      else conversation.settings[name] = value;
    }
    this.mark();
    this.changed();
  }

  reset() {
    this.conversation.settings = this.conversation.settings.model ? { model: this.conversation.settings.model } : {};
    this.show(this.conversation);
    this.changed();
  }

  show(conversation) {
    this.conversation = conversation;
    this.system.value = conversation.system;
    for (const [name, input] of this.inputs) {
      input.value = conversation.settings[name] ?? "";
      input.setAttribute("aria-invalid", "false");
    }
    for (const name of ["model", "thinking", "stop"]) this[name].value = conversation.settings[name] ?? "";
    this.mark();
  }

  /** Of the model that the conversation asks. */
  modelFacts() {
    const { models } = this.facts ?? {};
    if (!models) return this.facts;
    return models.find((model) => model.id === this.conversation?.settings.model) ?? models[0];
  }

  /** What /v1/server says. */
  setFacts(facts) {
    this.facts = facts;
    const names = facts.models?.map((model) => model.id) ?? [];
    this.modelRow.hidden = names.length === 0;
    this.model.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
    if (names.length > 0 && !names.includes(this.conversation?.settings.model)) {
      this.conversation.settings.model = names[0];
    }
    if (this.conversation) this.model.value = this.conversation.settings.model ?? "";
    this.showDefaults();
  }

  showDefaults() {
    const sampling = this.modelFacts()?.sampling;
    for (const field of FIELDS) {
      const input = this.inputs.get(field.name);
      const value = field.plain ?? sampling?.[field.name];
      if (field.words) input.placeholder = t(field.words);
      else if (value === undefined) input.placeholder = t("default_unknown");
      else {
        const from = field.plain === undefined && sampling.defaults === "makers" ? "default_makers" : "default_plain";
        input.placeholder = t(from, { value: number(Math.round(value * 1e6) / 1e6, value % 1 === 0 ? 0 : 2) });
      }
    }
  }

  mark() {
    const n = Object.keys(this.conversation.settings).filter((name) => name !== "model").length;
    this.opener.classList.toggle("changed", n > 0 || this.conversation.system.trim() !== "");
  }
}
