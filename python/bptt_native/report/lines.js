// Line charts, whose lines have their names at their right ends.

const LINE = 14;  // height of a line of text

// Return the bounds of the y axis: those of the data, with a small margin.
function boundsOf(spec, series, references) {
  const all = series.flatMap((s) => [...s.y, ...(s.low || []), ...(s.high || [])]);
  let [low, high] = extent([...all, ...references.map((r) => r.y)], spec.log);
  if (spec.floor !== undefined) low = Math.max(low, spec.floor);
  if (spec.log) return [low / 1.15, Math.max(high, low) * 1.15];
  const margin = 0.05 * (high - low) || 0.05 * Math.abs(high) || 0.5;
  low = low === 0 ? 0 : low - margin;
  high += margin;
  const [least, most] = spec.range || [-Infinity, Infinity];
  return [Math.max(low, least), Math.min(high, most)];
}

// Return groups of series with the same finite values, which share a line on the chart.
function coinciding(series) {
  const groups = [];
  for (const s of series) {
    const same = groups.find(([t]) => t.y.length === s.y.length && s.y.some((v) => good(v)) && s.y.every((v, k) => (
      s.x[k] === t.x[k] && (v === t.y[k] || Math.abs(v - t.y[k]) <= 1e-4 * Math.abs(v)))));
    if (same) same.push(s);
    else groups.push([s]);
  }
  return groups;
}

// Write names at the right ends of lines {text, x, y, marks}; where they would overlap, they are moved
// apart, and a leader joins each to its line.
function endLabels(svg, area, items, height) {
  const wide = area.room - 30;
  const top = Math.max(0, area.top - 8);  // below the label of the axis
  const most = Math.max(1, Math.min(6, Math.floor((height - top) / items.length / (LINE + 1))));
  const labels = items.map((item) => ({ ...item, lines: wrapped(item.text, wide, most) })).sort((a, b) => a.y - b.y);
  let least = top;
  for (const label of labels) {
    label.tall = label.lines.length * LINE;
    label.at = Math.max(label.y - label.tall / 2, least);
    least = label.at + label.tall + 2;
  }
  let end = height;
  for (const label of [...labels].reverse()) {
    label.at = Math.max(top, Math.min(label.at, end - label.tall));
    end = label.at - 2;
  }
  for (const { x, y, at, tall, lines, marks } of labels) {
    const middle = at + tall / 2;
    const begin = area.right + 10;
    if (Math.abs(middle - y) > 3 || x < area.right - 3) {
      svg.append(el("path", { class: "leader", d: `M${x + 2} ${y}${x < area.right - 3 ? `H${area.right + 2}` : ""}L${begin - 1} ${middle}` }));
    }
    for (const classes of marks) svg.append(el("path", { class: classes, d: `M${begin} ${middle}h15` }));
    lines.forEach((line, k) => svg.append(el("text", { class: "label", x: begin + 19, y: at + LINE * k + 11 }, line)));
  }
}

// Return the width of the margin for names.
const roomFor = (names, width) => Math.min(Math.max(0, ...names.map((n) => widthOf(n) + 31)), Math.max(84, 0.3 * width));

