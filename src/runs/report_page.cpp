#include "runs/report_page.h"

namespace naru::runs {

const std::string_view kReportStyle = R"css(
:root { --back: #f6f7f9; --card: #fff; --text: #14181f; --dim: #5c6573; --line: #e1e5ea; --grid: #eceff3;
  --c0: #2563eb; --c1: #d97706; --c2: #059669; --c3: #9333ea;
  --c4: #db2777; --c5: #64748b; --good: #047857; --bad: #b91c1c; --warn: #b45309; }
@media (prefers-color-scheme: dark) { :root { --back: #0f1216; --card: #171b21; --text: #e6eaf0; --dim: #98a2b0;
  --line: #272d36; --grid: #20262e; --c0: #60a5fa; --c1: #fbbf24; --c2: #34d399; --c3: #c084fc; --c4: #f472b6;
  --c5: #94a3b8; --good: #34d399; --bad: #f87171; --warn: #fbbf24; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); line-height: 1.5; -webkit-text-size-adjust: 100%;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK KR", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 32px 20px 64px; }
header { display: flex; gap: 14px; align-items: center; flex-wrap: wrap; }
h1 { font-size: 27px; line-height: 1.2; margin: 0; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 0 0 12px; letter-spacing: -.005em; }
h3 { font-size: 12px; margin: 0 0 4px; color: var(--dim); font-weight: 500; }
section { margin-top: 34px; }
.summary { color: var(--dim); margin: 4px 0 0; overflow-wrap: anywhere; }
.status { font-size: 13px; font-weight: 600; padding: 2px 11px; border-radius: 99px; border: 1px solid currentColor;
  color: var(--dim); overflow-wrap: anywhere; }
.status.done { color: var(--good); } .status.failed { color: var(--bad); }
.status.running, .status.stopped { color: var(--warn); }
.unfinished { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--warn); border-radius: 12px;
  padding: 12px 16px; margin-top: 16px; overflow-wrap: anywhere; }
.unfinished p { margin: 0; } .unfinished p + p { margin-top: 8px; color: var(--dim); font-size: 13px; }
.unfinished pre { margin-top: 4px; } .alarm { border-left-color: var(--bad); }
.figures { display: flex; flex-wrap: wrap; gap: 1px; background: var(--line); margin-top: 20px;
  border: 1px solid var(--line); border-radius: 12px; overflow: hidden; }
.figure { background: var(--card); padding: 14px 16px; flex: 1 1 136px; }
.figure b { display: block; font-size: 22px; font-weight: 600; line-height: 1.25; font-variant-numeric: tabular-nums;
  white-space: nowrap; letter-spacing: -.01em; }
.figure span { color: var(--dim); font-size: 13px; }
.note { color: var(--warn); margin: 12px 0 0; }
.controls { display: flex; gap: 8px 22px; align-items: center; flex-wrap: wrap; margin-bottom: 12px; }
.controls h2 { margin: 0; flex: 1; }
.controls label { display: flex; gap: 8px; align-items: center; color: var(--dim); font-size: 13px; cursor: pointer; }
input { accent-color: var(--c0); margin: 0; } input[type=range] { width: 110px; }
#charts { display: flex; flex-wrap: wrap; gap: 16px; }
.chart { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px 14px 8px; min-width: 0;
  flex: 1 1 300px; display: flex; flex-direction: column; }
.chart.wide { flex-basis: 100%; }
.head { display: flex; gap: 2px 16px; flex-wrap: wrap; align-items: baseline; font-size: 13px; min-height: 22px; }
.head b { font-size: 14px; font-weight: 600; margin-right: auto; overflow-wrap: anywhere; min-width: 0; }
.key { color: var(--dim); white-space: nowrap; font-variant-numeric: tabular-nums; }
.key i { display: inline-block; width: 16px; height: 0; border-top: 3px solid; border-radius: 2px; margin-right: 6px;
  vertical-align: middle; }
.key i.dashed { border-top-style: dashed; border-radius: 0; } .key i.dotted { border-top: 2px dotted var(--dim); }
.key em { font-style: normal; color: var(--text); margin-left: 6px; }
.s0 { color: var(--c0); } .s1 { color: var(--c1); } .s2 { color: var(--c2); } .s3 { color: var(--c3); }
.s4 { color: var(--c4); } .s5 { color: var(--c5); }
svg { display: block; width: 100%; margin-top: auto; touch-action: pan-y; cursor: crosshair; }
svg text { fill: var(--dim); font-size: 11px; font-variant-numeric: tabular-nums; }
.grid { stroke: var(--grid); } .axis { stroke: var(--line); } .even { stroke: var(--dim); stroke-dasharray: 6 4; opacity: .6; }
.mark { stroke: var(--dim); stroke-dasharray: 1 4; stroke-linecap: round; stroke-width: 1.6; }
.tag { fill: var(--text); } svg text.at { fill: var(--card); font-weight: 600; }
svg:focus-visible { outline: 2px solid var(--c0); }
.cross { stroke: var(--dim); stroke-dasharray: 3 3; }
.curve { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
.curve.raw { opacity: .3; stroke-width: 1; }
.curve.dashed { stroke-dasharray: 5 4; stroke-width: 1.5; stroke-linecap: butt; }
.l0 { stroke: var(--c0); } .l1 { stroke: var(--c1); } .l2 { stroke: var(--c2); } .l3 { stroke: var(--c3); }
.l4 { stroke: var(--c4); } .l5 { stroke: var(--c5); }
.d0 { fill: var(--c0); } .d1 { fill: var(--c1); } .d2 { fill: var(--c2); } .d3 { fill: var(--c3); }
.d4 { fill: var(--c4); } .d5 { fill: var(--c5); }
.band { fill: var(--c0); opacity: .13; } .curve.edge { stroke: var(--c0); stroke-width: 1; opacity: .5; }
.dot { stroke: var(--card); stroke-width: 1.5; }
.sample { background: var(--card); border: 1px solid var(--line); border-radius: 12px; margin-bottom: 14px; overflow: hidden; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.55 ui-monospace, SFMono-Regular, Menlo,
  Consolas, "Noto Sans Mono", "Noto Sans Mono CJK KR", monospace; }
.prompt { padding: 12px 16px; border-bottom: 1px solid var(--line); font-weight: 600; }
.answers { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 320px), 1fr)); }
.answers > div { padding: 12px 16px; min-width: 0; box-shadow: -1px -1px 0 var(--line); }
.right { color: var(--good); font-weight: 600; } .wrong { color: var(--bad); font-weight: 600; } h3 b { margin-left: 6px; }
.wanted, .hint { margin: 0; color: var(--dim); font-size: 13px; overflow-wrap: anywhere; } .hint { margin: -6px 0 12px; }
.wanted { padding: 6px 16px; border-bottom: 1px solid var(--line); }
.fold summary { padding: 0; border: 0; margin-bottom: 4px; overflow-wrap: anywhere; }
.fold pre { border-left: 3px solid var(--line); padding-left: 10px; color: var(--dim); margin-bottom: 6px; }
.group { background: var(--card); border: 1px solid var(--line); border-radius: 12px; margin-bottom: 10px; overflow: hidden; }
.group > summary { padding: 10px 16px; color: var(--text); } .group > summary span { color: var(--dim); margin-left: 8px; }
.group .prompt, .group .wanted { border-top: 1px solid var(--line); border-bottom: 0; padding-bottom: 6px; }
.group .wanted { border-top: 0; padding-top: 0; }
.one { display: grid; grid-template-columns: 210px minmax(0, 1fr); gap: 6px 18px; padding: 9px 16px;
  border-top: 1px solid var(--grid); }
.worth { display: grid; grid-template-columns: auto 70px; gap: 1px 8px; align-items: center; font-size: 13px;
  align-content: start; font-variant-numeric: tabular-nums; }
.worth small { grid-column: 1 / 3; color: var(--dim); font-size: 12px; overflow-wrap: anywhere; }
.worth small:empty { display: none; }
.bar { width: 70px; height: 8px; margin: 0; cursor: auto; border-radius: 2px; } .bar .back { fill: var(--grid); }
.bar .above { fill: var(--c2); } .bar .below { fill: var(--c1); }
summary { cursor: pointer; color: var(--dim); font-size: 13px; }
.sample summary { padding: 8px 16px; border-top: 1px solid var(--line); }
.recipe { margin-top: 10px; background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px 16px; }
table { border-collapse: separate; border-spacing: 0; width: 100%; background: var(--card); border: 1px solid var(--line);
  border-radius: 12px; overflow: hidden; table-layout: fixed; }
th, td { text-align: left; vertical-align: top; padding: 7px 16px; border-top: 1px solid var(--grid); overflow-wrap: anywhere; }
tr:first-child th, tr:first-child td { border-top: 0; }
th { font-weight: 400; color: var(--dim); width: 230px; } td { font-variant-numeric: tabular-nums; }
@media (max-width: 600px) { main { padding: 20px 12px 48px; } h1 { font-size: 22px; } .figure { padding: 11px 13px; }
  .figure b { font-size: 18px; } th, td { display: block; width: auto; padding: 6px 13px 0; border: 0; }
  td { padding: 0 13px 7px; } th:empty { display: none; } tr + tr th { border-top: 1px solid var(--grid); }
  .controls h2, .wide .head b { flex-basis: 100%; } .one { grid-template-columns: minmax(0, 1fr); } }
@media print { .controls label, .recipe { display: none; } body { background: #fff; } }
)css";

const std::string_view kReportScript = R"js(
"use strict";
(() => {
  const holder = document.getElementById("charts");
  if (!holder) return;
  const {curves, went_on: wentOn} = JSON.parse(document.getElementById("curves").textContent);
  const [smooth, log, whole] = ["smooth", "log", "whole"].map(id => document.getElementById(id));
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
  const grouped = v => v.toLocaleString("en");
  const shown = v => {
    const a = Math.abs(v);
    if (v === 0) return "0";
    if (a >= 1e6 || a < 1e-3) return v.toExponential(2).replace("e+", "e").replace(/\.?0+e/, "e");
    if (a >= 1000) return grouped(Math.round(v));
    return String(+v.toPrecision(4));
  };
  const percent = v => +(100 * v).toPrecision(3) + " %";

  // What belongs together stands in one chart, the rest has one each. Losses and norms fall over powers of ten, and may be
  // bent (log); shares, rates and times may not. A sparse curve is of measurements now and then: dots on a dashed line. Two
  // edges are the ends of a band.
  const share = {text: percent, low: 0, high: 1};
  const known = {__proto__: null,
    loss: {title: "Loss", label: "training", log: true}, validation_loss: {label: "validation", log: true, sparse: true},
    mtp_loss: {title: "Loss of the prediction layers", label: "prediction layers", log: true},
    accuracy: {title: "Held-out problems right", label: "likeliest answer", ...share, sparse: true},
    policy_loss: {title: "Policy loss"}, reward: {title: "Reward of an answer", label: "all"},
    answer_tokens: {title: "Tokens of an answer", label: "mean"},
    answer_tokens_p10: {label: "10 %", edge: true}, answer_tokens_p90: {label: "90 %", edge: true},
    rollout_accuracy: {title: "Answers of a rollout right", ...share},
    cut_share: {title: "Nothing to learn from", label: "answers cut off", alone: "Answers cut off", ...share},
    flat_groups: {title: "Groups without signal", label: "groups without signal", ...share},
    flat_kept: {title: "Groups without signal, learnt from", ...share, dull: true},
    answer_log_prob: {title: "Log-probability of a sampled token"}, entropy: {title: "Entropy, nats a token"},
    kl: {title: "Distance to the reference, nats a token"},
    reverse_kl: {title: "Reverse KL to the teachers, nats a token", log: true},
    ratio_most: {title: "Ratio to the policy that sampled", label: "most", log: true, edge: true, even: 1},
    ratio_least: {label: "least", log: true, edge: true, even: 1},
    clipped_share: {title: "Tokens clipped", label: "clipped", ...share, dull: true},
    masked_share: {title: "Tokens masked", label: "masked", ...share, dull: true},
    problems_asked: {title: "Problems asked for a rollout", dull: true},
    reward_failures: {title: "Rewards that a program failed to give", dull: true},
    rollout_tokens_per_s: {title: "Tokens a second, rollout and update", label: "rollout"},
    update_tokens_per_s: {label: "update"},
    rollout_seconds: {title: "Seconds of a step", label: "rollout"}, update_seconds: {label: "update"},
    expert_load_max: {title: "Load of experts", label: "busiest", even: 1, text: v => String(+v.toPrecision(3))},
    expert_load_min: {title: "Load of experts", label: "least busy", even: 1},
    grad_norm: {title: "Gradient norm", log: true}, lr: {title: "Learning rate", plain: true},
    tokens_per_s: {title: "Tokens a second"}};
  const told = name => known[name] || (/^pass_\d+$/.test(name) ?
    {title: "Held-out problems right", label: name.replace("_", "@") + ", drawn", ...share, sparse: true} :
    isPart(name) ? {title: "Reward: " + name.slice(7), label: name.slice(7).replace(/_/g, " ")} : {});
  const isPart = name => name.startsWith("reward_") && name !== "reward_failures";
  const named = name => told(name).title || name.charAt(0).toUpperCase() + name.slice(1).replace(/_/g, " ");
  const find = name => curves.find(c => c.name === name && c.steps.length);
  const all = test => curves.filter(c => c.steps.length && test(c.name)).map(c => c.name);
  const isAlways = (c, v) => c.values.every(w => w === v);
  // Parts of a reward that are never anything, or are all of it, say nothing.
  let parts = all(isPart).filter(name => !isAlways(find(name), 0));
  if (parts.length === 1 && find("reward") && "" + find(parts[0]).values === "" + find("reward").values) parts = [];
  const together = [["loss", "validation_loss", "mtp_loss"], ["expert_load_max", "expert_load_min"], ["reward", ...parts],
    ["accuracy", ...all(name => /^pass_\d+$/.test(name))], ["answer_tokens", "answer_tokens_p10", "answer_tokens_p90"],
    ["cut_share", "flat_groups"], ["ratio_most", "ratio_least"], ["clipped_share", "masked_share"],
    ["rollout_tokens_per_s", "update_tokens_per_s"], ["rollout_seconds", "update_seconds"]];
  const order = ["reverse_kl", "reward", "loss", "accuracy", "rollout_accuracy", "answer_tokens", "entropy", "cut_share",
    "kl", "ratio_most", "clipped_share", "expert_load_max", "grad_norm", "lr", "rollout_tokens_per_s", "rollout_seconds",
    "tokens_per_s"];
  // What the figures above, or other curves, say better.
  const used = new Set(["tokens", "tokens_compared", "tokens_compared_total", "tokens_changed", "answer_tokens_p50",
    "answer_tokens_max", ...all(isPart).filter(name => !parts.includes(name))]);
  if (find("entropy")) used.add("answer_log_prob");
  if (find("reverse_kl")) used.add("loss");
  const charts = [];
  for (const c of [...order.map(find), ...curves]) {
    if (!c || !c.steps.length || used.has(c.name)) continue;
    const names = together.find(t => t.includes(c.name)) || [c.name];
    const series = names.map(find).filter(s => s && !(told(s.name).dull && isAlways(s, s.values[0]))).slice(0, 6);
    names.forEach(name => used.add(name));
    if (!series.length) continue;
    const traits = told(series[0].name), edges = series.filter(s => told(s.name).edge);
    charts.push({title: series.length === 1 && traits.alone || named(series[0].name), series,
      band: edges.length === 2 ? edges.map(s => series.indexOf(s)) : null,
      wide: (c.name.includes("loss") || ["reward", "reverse_kl"].includes(c.name)) && !charts.length,
      text: traits.text || shown,
      mayBend: series.every(s => told(s.name).log && s.values.every(v => v > 0)), low: traits.low, high: traits.high,
      even: traits.even});
  }
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
  const smoothed = (s, amount) => {
    const radius = Math.round((Math.pow(s.values.length / 15, amount) - 1) / 2);
    return radius < 1 || told(s.name).sparse || told(s.name).plain ? null : mean(mean(s.values, radius), radius);
  };
  const ticksOf = (low, high, n) => {
    const raw = (high - low) / n, power = Math.pow(10, Math.floor(Math.log10(raw)));
    const step = [1, 2, 2.5, 5, 10].map(m => m * power).find(s => s >= raw * .999);
    const ticks = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) ticks.push(+(i * step).toPrecision(12));
    return ticks;
  };
  // Few round values inside of the range; where it spans less than two powers of two, those of a straight scale.
  const logTicks = (low, high) => {
    if (high / low < 4) return ticksOf(low, high, 5);
    for (const marks of [[1], [1, 3], [1, 2, 5], [1, 2, 3, 5], [1, 1.5, 2, 3, 4, 5, 6, 8]]) {
      const out = [];
      for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); ++e)
        for (const m of marks) { const v = +(m * Math.pow(10, e)).toPrecision(3); if (v >= low && v <= high) out.push(v); }
      if (out.length > 4) return out.filter((_, i) => i % Math.ceil(out.length / 8) === 0);
    }
    return ticksOf(low, high, 5);
  };
  const nearest = (sorted, x) => {
    let low = 0, high = sorted.length - 1;
    while (low < high) { const mid = (low + high) >> 1; if (sorted[mid] < x) low = mid + 1; else high = mid; }
    return low > 0 && x - sorted[low - 1] <= sorted[low] - x ? low - 1 : low;
  };

