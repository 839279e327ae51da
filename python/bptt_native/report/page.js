// Sections of the page, built from its embedded data.

const DATA = JSON.parse(document.getElementById("data").textContent);
const section = (id) => document.getElementById(id);
const say = (host, text, kind = "p") => host.append(el(kind, {}, ...prose(text)));
const missing = (host, text) => host.append(el("p", { class: "soft" }, ...prose(text)));
const H = "‖∂L/∂hₜ‖";
const lookOf = (k) => `s${k % 5} d${Math.floor(k / 5) % 5}`;  // the dashes tell the sixth from the first
const times = (n, noun) => `${number(n)} ${noun}${n === 1 ? "" : "s"}`;

// Return a text as nodes, so that no line ends within an option such as --csv.
const prose = (text) => text.split(/(--[a-z][\w-]*)/).map((part, k) => (k % 2 ? el("code", { class: "whole" }, part) : part));

function pair(host) {
  const box = el("div", { class: "pair" });
  host.append(box);
  return box;
}

// Return a table below a caption; the first column holds headings of rows.
function table(caption, columns, rows, own = 0) {
  const head = el("tr", {}, ...columns.map((name) => (name ? el("th", { scope: "col" }, name) : el("td"))));
  tables += 1;
  const name = `table-${tables}`;
  const body = el("tbody", {}, ...rows.map(([first, ...rest], k) => (
    el("tr", k < own ? { class: "own" } : {}, el("th", { scope: "row" }, first), ...rest.map((v) => el("td", {}, v))))));
  return el("div", {}, el("p", { class: "caption", id: name }, caption),
    el("div", { class: "scroll", role: "region", tabindex: "0", "aria-labelledby": name },
      el("table", { "aria-labelledby": name }, el("thead", {}, head), body)));
}

let tables = 0;

function heading() {
  document.title = `${DATA.title}: report of a training run`;
  section("title").textContent = DATA.title;
  section("lead").textContent = DATA.lead;
  const host = section("result");
  host.append(el("p", { class: "headline" }, DATA.result.headline));
  const box = el("div", { class: "tables" });
  for (const t of DATA.result.tables) box.append(table(t.caption, t.columns, t.rows, t.own));
  if (DATA.result.tables.length) host.append(box);
  for (const text of DATA.short) say(host, text);
  const list = document.querySelector("nav ul");
  for (const part of document.querySelectorAll("main section")) {
    if (part.id === "result") continue;
    list.append(el("li", {}, el("a", { href: `#${part.id}` }, ...part.querySelector("h2").cloneNode(true).childNodes)));
  }
  section("training").querySelector("h2").after(el("p", { class: "soft hint" },
    "Point at a chart, or choose it with the tab key and use the arrow keys, to read its values below it."));
}

function about() {
  const host = section("about");
  const box = el("div", { class: "pair" });
  const halves = [el("div"), el("div")];
  const words = (text) => text.split(/(\s+)/).map((part, k) => (k % 2 ? part : el("span", { class: "whole" }, part)));
  for (const group of DATA.facts) {
    const rows = group.rows.map(([label, name, value]) => el("tr", {},
      el("th", { scope: "row" }, label, ...(name ? [" ", el("code", {}, name)] : [])),
      el("td", label === "SHA-256" || label === "command line" ? { class: "code" } : {}, ...words(value))));
    const half = halves[["Model", "Training"].includes(group.title) ? 1 : 0];
    const name = `facts-${group.title.toLowerCase()}`;
    half.append(el("h3", { id: name }, group.title), el("table", { class: "facts", "aria-labelledby": name }, el("tbody", {}, ...rows)));
  }
  box.append(...halves);
  host.append(box);
  if (!DATA.facts.some((g) => g.title === "Session" && g.rows.some(([label]) => label === "machine"))) {
    missing(host, "The model file is from an older version, which did not record the data's name, the date, the machine and the command line.");
  }
}

