#include "runs/report_page.h"

namespace naru::runs {

const std::string_view kReportStyle = R"css(
:root { --back: #f6f7f9; --card: #fff; --text: #14181f; --dim: #626b78; --line: #e1e5ea; --grid: #eceff3;
  --c0: #2563eb; --c1: #d97706; --c2: #059669; --c3: #9333ea; --good: #047857; --bad: #b91c1c; --warn: #b45309; }
@media (prefers-color-scheme: dark) { :root { --back: #0f1216; --card: #171b21; --text: #e6eaf0; --dim: #949eac;
  --line: #272d36; --grid: #20262e; --c0: #60a5fa; --c1: #fbbf24; --c2: #34d399; --c3: #c084fc; --good: #34d399;
  --bad: #f87171; --warn: #fbbf24; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); line-height: 1.5; -webkit-text-size-adjust: 100%;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK KR", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 32px 20px 64px; }
header { display: flex; gap: 14px; align-items: center; flex-wrap: wrap; margin-bottom: 20px; }
h1 { font-size: 27px; line-height: 1.2; margin: 0; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 0 0 12px; letter-spacing: -.005em; }
h3 { font-size: 12px; margin: 0 0 4px; color: var(--dim); font-weight: 500; }
section { margin-top: 34px; }
.status { font-size: 13px; font-weight: 600; padding: 2px 11px; border-radius: 99px; border: 1px solid currentColor;
  color: var(--dim); overflow-wrap: anywhere; }
.status.done { color: var(--good); } .status.failed { color: var(--bad); }
.status.running, .status.stopped { color: var(--warn); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 1px; background: var(--line);
  border: 1px solid var(--line); border-radius: 12px; overflow: hidden; }
.figure { background: var(--card); padding: 14px 16px; }
.figure b { display: block; font-size: 22px; font-weight: 600; line-height: 1.25; font-variant-numeric: tabular-nums;
  white-space: nowrap; letter-spacing: -.01em; }
.figure span { color: var(--dim); font-size: 13px; }
.note { color: var(--warn); margin: 12px 0 0; }
.controls { display: flex; gap: 8px 22px; align-items: center; flex-wrap: wrap; margin-bottom: 12px; }
.controls h2 { margin: 0; flex: 1; }
.controls label { display: flex; gap: 8px; align-items: center; color: var(--dim); font-size: 13px; cursor: pointer; }
input { accent-color: var(--c0); margin: 0; } input[type=range] { width: 110px; }
#charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); gap: 16px; }
.chart { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px 14px 8px; min-width: 0; }
.chart.wide { grid-column: 1 / -1; }
.head { display: flex; gap: 2px 16px; flex-wrap: wrap; align-items: baseline; font-size: 13px; min-height: 22px; }
.head b { font-size: 14px; font-weight: 600; margin-right: auto; overflow-wrap: anywhere; min-width: 0; }
.key { color: var(--dim); white-space: nowrap; font-variant-numeric: tabular-nums; }
.key i { display: inline-block; width: 14px; height: 3px; border-radius: 2px; margin-right: 6px; vertical-align: middle; }
.key em { font-style: normal; color: var(--text); margin-left: 6px; }
.s0 { background: var(--c0); } .s1 { background: var(--c1); } .s2 { background: var(--c2); } .s3 { background: var(--c3); }
svg { display: block; width: 100%; touch-action: pan-y; cursor: crosshair; }
svg text { fill: var(--dim); font-size: 11px; font-variant-numeric: tabular-nums; }
.grid { stroke: var(--grid); } .axis { stroke: var(--line); }
.tag { fill: var(--text); } svg text.at { fill: var(--card); font-weight: 600; } svg:focus-visible { outline: 2px solid var(--c0); }
.cross { stroke: var(--dim); stroke-dasharray: 3 3; }
.curve { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; } .curve.raw { opacity: .27; stroke-width: 1; }
.l0 { stroke: var(--c0); } .l1 { stroke: var(--c1); } .l2 { stroke: var(--c2); } .l3 { stroke: var(--c3); }
.d0 { fill: var(--c0); } .d1 { fill: var(--c1); } .d2 { fill: var(--c2); } .d3 { fill: var(--c3); }
.dot { stroke: var(--card); stroke-width: 1.5; }
.sample { background: var(--card); border: 1px solid var(--line); border-radius: 12px; margin-bottom: 14px; overflow: hidden; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.55 ui-monospace, SFMono-Regular, Menlo,
  Consolas, "Noto Sans Mono", "Noto Sans Mono CJK KR", monospace; }
.prompt { padding: 12px 16px; border-bottom: 1px solid var(--line); font-weight: 600; }
.answers { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 320px), 1fr)); }
.answers > div { padding: 12px 16px; min-width: 0; box-shadow: -1px -1px 0 var(--line); }
summary { cursor: pointer; color: var(--dim); font-size: 13px; } .sample summary { padding: 8px 16px; border-top: 1px solid var(--line); }
.recipe { margin-top: 10px; background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px 16px; }
table { border-collapse: separate; border-spacing: 0; width: 100%; background: var(--card); border: 1px solid var(--line);
  border-radius: 12px; overflow: hidden; }
th, td { text-align: left; vertical-align: top; padding: 7px 16px; border-top: 1px solid var(--grid); overflow-wrap: anywhere; }
tr:first-child th, tr:first-child td { border-top: 0; }
th { font-weight: 400; color: var(--dim); width: 230px; } td { font-variant-numeric: tabular-nums; }
@media (max-width: 600px) { main { padding: 20px 12px 48px; } h1 { font-size: 22px; } .figure { padding: 11px 13px; }
  .figure b { font-size: 18px; } th, td { display: block; width: auto; padding: 6px 13px 0; border: 0; } td { padding: 0 13px 7px; }
  tr + tr th { border-top: 1px solid var(--grid); } .controls h2, .wide .head b { flex-basis: 100%; } }
@media print { .controls label, .recipe { display: none; } body { background: #fff; } }
)css";

const std::string_view kReportScript = R"js(
"use strict";
(() => {
  const holder = document.getElementById("charts");
  if (!holder) return;
  const curves = JSON.parse(document.getElementById("curves").textContent);
  const smooth = document.getElementById("smooth"), log = document.getElementById("log");
  const make = (name, attributes, parent) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (parent) parent.appendChild(node);
    return node;
  };
  const element = (name, className, text, parent) => {
    const node = document.createElement(name);
    if (className) node.className = className;
    if (text) node.textContent = text;
    parent.appendChild(node);
    return node;
  };
  const grouped = v => v.toLocaleString("en").replace(/,/g, "\u202f");
  const shown = v => {
    const a = Math.abs(v);
    if (v === 0) return "0";
    if (a >= 1e6 || a < 1e-3) return v.toExponential(2).replace("e+", "e").replace(/\.?0+e/, "e");
    if (a >= 1000) return grouped(Math.round(v));
    return String(+v.toPrecision(4));
  };

  // What belongs together stands in one chart; the rest has one each.
  const titles = {__proto__: null, loss: "Loss", lr: "Learning rate", grad_norm: "Gradient norm", tokens_per_s: "Tokens a second"};
  const labels = {__proto__: null, loss: "training", validation_loss: "validation", mtp_loss: "prediction layers"};
  const together = [["loss", "validation_loss", "mtp_loss"]];
  const find = name => curves.find(c => c.name === name && c.steps.length);
  const charts = [], used = new Set(["tokens"]);  // a straight line that the figures above say better
  for (const names of together) {
    const series = names.map(find).filter(Boolean);
    series.forEach(s => used.add(s.name));
    if (series.length) charts.push({title: titles[names[0]], series, wide: true});
  }
  const order = ["lr", "grad_norm", "tokens_per_s"];
  const rest = curves.filter(c => c.steps.length && !used.has(c.name));
  const place = c => (order.indexOf(c.name) + order.length + 1) % (order.length + 1);
  rest.map((c, i) => [c, i]).sort((a, b) => (order.indexOf(a[0].name) < 0 ? 99 : place(a[0])) -
    (order.indexOf(b[0].name) < 0 ? 99 : place(b[0])) || a[1] - b[1])
    .forEach(([c]) => charts.push({title: titles[c.name] || c.name, series: [c]}));
  const steps = curves.flatMap(c => c.steps.length ? [c.steps[0], c.steps[c.steps.length - 1]] : []);
  const first = Math.min(...steps), last = Math.max(...steps, first + 1);

  // Two means over a window around each value. Towards the ends the window shrinks on both sides, to a few values, so that
  // the curve neither lags behind the values nor bends away from them.
  const mean = (values, radius) => {
    const sums = [0];
    values.forEach(v => sums.push(sums[sums.length - 1] + v));
    return values.map((_, i) => {
      const r = Math.min(radius, Math.max(4, Math.min(i, values.length - 1 - i)));
      const from = Math.max(0, i - r), to = Math.min(values.length, i + r + 1);
      return (sums[to] - sums[from]) / (to - from);
    });
  };
  const smoothed = (values, amount) => {
    const radius = Math.round((Math.pow(values.length / 15, amount) - 1) / 2);
    return radius < 1 ? null : mean(mean(values, radius), radius);
  };
  const ticksOf = (low, high, n) => {
    const raw = (high - low) / n, power = Math.pow(10, Math.floor(Math.log10(raw)));
    const step = [1, 2, 2.5, 5, 10].map(m => m * power).find(s => s >= raw * .999);
    const ticks = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) ticks.push(+(i * step).toPrecision(12));
    return ticks;
  };
  const logTicks = (low, high) => {
    for (const marks of [[1], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 8]]) {
      const out = [];
      for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); ++e)
        for (const m of marks) { const v = +(m * Math.pow(10, e)).toPrecision(3); if (v >= low && v <= high) out.push(v); }
      if (out.length > 3) return out.filter((_, i) => i % Math.ceil(out.length / 8) === 0);
    }
    return ticksOf(low, high, 6);
  };
  const nearest = (sorted, x) => {
    let low = 0, high = sorted.length - 1;
    while (low < high) { const mid = (low + high) >> 1; if (sorted[mid] < x) low = mid + 1; else high = mid; }
    return low > 0 && x - sorted[low - 1] <= sorted[low] - x ? low - 1 : low;
  };

  for (const chart of charts) {
    chart.card = element("div", "chart" + (chart.wide ? " wide" : ""), "", holder);
    const head = element("div", "head", "", chart.card);
    element("b", "", chart.title, head);
    chart.keys = chart.series.map((s, i) => {
      const key = element("span", "key", "", head);
      if (chart.series.length > 1) element("i", "s" + i, "", key);
      key.appendChild(document.createTextNode(labels[s.name] && chart.series.length > 1 ? labels[s.name] : ""));
      return element("em", "", "", key);
    });
    chart.svg = make("svg", {role: "img", "aria-label": chart.title + "; arrow keys move the step", tabindex: 0}, null);
    chart.card.appendChild(chart.svg);
    const move = event => {
      const box = chart.svg.getBoundingClientRect();
      const share = (event.clientX - box.left - chart.left) / (chart.width - chart.left - chart.right);
      point(first + Math.max(0, Math.min(1, share)) * (last - first));
    };
    chart.svg.addEventListener("pointermove", move);
    chart.svg.addEventListener("pointerdown", move);
    chart.svg.addEventListener("pointerleave", () => point(null));
    chart.svg.addEventListener("blur", () => point(null));
    chart.svg.addEventListener("keydown", event => {
      const moves = {ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -1e9, End: 1e9};
      if (!(event.key in moves)) return;
      event.preventDefault();
      const all = chart.series[0].steps, from = current === null ? all.length - 1 : nearest(all, current);
      point(all[Math.max(0, Math.min(all.length - 1, from + moves[event.key]))]);
    });
  }

  function draw(chart) {
    const width = chart.width = Math.max(240, chart.svg.clientWidth || chart.card.clientWidth - 28);
    const height = chart.height = chart.wide ? Math.min(360, Math.max(240, width * .36)) : 210;
    const amount = smooth.value / 100;
    const isLog = log.checked && chart.series.every(s => s.values.every(v => v > 0));
    chart.smooth = chart.series.map(s => s.name === "lr" || s.name === "validation_loss" ? null : smoothed(s.values, amount));
    // A few extreme values must not flatten the rest: on a straight scale the top is near the highest one in a hundred.
    const all = chart.series.flatMap(s => s.values), sorted = [...all].sort((a, b) => a - b);
    let low = sorted[0], high = sorted[sorted.length - 1];
    const most = sorted[Math.floor((sorted.length - 1) * .99)], middle = sorted[sorted.length >> 1];
    if (!isLog && sorted.length > 50 && high - middle > 4 * (most - middle) && most > middle) high = most + .35 * (most - low);
    if (low === high) { low -= Math.abs(low) * .1 || 1; high += Math.abs(high) * .1 || 1; }
    if (!isLog) { const pad = (high - low) * .05; if (low >= 0 && low < .4 * high) low = 0; else low -= pad; high += pad; }
    const to = isLog ? Math.log : v => v;
    chart.yticks = isLog ? logTicks(low, high) : ticksOf(low, high, height / 52);
    chart.left = 12 + 6.6 * Math.max(...chart.yticks.map(t => shown(t).length), 2); chart.right = 10;
    const top = 8, bottom = height - 22;
    const x = chart.x = s => chart.left + (s - first) / (last - first) * (width - chart.left - chart.right);
    const y = chart.y = v => Math.max(top - 4, bottom - (to(v) - to(low)) / (to(high) - to(low)) * (bottom - top));
    const svg = chart.svg;
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    for (const t of chart.yticks) {
      make("line", {x1: chart.left, x2: width - chart.right, y1: y(t), y2: y(t), "class": "grid"}, svg);
      make("text", {x: chart.left - 7, y: y(t) + 4, "text-anchor": "end"}, svg).textContent = shown(t);
    }
    make("line", {x1: chart.left, x2: width - chart.right, y1: bottom, y2: bottom, "class": "axis"}, svg);
    const xticks = ticksOf(first, last, Math.max(2, width / 110)).filter(t => Number.isInteger(t));
    chart.xticks = xticks.map(t => {
      const anchor = x(t) > width - 24 ? "end" : x(t) < chart.left + 12 ? "start" : "middle";
      const label = make("text", {x: x(t), y: height - 5, "text-anchor": anchor}, svg);
      label.textContent = t >= 1e6 ? shown(t) : grouped(t);
      return {x: x(t), label};
    });
    const path = (s, values, className) => {
      let d = "";
      for (let i = 0; i < values.length; ++i) d += (i ? "L" : "M") + x(s.steps[i]).toFixed(1) + " " + y(values[i]).toFixed(1);
      make("path", {d, "class": className}, svg);
    };
    chart.series.forEach((s, i) => {
      path(s, s.values, `curve l${i}` + (chart.smooth[i] ? " raw" : ""));
      if (chart.smooth[i]) path(s, chart.smooth[i], `curve l${i}`);
      if (s.steps.length <= 40) s.steps.forEach((t, j) => make("circle", {cx: x(t), cy: y(s.values[j]), r: 2.6, "class": `d${i}`}, svg));
    });
    chart.cross = make("line", {y1: top, y2: bottom, "class": "cross", visibility: "hidden"}, svg);
    chart.tag = make("rect", {y: height - 19, height: 19, rx: 5, "class": "tag", visibility: "hidden"}, svg);
    chart.at = make("text", {y: height - 5, "text-anchor": "middle", "class": "at"}, svg);
    chart.dots = chart.series.map((_, i) => make("circle", {r: 4.5, "class": `dot d${i}`, visibility: "hidden"}, svg));
  }

  // All charts show the same step.
  let current = null;
  function point(step) {
    current = step;
    for (const chart of charts) {
      const hidden = step === null ? "hidden" : "visible";
      chart.cross.setAttribute("visibility", hidden);
      let at = step === null ? null : chart.series[0].steps[nearest(chart.series[0].steps, step)];
      chart.series.forEach((s, i) => {
        const index = step === null ? s.steps.length - 1 : nearest(s.steps, at);
        const value = (chart.smooth[i] || s.values)[index];
        chart.keys[i].textContent = shown(s.values[index]) + (chart.smooth[i] && step !== null ? ` (≈ ${shown(value)})` : "");
        chart.dots[i].setAttribute("visibility", hidden);
        chart.dots[i].setAttribute("cx", chart.x(s.steps[index]));
        chart.dots[i].setAttribute("cy", chart.y(value));
      });
      if (at !== null) { chart.cross.setAttribute("x1", chart.x(at)); chart.cross.setAttribute("x2", chart.x(at)); }
      for (const t of chart.xticks) t.label.setAttribute("visibility", "visible");
      chart.at.textContent = at === null ? "" : "step " + grouped(at);
      if (at === null) { chart.tag.setAttribute("visibility", hidden); continue; }
      const half = chart.at.getComputedTextLength() / 2 + 7;
      const middle = Math.max(chart.left + half - 8, Math.min(chart.width - half - 1, chart.x(at)));
      chart.at.setAttribute("x", middle);
      chart.tag.setAttribute("x", middle - half);
      chart.tag.setAttribute("width", 2 * half);
      chart.tag.setAttribute("visibility", hidden);
      for (const t of chart.xticks) if (Math.abs(t.x - middle) < half + 20) t.label.setAttribute("visibility", "hidden");
    }
  }

  const redraw = () => { charts.forEach(draw); point(null); };
  smooth.addEventListener("input", redraw);
  log.addEventListener("change", redraw);
  let seen = 0;
  new ResizeObserver(() => { const w = holder.clientWidth; if (w !== seen) { seen = w; redraw(); } }).observe(holder);
  redraw();
})();
)js";

}  // namespace naru::runs
