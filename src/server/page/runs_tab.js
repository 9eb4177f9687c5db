// Training runs of the folder that the server was given: a list, and of one its figures and curves, as they grow.
import { askJson } from "./api.js";
import { h, remember, remembered } from "./dom.js";
import { Plot } from "./plots.js";
import { number, say, t } from "./words.js";

const LOOK_MS = 2000;
const FIRST = ["loss", "validation_loss", "reward", "accuracy", "tokens_per_second"]; // curves that stand at the top

const stateWords = (status) => (["running", "done", "stopped", "failed", "damaged"].includes(status) ? `run_${status}` : "run_other");

export class RunsTab {
  constructor(panel) {
    this.panel = panel;
    this.chosen = remembered("run");
    this.plots = new Map();
  }

  show() {
    this.list = h("div", { class: "runs-list", role: "group" });
    this.state = h("p", { class: "notice", role: "status", hidden: true });
    this.detail = h("div", { class: "run", tabindex: "-1" });
    this.panel.replaceChildren(h("div", { class: "inner runs" }, say(h("h2", {}), "tab_runs"), this.state, this.list, this.detail));
    this.mark = null;
    this.isShown = true;
    this.look();
  }

  hide() {
    this.isShown = false;
    clearTimeout(this.timer);
    this.removePlots();
  }

  removePlots() {
    for (const plot of this.plots.values()) plot.remove();
    this.plots.clear();
  }

  async look() {
    clearTimeout(this.timer);
    try {
      const { runs } = await askJson("runs");
      this.state.hidden = runs.length > 0;
      if (runs.length === 0) say(this.state, "runs_none");
      this.showList(runs);
    } catch (problem) {
      this.state.hidden = false;
      if (problem.code === "no_runs") say(this.state, "runs_off");
      else say(this.state, "server_away", { message: problem.message });
    }
    if (this.isShown) this.timer = setTimeout(() => this.look(), LOOK_MS);
  }

  showList(runs) {
    const newest = runs.toReversed();
    if (!runs.some((run) => run.id === this.chosen)) {
      this.chosen = (newest.find((run) => run.status === "running") ?? newest[0])?.id ?? null;
    }
    const focused = this.list.contains(document.activeElement) ? document.activeElement.dataset.id : null;
    this.list.replaceChildren(...newest.map((run) => this.row(run)));
    if (focused) this.list.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
    const run = runs.find((each) => each.id === this.chosen);
    if (!run) return;
    const mark = JSON.stringify([run.id, run.status, run.step, run.updated]);
    if (mark !== this.mark) this.showRun(run, mark);
  }

  row(run) {
    const share = run.steps > 0 ? Math.min(100, (100 * run.step) / run.steps) : 0;
    const measure = run.accuracy ?? run.reward ?? run.validation_loss ?? run.loss;
    const bar = h("i", {});
    bar.style.width = `${share}%`;
    return h("button", { class: "run-row", type: "button", "data-id": run.id, "aria-pressed": String(run.id === this.chosen),
      onclick: () => this.choose(run.id) },
    h("span", { class: "title" }, run.id), say(h("span", { class: `badge ${stateWords(run.status)}` }), stateWords(run.status)),
    h("span", { class: "dim" }, `${number(run.step)}${run.steps > 0 ? ` / ${number(run.steps)}` : ""}`),
    h("span", { class: "dim" }, measure === null ? "" : number(measure, 4)), h("span", { class: "context-bar shown", "aria-hidden": "true" }, bar));
  }

  choose(id) {
    this.chosen = id;
    remember("run", id);
    this.mark = null;
    this.removePlots();
    this.look().then(() => this.detail.focus({ preventScroll: true }));
  }

  async showRun(run, mark) {
    let data;
    try {
      data = await askJson(`runs/${run.id.split("/").map(encodeURIComponent).join("/")}`);
    } catch (problem) {
      this.state.hidden = false;
      say(this.state, "server_away", { message: problem.message });
      return;
    }
    if (run.id !== this.chosen || !this.isShown) return;
    this.mark = mark;
    if (this.drawn !== run.id || !this.detail.isConnected || this.detail.childElementCount === 0) {
      this.removePlots();
      this.head = h("div", {});
      this.plotsElement = h("div", { class: "plots" });
      this.rest = h("div", {});
      this.detail.replaceChildren(this.head, this.plotsElement, this.rest);
      this.drawn = run.id;
    }
    this.showHead(data);
    this.showCurves(data.curves);
    this.showRest(data);
  }

  showHead(data) {
    this.head.replaceChildren(h("h3", {}, data.name), data.summary ? h("p", { class: "dim" }, data.summary) : "",
      data.unfinished ? h("p", { class: "notice" }, data.unfinished) : "",
      ...data.alarms.map((alarm) => h("p", { class: "notice bad" }, `${t("run_step", { n: number(alarm.step) })}: ${alarm.what}. ${alarm.advice}`)),
      h("dl", { class: "tiles" }, data.figures.map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text)))));
  }

  showCurves(curves) {
    const order = (curve) => (FIRST.includes(curve.name) ? FIRST.indexOf(curve.name) : FIRST.length);
    for (const curve of curves.filter((each) => each.steps.length > 0).sort((a, b) => order(a) - order(b))) {
      if (!this.plots.has(curve.name)) {
        const isLog = /loss|perplexity/.test(curve.name) && curve.values.every((value) => value > 0);
        const plot = new Plot(curve.name.replaceAll("_", " "), [curve.name], { isLog });
        this.plots.set(curve.name, plot);
        this.plotsElement.append(plot.element);
      }
      this.plots.get(curve.name).put(curve.steps, [curve.values]);
    }
  }

  showRest(data) {
    const open = [...this.rest.querySelectorAll("details[open] summary")].map((summary) => summary.textContent);
    this.rest.replaceChildren(...data.notes.map((note) => h("p", { class: "notice" }, note)),
      ...data.sections.map((section) => h("details", { open: open.includes(section.title) }, h("summary", {}, section.title),
        h("div", { class: "table", tabindex: "0" }, h("table", {}, h("tbody", {}, section.rows.map(([name, text]) =>
          h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, text)))))))));
  }
}
