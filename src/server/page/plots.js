// Lines over time or steps, drawn by Chart.js in the colours of the page; it is fetched when the first plot is there.
import { h } from "./dom.js";
import { languageNow, number } from "./words.js";

let coming = null;
const all = new Set();

async function fetchChart() {
  coming ??= import("./chart.js").then(() => {
    const { Chart } = globalThis;
    Chart.defaults.animation = false;
    Chart.defaults.maintainAspectRatio = false;
    Chart.defaults.interaction = { mode: "index", intersect: false };
    return Chart;
  });
  return coming;
}

const SHORT_FROM = 1e5; // numbers at an axis that are written in thousands or millions
const DIGITS_MAX = 6; // behind the point of those
const SMALL = 1e-4; // what is smaller is written with its power of ten
const LONE_RADIUS = 3; // of a point that has no line to be seen by
const LOG_FROM = 20; // how much larger than its least a loss must be to be drawn by its logarithm

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const percent = (value, digits) => `${number(100 * value, digits)} %`;

/** A number at an axis, as exact as its distance to the next one asks for, so that no two are written alike. */
function tickText(value, ticks, isShare) {
  const distance = ticks.length > 1 ? Math.abs(ticks[1].value - ticks[0].value) : Math.abs(value);
  const digitsOf = (step) => Math.max(0, Math.min(DIGITS_MAX, Math.ceil(-Math.log10(step || 1) - 1e-9)));
  if (isShare) return percent(value, digitsOf(100 * distance));
  if (Math.abs(value) >= SHORT_FROM) {
    return value.toLocaleString(languageNow(), { notation: "compact", maximumSignificantDigits: 4 });
  }
  if (value === 0) return "0";
  if (distance < 10 ** -DIGITS_MAX) return value.toExponential(1);
  return number(value, digitsOf(distance));
}

/** Of a logarithmic axis: 1, 2 and 5 of each ten. */
function logTickText(value) {
  const first = Math.round((value / 10 ** Math.floor(Math.log10(value))) * 1e6) / 1e6;
  return [1, 2, 5].includes(first) ? value.toLocaleString(languageNow(), { maximumSignificantDigits: 3 }) : "";
}

/** Where the y axis must begin or end, beyond what the values say. */
function boundsOf(values, options) {
  if (options.isShare) return { min: 0, max: 1 };
  if (options.max) return { min: 0, max: options.max };
  const [least, most] = [Math.min(...values), Math.max(...values)];
  if (values.length === 0) return { min: 0, max: 1 };
  if (least !== most) return options.fromZero ? { suggestedMin: 0 } : {};
  return least === 0 ? { min: 0, max: 1 } : least > 0 ? { min: 0 } : { max: 0 };
}

export class Plot {
  /** `series`: names; `options`: {mayBeLog, isShare, isCount, max, fromZero, xWords, xTitle}. */
  constructor(title, series, options = {}) {
    this.title = title;
    this.series = series;
    this.options = options;
    this.canvas = h("canvas", { role: "img", "aria-label": title });
    this.now = h("span", { class: "now" });
    this.element = h("figure", { class: "plot" }, h("figcaption", {}, h("span", {}, title), this.now),
      h("div", { class: "canvas" }, this.canvas));
    this.data = { labels: [], values: series.map(() => []) };
    all.add(this);
    this.ready = fetchChart().then((Chart) => this.draw(Chart)).catch(() => {});
  }

  shown(value) {
    if (value === null || value === undefined) return "–";
    if (this.options.isShare) return percent(value, 1);
    if (value !== 0 && Math.abs(value) < SMALL) return value.toExponential(2);
    return value.toLocaleString(languageNow(), { maximumSignificantDigits: 4 });
  }

  draw(Chart) {
    if (this.isGone) return;
    const { isShare, xWords, xTitle } = this.options;
    this.chart = new Chart(this.canvas, {
      type: "line",
      data: { labels: this.data.labels, datasets: this.series.map((label) => ({ label, data: [] })) },
      options: {
        elements: {
          point: { hitRadius: 8, borderWidth: 0, radius: ({ dataset }) => (dataset?.isLone ? LONE_RADIUS : 0),
            backgroundColor: ({ dataset }) => dataset?.borderColor },
          line: { borderWidth: 1.75, tension: 0 },
        },
        spanGaps: true,
        plugins: {
          legend: { display: this.series.length > 1, labels: { boxWidth: 10, boxHeight: 2 } },
          tooltip: { callbacks: {
            title: ([point]) => (point ? xWords?.(point.parsed.x) ?? `${xTitle ?? ""} ${number(point.parsed.x)}`.trim() : ""),
            label: (point) => `${point.dataset.label}: ${this.shown(point.parsed.y)}`,
          } },
        },
        scales: {
          x: { type: "linear", title: { display: Boolean(xTitle), text: xTitle ?? "", padding: 0 },
            ticks: { maxTicksLimit: 6, maxRotation: 0, precision: 0,
              callback: (value, _, ticks) => xWords?.(value) ?? tickText(value, ticks, false) } },
          y: { type: "linear", ticks: { maxTicksLimit: 5, precision: this.options.isCount ? 0 : undefined,
            callback: (value, _, ticks) => (this.isLog ? logTickText(value) : tickText(value, ticks, isShare)) } },
        },
      },
    });
    this.colours();
    this.put(this.data.labels, this.data.values);
  }

  colours() {
    if (!this.chart) return;
    const names = ["--accent", "--second", "--third"];
    this.chart.data.datasets.forEach((set, i) => {
      set.borderColor = colour(names[i % names.length]);
      set.backgroundColor = set.borderColor;
    });
    const { options } = this.chart;
    options.color = colour("--dim");
    for (const axis of Object.values(options.scales)) {
      axis.ticks.color = colour("--dim");
      if (axis.title) axis.title.color = colour("--dim");
      axis.grid = { color: colour("--line") };
    }
  }

  /** Points: their places on the x axis, and for each series its values there (null: none). */
  put(labels, values) {
    this.data = { labels, values };
    const last = values.map((list) => list.findLast((value) => value !== null));
    this.now.textContent = last.map((value) => this.shown(value)).join(" / ");
    this.canvas.setAttribute("aria-label", `${this.title}: ${this.series.map((name, i) => `${name} ${this.shown(last[i])}`).join(", ")}`);
    if (!this.chart) return;
    this.chart.data.datasets.forEach((set, i) => {
      set.data = labels.map((x, at) => ({ x, y: values[i][at] }));
      set.isLone = values[i].filter((value) => value !== null).length < 2;
    });
    const { x, y } = this.chart.options.scales;
    x.min = Math.floor(labels[0]);
    x.max = Math.max(x.min + 1, Math.ceil(labels[labels.length - 1]));
    const known = values.flat().filter((value) => value !== null);
    this.isLog = Boolean(this.options.mayBeLog) && known.length > 0 && Math.min(...known) > 0 &&
      Math.max(...known) > LOG_FROM * Math.min(...known);
    y.type = this.isLog ? "logarithmic" : "linear";
    const { min, max, suggestedMin } = this.isLog ? {} : boundsOf(known, this.options);
    Object.assign(y, { min, max, suggestedMin });
    this.chart.update("none");
  }

  remove() {
    this.isGone = true;
    all.delete(this);
    this.chart?.destroy();
    this.element.remove();
  }
}

/** When the theme is another. */
export function recolourPlots() {
  for (const plot of all) {
    plot.colours();
    plot.chart?.update("none");
  }
}
