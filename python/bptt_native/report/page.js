// Sections of the page, built from its embedded data.

const DATA = JSON.parse(document.getElementById("data").textContent);
const section = (id) => document.getElementById(id);
const say = (host, text, kind = "p") => host.append(el(kind, {}, text));
const missing = (host, text) => host.append(el("p", { class: "soft" }, text));

function pair(host) {
  const box = el("div", { class: "pair" });
  host.append(box);
  return box;
}

function heading() {
  document.title = `${DATA.title}: report of a training run`;
  section("title").textContent = DATA.title;
  section("lead").textContent = DATA.lead;
  const list = section("short").querySelector("ul");
  for (const text of DATA.short) say(list, text, "li");
  const rows = section("about").querySelector("tbody");
  for (const [name, value] of DATA.facts) rows.append(el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value)));
}

function training() {
  const host = section("training");
  const h = DATA.history;
  if (!h) return missing(host, "The model's folder has no history.csv, so there are no curves.");
  const each = h.bucket > 1 ? ` Each point represents ${h.bucket} updates.` : "";
  const box = pair(host);
  const series = [{ name: "training batch", x: h.step, y: h.loss, low: h.loss_low, high: h.loss_high, band: h.bucket > 1 && "smallest to largest" }];
  if (h.valid.length) series.push({ name: "held-out data", x: h.valid.map((p) => p[0]), y: h.valid.map((p) => p[1]), dots: true });
  lineChart(box, "Loss", `Before each update.${each}`, { series, log: h.positive, x: "update", y: h.unit, at: "update" });
  lineChart(box, "Learning rate", `According to the schedule.${each}`,
    { series: [{ name: "learning rate", x: h.step, y: h.lr }], x: "update", y: "learning rate", at: "update" });
  if (h.accuracy.length) {
    lineChart(box, "Accuracy", "Share of the held-out data that are classified correctly.", {
      series: [{ name: "held-out data", x: h.accuracy.map((p) => p[0]), y: h.accuracy.map((p) => p[1]), dots: true }],
      range: [0, 1], x: "update", y: "accuracy", at: "update" });
  }
  return undefined;
}

function picker(host, text, options) {
  const select = el("select", {});
  options.forEach((name, k) => select.append(el("option", { value: k }, name)));
  select.value = String(options.length - 1);
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
  say(host, `The norm of dL/dh (for an LSTM also dL/dc) by the distance back, relative to the last step, on the batch of the `
    + `next update. The loss is that of the last of up to ${f.T} steps. A straight line is a constant factor per step.`);
  const names = f.layers.flatMap((l) => [[l, "h"], ...(l.c ? [[l, "c"]] : [])]);
  const picked = picker(host, "State:", names.map(([l, s]) => `layer ${l.layer + 1}, ${s}`));
  if (names.some(([, s]) => s === "c")) host.querySelector("select").value = String(names.length - 2);
  const layer = () => names[picked.get()][0];
  const values = () => layer()[names[picked.get()][1]];
  const box = pair(host);
  const chosen = [...new Set([0, Math.floor((f.steps.length - 1) / 2), f.steps.length - 1])];
  const lines = lineChart(box, "Norm of the gradient by distance", "At the first update, half-way and at the last update.", {
    series: () => chosen.map((k) => ({ name: `after ${f.steps[k]} updates`, x: f.distance, y: values()[k].map((v) => (v === null ? null : 10 ** v)) })),
    log: true, floor: 1e-12, x: "distance back (steps)", y: "norm, 1 at the last step", at: "distance" });
  const map = heatMap(box, "The same over training", "The lines show where it has permanently fallen to 1/e and to 1 %.", {
    get: () => ({ columns: f.steps, values: values(), rows: f.distance.length, over: [
      { name: "1/e is left", y: layer().horizon.map((v) => v[0] === null ? null : v[0] / f.stride) },
      { name: "1 % is left", y: layer().horizon.map((v) => v[1] === null ? null : v[1] / f.stride) }] }),
    least: -8, x: "update", y: f.stride > 1 ? `distance back (${f.stride} steps)` : "distance back (steps)", unit: "norm, 1 at the last step",
    say: (k) => `update ${f.steps[k]}: ` + (values()[k][0] === null ? "no measurable gradient enters"
      : `${layer().verdict[k]}, ${factor(layer().growth[k])}; 1/e at ${layer().horizon[k][0] ?? "none"}, 1 % at ${layer().horizon[k][1] ?? "none"} steps back`) });
  picked.redraw.push(() => lines.redraw(), () => map.redraw());
  const below = pair(host);
  lineChart(below, "Factor per step back", "Factor of the norm of dL/dh: below 1 the gradient vanishes, above 1 it explodes.", {
    series: f.layers.map((l) => ({ name: `layer ${l.layer + 1}`, x: f.steps, y: l.growth, dots: f.steps.length < 60 })),
    references: [{ y: 1, name: "neither" }], x: "update", y: "factor per step", at: "update" });
  radii(below, f);
  gates(host, f);
  return undefined;
}