  charts.forEach((chart, number) => {
    chart.card = element("div", "chart" + (chart.wide ? " wide" : ""), "", holder);
    const head = element("div", "head", "", chart.card);
    element("b", "", chart.title, head);
    chart.keys = chart.series.map((s, i) => {
      const key = element("span", "key", "", head);
      if (chart.series.length > 1) {
        element("i", "s" + (told(s.name).edge ? 0 : i) + (told(s.name).sparse ? " dashed" : ""), "", key);
        key.appendChild(document.createTextNode(told(s.name).label || named(s.name)));
      }
      return element("em", "", "", key);
    });
    if (chart.wide && wentOn.length) {
      const key = element("span", "key", "", head);
      element("i", "dotted", "", key);
      key.appendChild(document.createTextNode("stopped and went on"));
    }
    chart.clip = "clip" + number;
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
  });

  // The range of values that is shown: {low, high, over}. Of a curve that may bend, the first twentieth of the run may
  // leave at the top, where what comes later would fill less than three quarters of the height; over: how high it goes. A
  // few extreme values elsewhere must not flatten the rest: the top is near the highest one in a hundred.
  const rangeOf = (chart, bend) => {
    const all = chart.series.flatMap(s => s.values), sorted = [...all].sort((a, b) => a - b);
    let low = chart.low ?? sorted[0], high = chart.high ?? sorted[sorted.length - 1];
    if (chart.even !== undefined) { low = Math.min(low, chart.even); high = Math.max(high, chart.even); }
    const to = bend ? Math.log : v => v, top = high;
    if (chart.mayBend && !whole.checked && chart.series[0].steps.length >= 40) {
      const from = first + .05 * (last - first);
      const later = chart.series.flatMap(s => s.values.filter((_, j) => s.steps[j] >= from));
      const top = later.reduce((a, b) => Math.max(a, b), low);
      if (later.length && to(top) - to(low) < .75 * (to(high) - to(low))) high = top;
    }
    const most = sorted[Math.floor((sorted.length - 1) * .99)], middle = sorted[sorted.length >> 1];
    const isFar = sorted.length > 50 && high - middle > 4 * (most - middle) && most > middle;
    if (isFar && !bend && chart.high === undefined) high = most + .35 * (most - low);
    if (low === high) { low -= Math.abs(low) * .1 || 1; high += Math.abs(high) * .1 || 1; }
    if (bend) { const pad = Math.pow(high / low, .06); low /= pad; high *= pad; }
    else if (chart.high === undefined) {
      const pad = (high - low) * .06;
      if (low >= 0 && low < .4 * high) low = 0; else low -= pad;
      high += pad;
    }
    return {low, high, over: top > high ? top : null};
  };

