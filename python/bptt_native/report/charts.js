// SVG charts, which are redrawn when their width changes. Colours and dashes are classes of the style
// sheet, so the light and the dark scheme use the same drawing.

const SVG = "http://www.w3.org/2000/svg";

function el(name, attributes = {}, ...children) {
  const html = ["svg", "g", "path", "line", "rect", "circle", "text", "image"].includes(name);
  const node = html ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function number(value) {
  if (value === null || value === undefined || !isFinite(value)) return "–";
  if (value !== 0 && (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3)) {
    const [digits, power] = value.toExponential(2).split("e");
    return `${Number(digits)}·10${raised(Number(power))}`;
  }
  return String(Number(value.toPrecision(4)));
}

function raised(n) {
  return [...String(n)].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(c)])).join("");
}

const good = (v, log) => v !== null && v !== undefined && isFinite(v) && (!log || v > 0);

function extent(values, log) {
  let low = Infinity;
  let high = -Infinity;
  for (const v of values) {
    if (!good(v, log)) continue;
    if (v < low) low = v;
    if (v > high) high = v;
  }
  return low > high ? (log ? [0.1, 1] : [0, 1]) : [low, high];
}

function scaleOf(low, high, log, from, to) {
  const f = log ? Math.log10 : (v) => v;
  const [a, b] = [f(low), f(high)];
  const scale = (v) => from + ((f(v) - a) / (b - a || 1)) * (to - from);
  scale.back = (p) => {
    const v = a + ((p - from) / (to - from)) * (b - a);
    return log ? 10 ** v : v;
  };
  return scale;
}

function ticks(low, high, log, most) {
  if (log) {
    const [a, b] = [Math.log10(low), Math.log10(high)];
    if (b - a < 1.5) {
      const all = [1, 1.5, 2, 3, 4, 5, 6, 8];
      const found = [];
      for (let p = Math.floor(a); p <= b; p += 1) {
        for (const m of all) if (m * 10 ** p >= low * 0.999 && m * 10 ** p <= high * 1.001) found.push(m * 10 ** p);
      }
      const every = Math.ceil(found.length / most);
      return found.filter((_, k) => k % every === 0);
    }
    const step = Math.ceil((b - a) / most);
    const found = [];
    for (let p = Math.ceil(a - 1e-9); p <= b + 1e-9; p += 1) if (p % step === 0) found.push(10 ** p);
    return found;
  }
  const raw = (high - low) / most || 1;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * unit).find((s) => s >= raw);
  const found = [];
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-9; v += step) {
    found.push(Math.abs(v) < step * 1e-9 ? 0 : v);
  }
  return found;
}

function tickText(value, log) {
  if (log && (value < 0.01 || value >= 1e4)) {
    const power = Math.round(Math.log10(value));
    if (Math.abs(value / 10 ** power - 1) < 1e-6) return `10${raised(power)}`;
  }
  return number(value);
}

// Add a figure with a title, a picture that draw(figure, width, height) draws, a legend and a readout.
function figure(host, title, caption, draw, height = 260) {
  const svg = el("svg", { role: "img", tabindex: "0", "aria-label": `${title}. ${caption}` });
  const legend = el("ul", { class: "legend" });
  const readout = el("div", { class: "readout" });
  const box = el("figure", {}, el("h3", {}, title), svg, legend, readout, el("figcaption", {}, caption));
  host.append(box);
  const self = { svg, legend, readout, box, redraw: () => redraw(true) };
  let drawn = 0;
  function redraw(force) {
    const width = Math.floor(svg.getBoundingClientRect().width);
    if (width < 40 || (!force && width === drawn)) return;
    drawn = width;
    const tall = typeof height === "function" ? height(width) : height;
    svg.setAttribute("viewBox", `0 0 ${width} ${tall}`);
    svg.style.height = `${tall}px`;
    svg.replaceChildren();
    legend.replaceChildren();
    draw(self, width, tall);
  }
  new ResizeObserver(() => requestAnimationFrame(() => redraw(false))).observe(box);
  redraw(true);
  return self;
}

function axes(svg, area, x, y, labels) {
  const { left, right, top, bottom } = area;
  const across = Math.max(2, Math.floor((right - left) / 75));
  for (const v of ticks(x.low, x.high, x.log, across)) {
    const p = x.scale(v);
    svg.append(el("line", { class: "grid", x1: p, x2: p, y1: top, y2: bottom }),
      el("text", { x: p, y: bottom + 16, "text-anchor": "middle" }, tickText(v, x.log)));
  }
  for (const v of ticks(y.low, y.high, y.log, Math.max(2, Math.floor((bottom - top) / 36)))) {
    const p = y.scale(v);
    svg.append(el("line", { class: "grid", x1: left, x2: right, y1: p, y2: p }),
      el("text", { x: left - 6, y: p + 4, "text-anchor": "end" }, tickText(v, y.log)));
  }
  svg.append(el("rect", { class: "frame", x: left, y: top, width: right - left, height: bottom - top }),
    el("text", { class: "label", x: (left + right) / 2, y: bottom + 34, "text-anchor": "middle" }, labels.x),
    el("text", { class: "label", x: 0, y: 12 }, labels.y));
}