const factor = (growth) => (growth === null ? "factor per step unknown" : `a factor of ${number(growth)} per step`);

function radii(host, f) {
  lineChart(host, "Spectral radius of W_hh", "For LSTM and GRU, that of the candidate state's block. A MinGRU has no W_hh.", {
    series: f.layers.map((l) => ({ name: `layer ${l.layer + 1}`, x: f.steps, y: l.radius, dots: f.steps.length < 60 })),
    references: [{ y: 1, name: "unit circle" }], x: "update", y: "spectral radius", at: "update" });
}

function gates(host, f) {
  const top = f.layers[f.layers.length - 1];
  const names = Object.keys(top.activity);
  const box = pair(host);
  const kind = names.length > 1 ? "gates" : "states";
  lineChart(box, `Mean of the ${kind}`, "Mean over units, samples and steps of the top layer.", {
    series: names.map((n) => ({ name: n, x: f.steps, y: top.activity[n] })), x: "update", y: "mean", at: "update" });
  lineChart(box, `Saturated ${kind}`, "Share of the values near an end of their range, where little gradient passes (gates below 0.05 or above 0.95, tanh beyond ±0.95, ReLU at 0).", {
    series: names.map((n) => ({ name: n, x: f.steps, y: top.saturation[n] })), range: [0, 1], x: "update", y: "share", at: "update" });
}

function clipping() {
  const host = section("clipping");
  const h = DATA.history;
  if (!h) return missing(host, "The model's folder has no history.csv.");
  for (const text of DATA.clip.sentences) say(host, text);
  const references = DATA.clip.threshold ? [{ y: DATA.clip.threshold, name: `threshold ${number(DATA.clip.threshold)}` }] : [];
  const series = [{ name: "before clipping", x: h.step, y: h.norm, low: h.norm_low, high: h.norm_high, band: h.bucket > 1 && "smallest to largest" }];
  if (h.after.some((v) => v !== null)) series.push({ name: "after clipping", x: h.step, y: h.after });
  const box = pair(host);
  lineChart(box, "Norm of the gradient", h.bucket > 1 ? `Global norm over all parameters, medians of ${h.bucket} updates.` : "Global norm over all parameters.", { series, references, log: true, x: "update", y: "norm", at: "update" });
  lineChart(box, "Running quantiles of the norm", `Before clipping, over the last ${DATA.clip.window} updates.`, {
    series: DATA.clip.quantiles.map((q) => ({ name: q.name, x: DATA.clip.steps, y: q.values })), references, log: true, x: "update", y: "norm", at: "update" });
  lineChart(box, "Clipped updates", `Share of the last ${DATA.clip.window} updates.`, {
    series: [{ name: "clipped", x: DATA.clip.steps, y: DATA.clip.share }], range: [0, 1], x: "update", y: "share", at: "update" });
  if (h.angle.some((v) => v > 0)) {
    lineChart(box, "Change of direction by clipping", "0 for clipping by the global norm, which keeps the direction.", {
      series: [{ name: "angle", x: h.step, y: h.angle }], x: "update", y: "degrees", at: "update" });
  }
  return undefined;
}