function training() {
  const host = section("training");
  const h = DATA.history;
  if (!h) return missing(host, "The model's folder has no history.csv, so there are no curves.");
  const each = h.bucket > 1 ? ` Each point is the mean of ${h.bucket} updates, and the band reaches from the smallest to the largest.` : "";
  const box = pair(host);
  const series = [{ name: "training batch", look: "s0", x: h.step, y: h.loss, low: h.loss_low, high: h.loss_high, band: h.bucket > 1 }];
  if (h.valid.length) series.push({ name: "held-out data", look: "s1", x: h.valid.map((p) => p[0]), y: h.valid.map((p) => p[1]), dots: h.valid.length < 60 });
  lineChart(box, "Loss", `Loss of each batch before its update${h.valid.length ? ", and of the held-out data" : ""}.${each}`,
    { series, log: h.positive, x: "update", y: h.unit, at: "update" });
  if (h.accuracy.length) {
    lineChart(box, "Accuracy", "Share of the held-out data that are classified correctly.", {
      series: [{ name: "held-out data", look: "s1", x: h.accuracy.map((p) => p[0]), y: h.accuracy.map((p) => p[1]), dots: h.accuracy.length < 60 }],
      range: [0, 1], x: "update", y: "accuracy", at: "update" });
  }
  for (const { name, x, y } of h.metrics) {
    lineChart(box, `Metric: ${name}`, "On the held-out data.",
      { series: [{ name, look: "s1", x, y, dots: x.length < 60 }], x: "update", y: name, at: "update" });
  }
  const [low, high] = extent(h.lr, false);
  if (high > low) {
    lineChart(box, "Learning rate", "As the schedule set it.",
      { series: [{ name: "learning rate", look: "s0", x: h.step, y: h.lr }], x: "update", y: "learning rate", at: "update" });
  } else {
    missing(host, "The learning rate was constant.");
  }
  return undefined;
}

function picker(host, text, options, chosen) {
  if (options.length < 2) return { get: () => 0, redraw: [] };
  const select = el("select", {});
  options.forEach((name, k) => select.append(el("option", { value: k }, name)));
  select.value = String(chosen);
  const redraw = [];
  select.addEventListener("change", () => redraw.forEach((f) => f()));
  host.append(el("label", {}, `${text} `, select));
  return { get: () => Number(select.value), redraw };
}

