// Training runs of the folder that the server was given: a list, in which the stages of a pipeline stand together and in
// order, and of one run its figures and curves, as they grow.
import { askJson } from "./api.js";
import { h, remember, remembered } from "./dom.js";
import { Plot } from "./plots.js";
import { duration, number, say, short, t } from "./words.js";

const LOOK_MS = 2000;
// Curves that stand at the top, in this order; pass@k after them, all others behind a fold.
const FIRST = ["accuracy", "reward", "validation_loss", "loss", "answer_tokens", "tokens_per_s"];
const PASS = /^pass_(\d+)$/;
const SHARES = /^(accuracy|rollout_accuracy|pass_\d+|\w+_share|flat_groups|flat_kept)$/;
const LOSSES = /loss|perplexity/;
// What a run is measured by, the most telling first.
const MEASURES = ["accuracy", "reward", "validation_loss", "loss"];

const stateWords = (status) => (["running", "done", "stopped", "failed", "damaged"].includes(status) ? `run_${status}` : "run_other");
const measureText = (name, value) => (name === "accuracy" ? `${number(100 * value, 1)} %` : number(value, name === "reward" ? 3 : 4));

/** What a curve is called: some have words of the page, all others their own name. */
function curveTitle(name) {
  const pass = PASS.exec(name);
  if (pass) return `pass@${pass[1]}`;
  const words = t(`curve_${name}`);
  return words === `curve_${name}` ? name.replaceAll("_", " ") : words;
}

/** What an alarm is about, in the page's language; what it says itself is English. Kinds that the page does not know have none. */
function alarmTitle(kind) {
  const words = t(`alarm_${kind}`);
  return words === `alarm_${kind}` ? "" : `${words}. `;
}

