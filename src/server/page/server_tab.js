// The server as it works: what it serves, and its numbers as they change, from /metrics.
import { askJson, askText } from "./api.js";
import { h } from "./dom.js";
import { numbersOf } from "./metrics.js";
import { Plot } from "./plots.js";
import { number, say, t } from "./words.js";

const LOOK_MS = 1000;
const KEPT = 300; // looks that the plots show

const bytesText = (n) => (n >= 2 ** 30 ? `${number(n / 2 ** 30, 2)} GiB` : `${number(n / 2 ** 20, 0)} MiB`);

export class ServerTab {
  constructor(panel) {
    this.panel = panel;
    this.looks = [];
    this.before = null;
  }

  make() {
    this.tiles = h("dl", { class: "tiles" });
    this.state = h("p", { class: "notice", hidden: true, role: "status" });
    const plot = (name, series, options = {}) => new Plot(t(name), series.map((each) => t(each)),
      { fromZero: true, xWords: (value) => t("time_s", { s: number(value) }), ...options });
    this.plots = [
      [plot("plot_rate", ["rate_generated", "rate_prompt"]), ["generated", "prompt"]],
      [plot("plot_requests", ["requests_running", "requests_waiting"], { isCount: true }), ["running", "waiting"]],
      [plot("plot_cache", ["cache_used", "cache_hit"], { max: 100 }), ["cache", "hit"]],
      [plot("plot_times", ["time_first", "time_between"]), ["first", "between"]],
    ];
    this.facts = h("div", { class: "facts-table", tabindex: "0" });
    this.panel.replaceChildren(h("div", { class: "inner" }, say(h("h2", {}), "tab_server"), this.state, this.tiles,
      h("div", { class: "plots" }, this.plots.map(([plot]) => plot.element)), this.facts));
  }

  show() {
    this.remove();
    this.make();
    this.put();
    this.look();
    this.showFacts();
  }

  hide() {
    clearTimeout(this.timer);
    this.timer = null;
    this.remove();
  }

  remove() {
    this.plots?.forEach(([plot]) => plot.remove());
    this.plots = null;
  }

  async look() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), LOOK_MS);
    try {
      this.take(numbersOf(await askText("metrics?names=naru")));
      this.state.hidden = true;
    } catch (problem) {
      this.before = null;
      this.state.hidden = false;
      say(this.state, "server_away", { message: problem.message });
    }
    if (this.plots) this.put();
  }

  take(numbers) {
    const now = performance.now() / 1000;
    const { before } = this;
    const rate = (name) => (before ? Math.max(0, numbers.total(name) - before.numbers.total(name)) / (now - before.now) : null);
    const asked = before ? numbers.total("naru_prefix_query_tokens_total") - before.numbers.total("naru_prefix_query_tokens_total") : 0;
    const hit = before ? numbers.total("naru_prefix_hit_tokens_total") - before.numbers.total("naru_prefix_hit_tokens_total") : 0;
    const pages = numbers.total("naru_cache_pages_total");
    const ms = (name) => {
      const mean = before ? numbers.meanSince(before.numbers, name) : null;
      return mean === null ? null : mean * 1000;
    };
    this.start ??= now;
    this.looks.push({ at: now - this.start, generated: rate("naru_generated_tokens_total"),
      prompt: rate("naru_prompt_tokens_total"), running: numbers.total("naru_requests_running"),
      waiting: numbers.total("naru_requests_waiting"),
      cache: pages > 0 ? (100 * numbers.total("naru_cache_pages_used")) / pages : 0,
      hit: asked > 0 ? (100 * hit) / asked : null, first: ms("naru_ttft_seconds"), between: ms("naru_inter_token_seconds") });
    if (this.looks.length > KEPT) this.looks.shift();
    this.before = { now, numbers };
    this.numbers = numbers;
  }

  put() {
    const at = this.looks.map((look) => look.at);
    for (const [plot, names] of this.plots) plot.put(at, names.map((name) => this.looks.map((look) => look[name])));
    const { numbers } = this;
    if (!numbers) return;
    const tile = (name, text) => h("div", {}, say(h("dt", {}), name), h("dd", {}, text));
    const asked = numbers.total("naru_prefix_query_tokens_total");
    this.tiles.replaceChildren(
      tile("tile_requests", number(numbers.each("naru_requests_total").reduce((sum, [labels, value]) => sum + (labels.includes('"page"') ? 0 : value), 0))),
      tile("tile_running", `${number(numbers.total("naru_requests_running"))} + ${number(numbers.total("naru_requests_waiting"))}`),
      tile("tile_generated", number(numbers.total("naru_generated_tokens_total"))),
      tile("tile_prompt", number(numbers.total("naru_prompt_tokens_total"))),
      tile("tile_hits", asked > 0 ? `${number((100 * numbers.total("naru_prefix_hit_tokens_total")) / asked, 1)} %` : "–"),
      tile("tile_memory", bytesText(numbers.total("process_resident_memory_bytes"))));
  }

  async showFacts() {
    let facts;
    try {
      facts = await askJson("server");
    } catch {
      return;
    }
    const rows = [];
    const row = (name, value) => value !== undefined && value !== null && rows.push(
      h("tr", {}, say(h("th", { scope: "row" }), name), h("td", {}, String(value))));
    row("fact_version", facts.version);
    for (const model of facts.models ?? [facts]) {
      row("fact_model", model.id ?? model.model);
      row("fact_numerics", model.numerics_id);
      row("fact_chip", model.chip);
      row("fact_context", model.context_length && number(model.context_length));
      for (const file of model.files ?? []) row("fact_hash", `${file.name} ${file.sha256}`);
    }
    row("fact_parallel", `${facts.parallel} + ${facts.queue}`);
    this.facts.replaceChildren(h("table", {}, h("tbody", {}, rows)));
  }
}