function flow() {
  const host = section("flow");
  const f = DATA.flow;
  if (!f) return missing(host, "The gradient's flow was not recorded. Train with --watch-gradients (in Python: watch=50).");
  if (f.T === 1) {
    say(host, "The sequences have only one step, so there is no flow back in time.");
    radii(pair(host), f);
    return gates(host, f);
  }
  const c = Boolean(f.layers[0].c);
  say(host, `The norm ${H}${c ? " (and ‖∂L/∂cₜ‖ of the cell state)" : ""} of a loss at the last of up to ${f.T} steps, on the batch of the next update, `
    + `relative to the norm at the last step. A straight line on the logarithmic scale is a constant factor per step.`
    + (f.both ? " The forward direction is shown." : ""));
  const picked = picker(host, "Layer:", f.layers.map((l) => String(l.layer + 1)), f.layers.length - 1);
  const layer = () => f.layers[picked.get()];
  const box = pair(host);
  const last = f.steps.length - 1;
  const chosen = [...new Set([0, Math.floor(last / 2), last])];
  const hue = (i) => `u${chosen.length === 1 ? 2 : Math.round((2 * i) / (chosen.length - 1))}`;
  const when = (k) => (f.steps[k] === 0 ? "before update 1" : `after update ${f.steps[k]}`);
  const lines = lineChart(box, "Norm of the gradient by distance", `Colour: update. ${c ? "Solid: h. Dashed: c. " : ""}Norms below 10⁻¹² are left out.`, {
    series: () => (c ? ["h", "c"] : ["h"]).flatMap((state) => chosen.map((k, i) => ({
      name: `${c ? `${state}, ` : ""}${when(k)}`, look: `${hue(i)} ${state === "c" ? "d1" : "d0"}`, x: f.distance,
      y: layer()[state][k].map((v) => (v === null ? null : 10 ** v)) }))),
    log: true, floor: 1e-12, x: "distance back (time steps)", y: "norm relative to the last step", at: "distance" });
  const map = heatMap(box, "The same over training", `Norm ${H} of the states. Above the lines at most 1/e and 1 % are left for good.`, {
    get: () => {
      const values = layer().h;
      const shown = f.distance.filter((_, j) => values.some((column) => column[j] !== null && column[j] > -8));
      const rows = f.distance.slice(0, Math.max(2, shown.length ? f.distance.indexOf(shown[shown.length - 1]) + 1 : 2));
      const cut = (v) => (v === null || v > rows[rows.length - 1] ? null : v);
      return { columns: f.steps, rows, values: values.map((column) => column.slice(0, rows.length)), over: [
        { name: "1/e is left", y: layer().horizon.map((v) => cut(v[0])) },
        { name: "1 % is left", y: layer().horizon.map((v) => cut(v[1])) }] };
    },
    names: ["updates", "distance back (time steps)", "norm relative to the last step"],
    least: -8, x: "update", y: "distance back (time steps)", unit: "norm relative to the last step",
    say: (k, j, v) => `${when(k)}, ${times(f.distance[j], "step")} back: ${v === null ? "no measurable gradient" : `${number(10 ** v)} of the norm`}. `
      + `1/e is left ${reach(layer().horizon[k][0], f.T)}, 1 % ${reach(layer().horizon[k][1], f.T)}.` });
  picked.redraw.push(() => lines.redraw(), () => map.redraw());
  const below = pair(host);
  lineChart(below, "Factor per step back", `Factor of ${H} per step: below 1 the gradient shrinks on its way back, above 1 it grows.`, {
    series: f.layers.map((l) => ({ name: `layer ${l.layer + 1}`, look: lookOf(l.layer), x: f.steps, y: l.growth, dots: f.steps.length < 60 })),
    references: [{ y: 1, name: "unchanged" }], x: "update", y: "factor per step", at: "update" });
  radii(below, f);
  gates(host, f);
  return undefined;
}

const reach = (steps, whole) => (steps === null ? `over all ${whole} steps` : `${times(steps, "step")} back`);

function radii(host, f) {
  if (!f.layers.some((l) => l.radius.some((v) => good(v)))) return;
  lineChart(host, "Spectral radius of Wₕₕ", "Of the recurrent matrix; for LSTM and GRU, of the candidate state's block.", {
    series: f.layers.map((l) => ({ name: `layer ${l.layer + 1}`, look: lookOf(l.layer), x: f.steps, y: l.radius, dots: f.steps.length < 60 })),
    references: [{ y: 1, name: "unit circle" }], x: "update", y: "spectral radius", at: "update" });
}

const GATES = { i: "input gate i", f: "forget gate f", g: "candidate g", o: "output gate o", r: "reset gate r", z: "update gate z", n: "candidate n", h: "states h" };

function gates(host, f) {
  const top = f.layers[f.layers.length - 1];
  const names = Object.keys(top.activity);
  const box = pair(host);
  const kind = names.length > 1 ? "gates" : "states";
  const layer = f.layers.length > 1 ? ` of layer ${top.layer + 1}` : "";
  const series = (values) => names.map((n, k) => ({ name: GATES[n] || n, look: lookOf(k), x: f.steps, y: values[n] }));
  lineChart(box, `Mean of the ${kind}`, `Mean over units, samples and steps${layer}.`, {
    series: series(top.activity), x: "update", y: "mean", at: "update" });
  if (!names.some((n) => top.saturation[n].some((v) => v > 0))) {
    return missing(host, `No ${kind} were saturated, that is, near an end of their range.`);
  }
  lineChart(box, `Saturated ${kind}`, "Share of the values near an end of their range, where little gradient passes (gates below 0.05 or above 0.95, tanh beyond ±0.95, ReLU at 0).", {
    series: series(top.saturation), range: [0, 1], x: "update", y: "share", at: "update" });
  return undefined;
}

