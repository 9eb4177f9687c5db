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

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const shown = (value) => (value === null || value === undefined ? "–"
  : value.toLocaleString(languageNow(), { maximumSignificantDigits: 4 }));

export class Plot {
  /** `series`: names; `options`: {isLog, unit}. */
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

  draw(Chart) {
    if (this.isGone) return;
    this.chart = new Chart(this.canvas, {
      type: "line",
      data: { labels: this.data.labels, datasets: this.series.map((label) => ({ label, data: [] })) },
      options: {
        elements: { point: { radius: 1, hitRadius: 8 }, line: { borderWidth: 1.75, tension: 0 } },
        spanGaps: true,
        plugins: { legend: { display: this.series.length > 1, labels: { boxWidth: 10, boxHeight: 2 } } },
        scales: {
          x: { type: "linear", ticks: { maxTicksLimit: 6, maxRotation: 0, callback: (value) => this.options.xWords?.(value) ?? number(value) } },
          y: { type: this.options.isLog ? "logarithmic" : "linear", beginAtZero: !this.options.isLog && this.options.fromZero,
            ticks: { maxTicksLimit: 5, callback: (value) => shown(value) } },
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
      axis.grid = { color: colour("--line") };
    }
  }

  /** Points: their places on the x axis, and for each series its values there (null: none). */
  put(labels, values) {
    this.data = { labels, values };
    const last = values.map((list) => list.findLast((value) => value !== null));
    this.now.textContent = last.map(shown).join(" / ");
    this.canvas.setAttribute("aria-label", `${this.title}: ${this.series.map((name, i) => `${name} ${shown(last[i])}`).join(", ")}`);
    if (!this.chart) return;
    this.chart.data.datasets.forEach((set, i) => {
      set.data = labels.map((x, at) => ({ x, y: values[i][at] }));
    });
    const { x } = this.chart.options.scales;
    x.min = labels[0];
    x.max = labels[labels.length - 1];
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