// Add a chart of series {name, x, y, low, high, band, dots, look} and references {y, name}. The look of
// a series are classes for its colour and dashes. A readout follows the pointer and the arrow keys.
function lineChart(host, title, caption, spec) {
  const list = () => (typeof spec.series === "function" ? spec.series() : spec.series);
  const references = spec.references || [];
  const self = figure(host, title, caption, (self, width, height) => {
    const series = list();
    const groups = coinciding(series);
    const alone = series.length === 1 && !references.length;  // the title names it
    const names = groups.map((g) => (alone ? "" : g.map((s) => s.name).join(" = ")));
    const room = alone ? 12 : roomFor([...names, ...references.map((r) => r.name)], width);
    const area = { width, left: 52, right: width - room, room, top: above(spec.y, spec.log, width), bottom: height - 42 };
    const [low, high] = boundsOf(spec, series, references);
    const [first, last] = extent(series.flatMap((s) => s.x.filter((_, i) => good(s.y[i], spec.log) && s.y[i] >= low)), false);
    const alike = last > first ? 0 : 0.5;
    const x = { low: first - alike, high: last + alike, log: false, whole: true };
    const y = { low, high, log: spec.log };
    x.scale = scaleOf(x.low, x.high, false, area.left, area.right);
    y.scale = scaleOf(low, high, spec.log, area.bottom, area.top);
    axes(self.svg, area, x, y, spec);
    const items = references.map((r) => {
      const p = y.scale(r.y);
      self.svg.append(el("path", { class: "reference", d: `M${area.left} ${p}H${area.right}` }));
      return { text: r.name, x: area.right, y: p, marks: ["reference"] };
    });
    for (const s of series) {
      if (!s.band) continue;
      const back = path([...s.x].reverse(), [...s.high].reverse(), x, y).replace("M", "L");
      const d = path(s.x, s.low.map((v) => (good(v, y.log) ? Math.max(v, y.low) : null)), x, y);
      if (d && back) self.svg.append(el("path", { class: `band ${s.look}`, d: `${d}${back}Z` }));
    }
    for (const s of series) {
      self.svg.append(el("path", { class: `line ${s.look}`, d: path(s.x, s.y, x, y) }));
      const seen = (i) => i >= 0 && i < s.x.length && visible(s.y[i], y);
      s.x.forEach((v, i) => seen(i) && (s.dots || !(seen(i - 1) || seen(i + 1))) && self.svg.append(
        el("circle", { class: `dot ${s.look}`, cx: x.scale(v), cy: y.scale(Math.min(s.y[i], high)), r: 2.6 })));
    }
    groups.forEach((group, k) => {
      const [s] = group;
      const end = s.y.reduce((found, v, i) => (good(v, y.log) && v >= low ? i : found), -1);
      if (end >= 0 && !alone) {
        items.push({ text: names[k], x: x.scale(s.x[end]), y: y.scale(Math.min(s.y[end], high)),
          marks: group.map((g) => `line ${g.look}`) });
      }
    });
    endLabels(self.svg, area, items, height);
    const places = [...new Set(series.flatMap((s) => s.x))].sort((a, b) => a - b);
    follow(self, (p) => x.scale(p), area, (px) => x.scale.back(px), places, (v) => {
      const parts = series.filter((s) => s.x.length).map((s) => {
        const best = nearest(s.x, v);
        return `${s.name} ${number(s.y[best])}${s.x[best] === v ? "" : ` (at ${number(s.x[best])})`}`;
      });
      return `${spec.at || spec.x} ${number(v)}: ${parts.join(", ")}`;
    });
  });
  self.table = () => {
    const banded = list().some((s) => s.band);
    const rows = list().flatMap((s) => s.x.map((v, k) => [s.name, v, s.y[k], ...(banded ? [s.band ? s.low[k] : null, s.band ? s.high[k] : null] : [])]));
    return [["series", spec.x, spec.y, ...(banded ? ["smallest", "largest"] : [])], ...rows];
  };
  return self;
}

function follow(self, scale, area, back, places, say) {
  const cross = el("path", { class: "cross", d: "", "data-cross": "" });
  self.svg.append(cross);
  let at = -1;
  const show = (k) => {
    if (!places.length) return;
    at = Math.min(Math.max(k, 0), places.length - 1);
    cross.setAttribute("d", `M${scale(places[at])} ${area.top}V${area.bottom}`);
    self.readout.textContent = say(places[at]);
  };
  self.svg.onpointermove = (event) => show(nearest(places, back(event.clientX - self.svg.getBoundingClientRect().left)));
  self.svg.onkeydown = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -places.length, End: places.length }[event.key];
    if (!step) return;
    event.preventDefault();
    show(at < 0 && step === -1 ? 0 : at + step);
  };
}