function clipping() {
  const host = section("clipping");
  const h = DATA.history;
  if (!h) return missing(host, "The model's folder has no history.csv.");
  const clip = DATA.clip;
  for (const text of clip.sentences) say(host, text);
  const references = clip.threshold ? [{ y: clip.threshold, name: "threshold" }] : [];
  const series = [{ name: "before clipping", look: "s0", x: h.step, y: h.norm, low: h.norm_low, high: h.norm_high, band: h.bucket > 1 }];
  const clipped = clip.share.some((v) => v > 0);
  if (clipped && h.after.some((v) => v !== null)) series.push({ name: "after clipping", look: "s1", x: h.step, y: h.after });
  const each = h.bucket > 1 ? ` Each point is the median of ${h.bucket} updates, and the band reaches from the smallest to the largest.` : "";
  const box = pair(host);
  lineChart(box, "Norm of the gradient", `Global norm over all parameters.${each}${clipped ? " Where nothing is clipped, the lines coincide." : ""}`,
    { series, references, log: true, x: "update", y: "norm", at: "update" });
  if (clip.steps.length >= 10) lineChart(box, "Running quantiles of the norm", `Before clipping, over the last ${times(clip.window, "update")}.`, {
    series: clip.quantiles.map((q, k) => ({ name: q.name, look: `s0 d${k}`, x: clip.steps, y: q.values })), references, log: true, x: "update", y: "norm", at: "update" });
  if (new Set(clip.share).size > 1) {
    lineChart(box, "Clipped updates", `Share of the last ${times(clip.window, "update")}.`, {
      series: [{ name: "clipped", look: "s1", x: clip.steps, y: clip.share }], range: [0, 1], x: "update", y: "share", at: "update" });
  }
  if (h.angle.some((v) => v > 1e-3)) {
    lineChart(box, "Change of direction by clipping", "Angle between the gradient before and after clipping.", {
      series: [{ name: "angle", look: "s1", x: h.step, y: h.angle }], x: "update", y: "angle (degrees)", at: "update" });
  }
  return undefined;
}

function spectrum() {
  const host = section("spectrum");
  const s = DATA.spectrum;
  if (!s.length) return missing(host, "There are no eigenvalues: the weights are not finite, or the cell, a MinGRU, has no recurrent matrix.");
  say(host, "Eigenvalues of the recurrent matrix, and the unit circle. In a linear net, a gradient shrinks along the eigenvectors of eigenvalues inside the circle, and grows along those outside."
    + (s.some((b) => b.gate) ? " Each gate has a block of the matrix; the memory of the cell does not depend on one block alone." : ""));
  const picked = picker(host, "Block:", s.map((b) => `layer ${b.layer}${b.gate ? `, ${GATES[b.gate] || b.gate}` : ""}`), Math.max(s.findIndex((b) => b.usual), 0));
  const box = pair(host);
  const picture = plane(box, "Eigenvalues", "Each mark is an eigenvalue. The (spectral) radius is the largest absolute value.", () => {
    const b = s[picked.get()];
    const sets = [{ name: "trained", radius: b.radius, points: b.now, look: "dot s0" }];
    if (b.before) sets.unshift({ name: "before training", radius: b.radius_before, points: b.before, look: "ring before" });
    return sets;
  });
  picked.redraw.push(() => picture.redraw());
  const found = DATA.memory ? DATA.memory.exponents : [];
  if (found.length) {
    lineChart(box, "Lyapunov spectrum", "The largest exponents of the trained states, including cell states, along the sequence of the next section. Below 0 small changes and gradients shrink, above 0 they grow.", {
      series: found.map((l, k) => ({ name: l.name, look: lookOf(k), x: l.values.map((_, i) => i + 1), y: l.values })),
      references: [{ y: 0, name: "unchanged" }], x: "exponent, in descending order", y: "nats per step", at: "exponent" });
  }
  return undefined;
}