function key(legend, name, classes, mark = "line") {
  const svg = el("svg", { viewBox: "0 0 30 10", "aria-hidden": "true" });
  if (mark === "line") svg.append(el("path", { class: `line ${classes}`, d: "M0 5H30" }));
  else if (mark === "band") svg.append(el("rect", { class: `band ${classes}`, width: 30, height: 10 }));
  else if (mark === "reference") svg.append(el("path", { class: "reference", d: "M0 5H30" }));
  else svg.append(el("circle", { class: `${mark} ${classes}`, cx: 15, cy: 5, r: 4 }));
  legend.append(el("li", {}, svg, name));
}

function path(xs, ys, x, y) {
  let d = "";
  let pen = false;
  xs.forEach((v, k) => {
    if (!good(ys[k], y.log) || !good(v, x.log) || (y.log && ys[k] < y.low * 0.999)) {
      pen = false;
      return;
    }
    const at = Math.min(Math.max(ys[k], y.low), y.high);
    d += `${pen ? "L" : "M"}${x.scale(v).toFixed(1)} ${y.scale(at).toFixed(1)}`;
    pen = true;
  });
  return d;
}

// Add a chart of series {name, x, y, low, high, dots} and references {y, name}. A readout follows the
// pointer and the arrow keys.
function lineChart(host, title, caption, spec) {
  return figure(host, title, caption, (self, width, height) => {
    const area = { left: 56, right: width - 8, top: 22, bottom: height - 40 };
    const series = typeof spec.series === "function" ? spec.series() : spec.series;
    const references = spec.references || [];
    const all = series.flatMap((s) => [...s.y, ...(s.low || []), ...(s.high || [])]);
    let [low, high] = extent([...all, ...references.map((r) => r.y)], spec.log);
    if (spec.floor !== undefined) low = Math.max(low, spec.floor);
    if (spec.range) [low, high] = spec.range;
    else if (spec.log) [low, high] = [low / 1.15, Math.max(high, low) * 1.15];
    else if (high === low) [low, high] = [low - 0.5, high + 0.5];
    else [low, high] = [low === 0 ? 0 : low - 0.04 * (high - low), high + 0.04 * (high - low)];
    const [first, last] = extent(series.flatMap((s) => s.x), false);
    const x = { low: first, high: last > first ? last : first + 1, log: false };
    const y = { low, high, log: spec.log };
    x.scale = scaleOf(x.low, x.high, false, area.left, area.right);
    y.scale = scaleOf(low, high, spec.log, area.bottom, area.top);
    axes(self.svg, area, x, y, spec);
    series.forEach((s, k) => {
      const look = `s${k % 5}`;
      if (s.band) {
        const back = path([...s.x].reverse(), [...s.high].reverse(), x, y).replace("M", "L");
        const d = path(s.x, s.low.map((v) => (good(v, y.log) ? Math.max(v, y.low) : null)), x, y);
        if (d && back) self.svg.append(el("path", { class: `band ${look}`, d: `${d}${back}Z` }));
      }
      self.svg.append(el("path", { class: `line ${look} d${k % 5}`, d: path(s.x, s.y, x, y) }));
      if (s.dots) {
        s.x.forEach((v, i) => good(s.y[i], y.log) && s.y[i] >= low && self.svg.append(
          el("circle", { class: `dot ${look}`, cx: x.scale(v), cy: y.scale(Math.min(s.y[i], high)), r: 3 })));
      }
      key(self.legend, s.name, `${look} d${k % 5}`);
      if (s.band) key(self.legend, s.band, look, "band");
    });
    references.forEach((r) => {
      const p = y.scale(r.y);
      self.svg.append(el("path", { class: "reference", d: `M${area.left} ${p}H${area.right}` }));
      key(self.legend, r.name, "", "reference");
    });
    follow(self, area, x, (v) => {
      const parts = series.map((s) => {
        let best = 0;
        s.x.forEach((at, i) => {
          if (Math.abs(at - v) < Math.abs(s.x[best] - v)) best = i;
        });
        return `${s.name} ${number(s.y[best])}${s.x[best] === v ? "" : ` (at ${number(s.x[best])})`}`;
      });
      return `${spec.at || "at"} ${number(v)}: ${parts.join(", ")}`;
    }, [...new Set(series.flatMap((s) => s.x))].sort((a, b) => a - b));
  });
}

function follow(self, area, x, say, places) {
  const cross = el("path", { class: "cross", d: "" });
  self.svg.append(cross);
  let at = 0;
  const show = (k) => {
    at = Math.min(Math.max(k, 0), places.length - 1);
    if (!places.length) return;
    cross.setAttribute("d", `M${x.scale(places[at])} ${area.top}V${area.bottom}`);
    self.readout.textContent = say(places[at]);
  };
  self.svg.onpointermove = (event) => {
    const v = x.scale.back(event.clientX - self.svg.getBoundingClientRect().left);
    let best = 0;
    places.forEach((p, k) => {
      if (Math.abs(p - v) < Math.abs(places[best] - v)) best = k;
    });
    show(best);
  };
  self.svg.onkeydown = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -places.length, End: places.length }[event.key];
    if (!step) return;
    event.preventDefault();
    show(at + step);
  };
}