function spectrum() {
  const host = section("spectrum");
  const s = DATA.spectrum;
  if (!s.length) return missing(host, "There are no eigenvalues: the weights are not finite, or the cell, a MinGRU, has no W_hh.");
  say(host, "Eigenvalues of the recurrent matrix, and the unit circle. In a linear net, eigenvalues inside it make the gradient vanish, those outside make it explode. "
    + "LSTM and GRU have a block for each gate; their memory does not depend on a block alone.");
  const picked = picker(host, "Block:", s.map((b) => b.name));
  const usual = s.findIndex((b) => b.usual);
  host.querySelector("select").value = String(Math.max(usual, 0));
  const box = pair(host);
  const picture = plane(box, "Eigenvalues", "Each mark is an eigenvalue.", () => {
    const b = s[picked.get()];
    const sets = [{ name: `trained, spectral radius ${number(b.radius)}`, points: b.now, mark: "dot" }];
    if (b.before) sets.push({ name: `before training, ${number(b.radius_before)}`, points: b.before, mark: "ring" });
    return sets;
  });
  picked.redraw.push(() => picture.redraw());
  const found = DATA.memory ? DATA.memory.exponents : [];
  if (found.length) {
    lineChart(box, "Lyapunov spectrum", "The largest exponents of the trained states, including cell states, along the sequence shown below. Below 0 small changes and gradients vanish, above 0 they grow.", {
      series: found.map((l) => ({ name: l.name, x: l.values.map((_, k) => k + 1), y: l.values })),
      references: [{ y: 0, name: "neither" }], x: "exponent, in descending order", y: "nats per step", at: "exponent" });
  }
  return undefined;
}

function memory() {
  const host = section("memory");
  const m = DATA.memory;
  if (!m) return missing(host, DATA.memory_missing);
  if (m.kind === "labels") {
    lineChart(host, "Dependence of labels on steps", "Norm of the derivative of the most likely class's output with respect to the input of each step, for the first sequences of the table.",
      { series: m.series, log: true, x: "step", y: "norm of the derivative", at: "step" });
    return undefined;
  }
  say(host, m.kind === "text"
    ? "Point at a character, tap it or go there with the arrow keys to highlight the earlier characters that it depends on. The number below a character is its share of the strongest dependence in per cent. The strength is the norm of the derivative of the character's logit with respect to the input of the first layer, computed exactly."
    : "Point at a step, tap it or go there with the arrow keys to highlight the earlier steps that its output depends on. The number below a step is its share of the strongest dependence in per cent.");
  memoryView(host, m);
  const n = m.matrix.length;
  const values = m.matrix.map((row) => Array.from({ length: n }, (_, s) => (row[s] > 0 ? Math.log10(row[s]) : null)));
  heatMap(host, "All pairs", "Each column is an output, each row an input; the diagonal is the input of the same step.", {
    get: () => ({ columns: values.map((_, k) => k + 1), values, rows: n }), first: 1, least: -6, x: "output (step)", y: "input (step)",
    unit: "norm of the derivative", height: 420,
    say: (k) => `output ${k + 1}: strongest input ${1 + m.matrix[k].indexOf(Math.max(...m.matrix[k]))}, ${number(Math.max(...m.matrix[k]))}` });
  return undefined;
}

function results() {
  const host = section("results");
  const r = DATA.results;
  for (const sample of r.samples) {
    say(host, `Sample at temperature ${sample.temperature}`, "h3");
    host.append(el("pre", { dir: "auto" }, sample.text));
  }
  if (r.forecast) {
    lineChart(host, "Forecast of the test rows", `Column ${r.forecast.column}.`, { series: [
      { name: "actual", x: r.forecast.row, y: r.forecast.actual }, { name: "forecast", x: r.forecast.row, y: r.forecast.forecast }],
    x: "row", y: r.forecast.column, at: "row" });
  }
  if (r.confusion) {
    const table = el("table", {}, el("tr", {}, el("th", {}, "label \\ predicted"), ...r.confusion.classes.map((c) => el("th", { scope: "col" }, c))));
    r.confusion.counts.forEach((row, k) => table.append(el("tr", {}, el("th", { scope: "row" }, r.confusion.classes[k]), ...row.map((n) => el("td", {}, String(n))))));
    host.append(el("h3", {}, "Labels of the test part"), el("div", { class: "scroll" }, table));
  }
  if (!r.samples.length && !r.forecast && !r.confusion) missing(host, r.missing);
}

heading();
training();
flow();
clipping();
spectrum();
memory();
results();