function memory() {
  const host = section("memory");
  const m = DATA.memory;
  if (!m) return missing(host, DATA.memory_missing);
  if (m.kind === "labels") {
    lineChart(host, "Dependence of labels on steps", "Norm of the derivative of the most likely class's output with respect to the input of each step, for the first sequences of the table.",
      { series: m.series.map((s, k) => ({ ...s, look: lookOf(k) })), log: true, x: "from: time step s of the input", y: "‖∂y/∂xₛ‖", at: "step" });
    return undefined;
  }
  say(host, m.kind === "text"
    ? "Point at a character, tap it or go there with the arrow keys to highlight the earlier characters that it depends on. The number below a character is its share of the strongest dependence in per cent. The strength is the norm of the derivative of the character's logit with respect to the input of the first layer, computed exactly."
    : "Point at a step, tap it or go there with the arrow keys to highlight the earlier steps that its output depends on. The number below a step is its share of the strongest dependence in per cent.");
  memoryView(host, m);
  const n = m.matrix.length;
  const steps = Array.from({ length: n }, (_, k) => k + 1);
  const values = steps.map((_, s) => m.matrix.map((row) => (row[s] > 0 ? Math.log10(row[s]) : null)));
  const name = (k) => (m.kind === "text" ? ` (${nameOf(m.cells[k])})` : "");
  heatMap(host, "All pairs of steps", "Strength ‖∂yₜ/∂xₛ‖: each row is an output yₜ (to), each column an input xₛ (from). On the diagonal both are of the same step.", {
    get: () => ({ columns: steps, values, rows: steps }), downwards: true, square: true, least: Math.max(-30, extent(values.flat())[1] - 6),
    names: ["from: time step s of the input", "to: time step t of the output", "‖∂yₜ/∂xₛ‖"], x: "from: time step s of the input", y: "to: time step t of the output",
    unit: "‖∂yₜ/∂xₛ‖", height: (width) => Math.min(width, 520) + 40,
    say: (s, t, v) => `to output ${t + 1}${m.kind === "text" ? name(t + 1) : ""} from input ${s + 1}${name(s)}: ${v === null ? "none" : number(10 ** v)}` });
  return undefined;
}

function outputs() {
  const host = section("outputs");
  const r = DATA.results;
  for (const sample of r.samples) {
    say(host, `Sample at temperature ${sample.temperature}`, "h3");
    host.append(el("pre", { dir: "auto" }, sample.text));
  }
  if (r.forecast) {
    lineChart(host, "Forecast of the test rows", "The forecast is made from the rows before.", { series: [
      { name: "actual", look: "ink", x: r.forecast.row, y: r.forecast.actual }, { name: "forecast", look: "s0 d1", x: r.forecast.row, y: r.forecast.forecast }],
    x: "row", y: r.forecast.column, at: "row" });
  }
  if (r.confusion) {
    const { classes, counts } = r.confusion;
    const rows = counts.map((row, k) => [classes[k], ...row.map(String), percent(row[k] / (row.reduce((a, b) => a + b, 0) || NaN))]);
    const box = table("Sequences of the test part by their label (row) and the predicted label (column); recall is the share of a label that is predicted.",
      ["", ...classes, "recall"], rows);
    box.querySelectorAll("tbody tr").forEach((row, k) => row.children[k + 1].classList.add("right"));
    box.querySelectorAll("td").forEach((cell) => cell.textContent === "0" && cell.classList.add("soft"));
    host.append(box);
  }
  if (!r.samples.length && !r.forecast && !r.confusion) missing(host, r.missing);
}

heading();
training();
flow();
clipping();
spectrum();
memory();
outputs();
about();