/** Groups of rows: {pipeline or null, stages: [{name, kind, takes, run or null}]}, that with the newest run first. */
function groupsOf(runs, pipelines) {
  const byId = new Map(runs.map((run) => [run.id, run]));
  const groups = pipelines.map((pipeline) => ({ pipeline, stages: pipeline.stages.map((stage) => ({ ...stage, run: byId.get(stage.run) ?? null })) }));
  const ofPipelines = new Set(pipelines.flatMap((pipeline) => pipeline.stages.map((stage) => stage.run)));
  for (const run of runs) {
    if (!ofPipelines.has(run.id)) groups.push({ pipeline: null, stages: [{ name: run.id, kind: "", takes: "", run }] });
  }
  const begun = (group) => group.stages.reduce((latest, { run }) => (run && run.started > latest ? run.started : latest), "");
  return groups.map((group) => [begun(group), group]).sort(([a], [b]) => (a < b ? 1 : a > b ? -1 : 0)).map(([, group]) => group);
}

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
      const { runs, pipelines } = await askJson("runs");
      this.state.hidden = runs.length > 0;
      if (runs.length === 0) say(this.state, "runs_none");
      this.showList(runs, groupsOf(runs, pipelines ?? []));
    } catch (problem) {
      this.state.hidden = false;
      if (problem.code === "no_runs") say(this.state, "runs_off");
      else say(this.state, "server_away", { message: problem.message });
    }
    if (this.isShown) this.timer = setTimeout(() => this.look(), LOOK_MS);
  }

  showList(runs, groups) {
    if (!runs.some((run) => run.id === this.chosen)) {
      const newest = groups.flatMap((group) => group.stages.map(({ run }) => run).filter(Boolean).reverse());
      this.chosen = (newest.find((run) => run.status === "running") ?? newest[0])?.id ?? null;
    }
    const focused = this.list.contains(document.activeElement) ? document.activeElement.dataset.id : null;
    this.list.replaceChildren(...groups.map((group) => this.group(group)));
    if (focused) this.list.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
    for (const { pipeline, stages } of groups) {
      const stage = stages.find(({ run }) => run && run.id === this.chosen);
      if (!stage) continue;
      const mark = JSON.stringify([stage.run.id, stage.run.status, stage.run.step, stage.run.updated]);
      if (mark !== this.mark) this.showRun(stage.run, pipeline, stage, mark);
    }
  }

  group({ pipeline, stages }) {
    if (!pipeline) return this.row(stages[0], stages[0].name);
    return h("div", { class: "pipeline", role: "group", "aria-label": pipeline.id },
      h("h3", {}, h("span", { class: "title" }, pipeline.id), this.pipelineState(stages)),
      h("ol", {}, stages.map((stage) => h("li", {}, this.row(stage, stage.name)))));
  }

  pipelineState(stages) {
    const n = stages.filter(({ run }) => run?.status === "done").length;
    return say(h("span", { class: "dim" }), "pipeline_state", { n: number(n), of: number(stages.length) });
  }

  row({ kind, run }, title) {
    const head = [h("span", { class: "title" }, title, kind ? h("span", { class: "kind" }, ` ${kind}`) : "")];
    if (!run) return h("div", { class: "run-row waits" }, head, say(h("span", { class: "badge" }), "run_waits"));
    const share = run.steps > 0 ? Math.min(100, (100 * run.step) / run.steps) : 0;
    const measure = MEASURES.find((name) => run[name] !== null && run[name] !== undefined);
    const bar = h("i", {});
    bar.style.width = `${share}%`;
    const steps = h("span", { class: "dim" });
    if (run.steps > 0) say(steps, "run_steps", { n: number(run.step), of: number(run.steps) });
    else say(steps, "run_step", { n: number(run.step) });
    return h("button", { class: "run-row", type: "button", "data-id": run.id, "aria-pressed": String(run.id === this.chosen),
      onclick: () => this.choose(run.id) },
    head, say(h("span", { class: `badge ${stateWords(run.status)}` }), stateWords(run.status)), steps,
    measure ? say(h("span", { class: "dim" }), `measure_${measure}`, { n: measureText(measure, run[measure]) }) : h("span", {}),
    h("span", { class: "context-bar shown", "aria-hidden": "true" }, bar));
  }

  choose(id) {
    this.chosen = id;
    remember("run", id);
    this.mark = null;
    this.removePlots();
    this.look().then(() => this.detail.focus({ preventScroll: true }));
  }

  async showRun(run, pipeline, stage, mark) {
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
      this.moreElement = h("div", { class: "plots" });
      this.more = h("details", { hidden: true, ontoggle: () => this.showCurves() }, say(h("summary", {}), "more_curves"), this.moreElement);
      this.rest = h("div", { lang: "en" });
      this.detail.replaceChildren(this.head, this.plotsElement, this.more, this.rest);
      this.drawn = run.id;
    }
    this.showHead(run, pipeline, stage, data);
    this.curves = data.curves.filter((curve) => curve.steps.length > 0);
    this.showCurves();
    this.showRest(data);
  }

  showHead(run, pipeline, stage, data) {
    const english = { lang: "en" }; // the words of the run itself
    const from = stage.takes ? say(h("p", { class: "dim" }), "run_takes", { stages: stage.takes }) : "";
    // A running one says at which step it is; why one has failed nobody else says.
    const why = run.status === "failed" && data.unfinished ? h("p", { class: "notice bad", ...english }, data.unfinished) : "";
    // A stage that goes on from another has said so: the folder of that model says less.
    const model = data.sections.flatMap((section) => section.rows).find(([name]) => name === "model")?.[1];
    const summary = stage.takes && data.summary.startsWith(`${model} · `) ? data.summary.slice(model.length + 3) : data.summary;
    this.head.replaceChildren(
      h("h3", { class: "run-name" }, pipeline ? `${pipeline.id} · ${stage.name}` : run.id,
        say(h("span", { class: `badge ${stateWords(run.status)}` }), stateWords(run.status))),
      from, summary ? h("p", { class: "dim", ...english }, summary) : "", why,
      ...data.alarms.map((alarm) => h("p", { class: "notice bad" }, `${t("run_step", { n: number(alarm.step) })}: `,
        h("strong", {}, alarmTitle(alarm.kind)), h("span", english, `${alarm.what}. ${alarm.advice}`))),
      h("dl", { class: "tiles" }, this.tiles(run, data)));
  }

  tiles(run, data) {
    const curve = (name) => data.curves.find((each) => each.name === name)?.values ?? [];
    const tile = (text, name, gaps = {}) => h("div", {}, say(h("dt", {}), name, gaps), h("dd", {}, text));
    const tiles = [];
    for (const name of MEASURES) {
      if (run[name] === null || run[name] === undefined) continue;
      const values = curve(name);
      const hasFirst = values.length > 1;
      tiles.push(tile(measureText(name, run[name]), hasFirst ? `tile_${name}_from` : `tile_${name}`,
        hasFirst ? { first: measureText(name, values[0]) } : {}));
    }
    const compared = curve("tokens_compared_total").at(-1);
    if (compared > 0 && run.status !== "failed") tiles.push(tile(short(compared), "tile_compared"));
    tiles.push(tile(run.steps > 0 ? `${number(run.step)} / ${number(run.steps)}` : number(run.step), "tile_steps"));
    const tokens = curve("tokens").at(-1);
    if (tokens > 0) tiles.push(tile(short(tokens), "tile_tokens"));
    if (run.seconds > 0) tiles.push(tile(duration(run.seconds), "tile_seconds"));
    return tiles;
  }

  showCurves() {
    const place = ({ name }) => (FIRST.includes(name) ? FIRST.indexOf(name) : PASS.test(name) ? FIRST.length : -1);
    const first = this.curves.filter((curve) => place(curve) >= 0).sort((a, b) => place(a) - place(b));
    const others = this.curves.filter((curve) => place(curve) < 0);
    this.more.hidden = others.length === 0;
    for (const curve of first) this.showCurve(curve, this.plotsElement);
    for (const curve of this.more.open ? others : []) this.showCurve(curve, this.moreElement);
  }

  showCurve({ name, steps, values }, parent) {
    if (!this.plots.has(name)) {
      const title = curveTitle(name);
      const isShare = SHARES.test(name) && values.every((value) => value >= 0 && value <= 1);
      this.plots.set(name, new Plot(title, [title], { isShare, mayBeLog: LOSSES.test(name), xTitle: t("axis_step") }));
      parent.append(this.plots.get(name).element);
    }
    this.plots.get(name).put(steps, [values]);
  }

  // In the report's own words, which are English.
  showRest(data) {
    const open = [...this.rest.querySelectorAll("details[open] summary")].map((summary) => summary.textContent);
    this.rest.replaceChildren(...data.notes.map((note) => h("p", { class: "notice" }, note)),
      ...data.sections.map((section) => h("details", { open: open.includes(section.title) }, h("summary", {}, section.title),
        h("div", { class: "table", tabindex: "0" }, h("table", {}, h("tbody", {}, section.rows.map(([name, text]) =>
          h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, text)))))))));
  }
}