  function draw(chart) {
    const width = chart.width = Math.max(240, chart.svg.clientWidth || chart.card.clientWidth - 28);
    const height = chart.height = chart.wide ? Math.min(360, Math.max(240, width * .36)) : 210;
    const bend = log.checked && chart.mayBend, to = bend ? Math.log : v => v;
    chart.smooth = chart.series.map(s => smoothed(s, smooth.value / 100));
    const {low, high, over} = rangeOf(chart, bend);
    const ticks = bend ? logTicks(low, high) : ticksOf(low, high, height / 52);
    chart.left = 12 + 6.6 * Math.max(...ticks.map(t => chart.text(t).length), 2); chart.right = 10;
    const top = 8, bottom = height - 22;
    const x = chart.x = s => chart.left + (s - first) / (last - first) * (width - chart.left - chart.right);
    const y = v => Math.max(-1e4, bottom - (to(v) - to(low)) / (to(high) - to(low)) * (bottom - top));
    chart.y = v => Math.max(top, y(v));
    const svg = chart.svg;
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    make("rect", {x: chart.left - 4, y: top - 4, width: width - chart.left - chart.right + 8, height: bottom - top + 8},
      make("clipPath", {id: chart.clip}, svg));
    for (const t of ticks) {
      make("line", {x1: chart.left, x2: width - chart.right, y1: y(t), y2: y(t), "class": "grid"}, svg);
      make("text", {x: chart.left - 7, y: y(t) + 4, "text-anchor": "end"}, svg).textContent = chart.text(t);
    }
    make("line", {x1: chart.left, x2: width - chart.right, y1: bottom, y2: bottom, "class": "axis"}, svg);
    if (chart.even !== undefined)
      make("line", {x1: chart.left, x2: width - chart.right, y1: y(chart.even), y2: y(chart.even), "class": "even"}, svg);
    for (const s of wentOn.filter(s => s >= first && s <= last))
      make("line", {x1: x(s), x2: x(s), y1: top, y2: bottom, "class": "mark"}, svg);
    const xticks = ticksOf(first, last, Math.max(2, width / 110)).filter(t => Number.isInteger(t));
    chart.xticks = xticks.map(t => {
      const anchor = x(t) > width - 24 ? "end" : x(t) < chart.left + 12 ? "start" : "middle";
      const label = make("text", {x: x(t), y: height - 5, "text-anchor": anchor}, svg);
      label.textContent = t >= 1e6 ? shown(t) : grouped(t);
      return {x: x(t), label};
    });
    const plot = make("g", {"clip-path": `url(#${chart.clip})`}, svg);
    const path = (s, values, className) => {
      let d = "";
      for (let i = 0; i < values.length; ++i) d += (i ? "L" : "M") + x(s.steps[i]).toFixed(1) + " " + y(values[i]).toFixed(1);
      make("path", {d, "class": className}, plot);
    };
    if (chart.band) {
      const [a, b] = chart.band.map(i => ({steps: chart.series[i].steps, values: chart.smooth[i] || chart.series[i].values}));
      const at = (s, j) => x(s.steps[j]).toFixed(1) + " " + y(s.values[j]).toFixed(1);
      const d = "M" + [...a.steps.keys()].map(j => at(a, j)).concat([...b.steps.keys()].reverse().map(j => at(b, j))).join("L");
      make("path", {d: d + "Z", "class": "band"}, plot);
    }
    // The first on top: training is seen beside validation.
    [...chart.series.keys()].reverse().forEach(i => {
      const s = chart.series[i], sparse = told(s.name).sparse;
      if (told(s.name).edge) return path(s, chart.smooth[i] || s.values, "curve edge");
      path(s, s.values, `curve l${i}` + (chart.smooth[i] ? " raw" : "") + (sparse ? " dashed" : ""));
      if (chart.smooth[i]) path(s, chart.smooth[i], `curve l${i}`);
      if (s.steps.length <= (sparse ? 80 : 40))
        s.steps.forEach((t, j) => make("circle", {cx: x(t), cy: y(s.values[j]), r: sparse ? 3 : 2.6, "class": `d${i}`}, plot));
    });
    if (over !== null)
      make("text", {x: chart.left + 8 + .05 * (width - chart.left), y: top + 9}, svg).textContent =
        `↑ from ${chart.text(+over.toPrecision(2))}`;
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
        chart.keys[i].textContent = chart.text(s.values[index]) +
          (chart.smooth[i] && step !== null ? ` (≈ ${chart.text(value)})` : "");
        chart.dots[i].setAttribute("visibility", hidden);
        chart.dots[i].setAttribute("cx", chart.x(s.steps[index]));
        chart.dots[i].setAttribute("cy", chart.y(value));
      });
      if (at !== null) { chart.cross.setAttribute("x1", chart.x(at)); chart.cross.setAttribute("x2", chart.x(at)); }
      for (const t of chart.xticks) t.label.setAttribute("visibility", "visible");
      chart.at.textContent = at === null ? "" : "step " + grouped(at) + (wentOn.includes(at) ? ", went on" : "");
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

  // As many charts in each row as make the rows about equal; a row that has fewer is filled all the same.
  const arrange = () => {
    const small = charts.filter(c => !c.wide), most = Math.max(1, Math.floor((holder.clientWidth + 16) / 316));
    const each = Math.ceil(small.length / Math.ceil(small.length / most));
    for (const chart of small) chart.card.style.flexBasis = each > 1 ? `calc(${100 / each}% - 16px)` : "100%";
  };
  const redraw = () => { arrange(); charts.forEach(draw); point(null); };
  for (const control of [smooth, log, whole]) control.addEventListener("input", redraw);
  let seen = 0;
  new ResizeObserver(() => { const w = holder.clientWidth; if (w !== seen) { seen = w; redraw(); } }).observe(holder);
  redraw();
})();
)js";

}  // namespace naru::runs
