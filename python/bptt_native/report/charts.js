// Parts that all charts share: elements, numbers, scales, axes, and figures that are redrawn when their
// width changes. Colours and dashes are classes of the style sheet, so the light and the dark scheme
// use the same drawing.

const SVG = "http://www.w3.org/2000/svg";
const OF_SVG = ["svg", "g", "path", "line", "rect", "circle", "text", "tspan", "image", "title"];

function el(name, attributes = {}, ...children) {
  const node = OF_SVG.includes(name) ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function number(value) {
  if (value === null || value === undefined || !isFinite(value)) return "–";
  if (value !== 0 && (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3)) {
    const [digits, power] = value.toExponential(2).split("e");
    return `${signed(Number(digits))}·10${raised(Number(power))}`;
  }
  return signed(Number(value.toPrecision(4)));
}

const signed = (value) => String(value).replace("-", "−");

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

// Return the places of labelled ticks of an axis {low, high, log, whole}, at least two if possible. The
// ticks of an axis of whole numbers are whole.
function ticks(axis, most) {
  const fits = (v) => !axis.whole || Number.isInteger(v);
  let found = [];
  for (let n = most; found.length < 2 && n < most + 4; n += 1) {
    found = ticksOf(axis.low, axis.high, axis.log, n).filter(fits);
  }
  return found;
}

function ticksOf(low, high, log, most) {
  if (log) {
    const [a, b] = [Math.log10(low), Math.log10(high)];
    if (b - a < 1.5) {
      const all = [1, 1.5, 2, 3, 4, 5, 6, 8];
      const found = [];
      for (let p = Math.floor(a); p <= b; p += 1) {
        for (const m of all) if (m * 10 ** p >= low * 0.999 && m * 10 ** p <= high * 1.001) found.push(m * 10 ** p);
      }
      if (found.length < 2) return ticksOf(low, high, false, most);
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

// Return the multiples of powers of ten between the labelled ticks of a logarithmic axis.
function minorTicks(low, high, labelled) {
  const [a, b] = [Math.log10(low), Math.log10(high)];
  const found = [];
  for (let p = Math.floor(a); p <= b && b - a <= 7; p += 1) {
    for (let m = 1; m < 10; m += 1) {
      const v = m * 10 ** p;
      const known = labelled.some((t) => Math.abs(t / v - 1) < 1e-6);
      if (v >= low && v <= high && !known) found.push(v);
    }
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

const ruler = document.createElement("canvas").getContext("2d");

function widthOf(text) {
  ruler.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  return ruler.measureText(text).width;
}

// Return the lines of a text that is wrapped at its words; a word that is too long is cut.
function wrapped(text, width, most = 3) {
  const lines = [];
  for (const word of [...text].slice(0, 120).join("").split(/\s+/)) {
    const last = lines.length - 1;
    if (last >= 0 && widthOf(`${lines[last]} ${word}`) <= width) lines[last] += ` ${word}`;
    else lines.push(word);
  }
  const shown = lines.slice(0, most);
  return shown.map((line, k) => {
    const more = k === most - 1 && lines.length > most;
    let letters = [...line];
    if (widthOf(line) <= width && !more) return line;
    while (letters.length > 1 && widthOf(`${letters.join("")}…`) > width) letters = letters.slice(0, -1);
    return `${letters.join("")}…`;
  });
}

// Add a figure: a title, the picture that draw(self, width, height) draws, a readout for the pointer and
// the keyboard, a caption, and buttons that save the picture and its data.
let figures = 0;

function figure(host, title, caption, draw, height = 260) {
  figures += 1;
  const name = `figure-${figures}`;
  const svg = el("svg", { role: "img", tabindex: "0", "aria-labelledby": name, "aria-describedby": `${name}-readout` });
  const readout = el("p", { class: "readout", id: `${name}-readout`, "aria-live": "polite" });
  const save = el("p", { class: "save" });
  const box = el("figure", { "aria-labelledby": name }, el("h3", { id: name }, title), svg, readout,
    el("figcaption", {}, caption, save));
  host.append(box);
  const self = { svg, readout, box, title, caption, table: () => [], redraw: () => redraw(true) };
  save.append(saver(self, "SVG", saveSvg), saver(self, "CSV", saveCsv));
  let drawn = 0;
  function redraw(force) {
    const width = Math.floor(svg.getBoundingClientRect().width);
    if (width < 40 || (!force && width === drawn)) return;
    drawn = width;
    const tall = typeof height === "function" ? height(width) : height;
    svg.setAttribute("viewBox", `0 0 ${width} ${tall}`);
    svg.style.height = `${tall}px`;
    svg.replaceChildren();
    readout.textContent = "";
    draw(self, width, tall);
  }
  new ResizeObserver(() => requestAnimationFrame(() => redraw(false))).observe(box);
  redraw(true);
  return self;
}

const LOG = " (log scale)";

// Draw axes with labels; a logarithmic one says that it is.
function axes(svg, area, x, y, labels) {
  const { width, left, right, top, bottom } = area;
  const put = (of, side, v, p, minor) => {
    const line = of === x ? { x1: p, x2: p, y1: bottom, y2: bottom + side } : { x1: left - side, x2: left, y1: p, y2: p };
    svg.append(el("line", { class: minor ? "minor" : "tick", ...line }));
  };
  const across = Math.max(2, Math.floor((right - left) / 75));
  const atX = ticks(x, across);
  for (const v of atX) {
    const p = x.scale(v);
    put(x, 4, v, p);
    svg.append(el("line", { class: "grid", x1: p, x2: p, y1: top, y2: bottom }),
      el("text", { x: p, y: bottom + 17, "text-anchor": "middle" }, tickText(v, x.log)));
  }
  const atY = ticks(y, Math.max(2, Math.floor((bottom - top) / 36)));
  for (const v of atY) {
    const p = y.scale(v);
    put(y, 4, v, p);
    svg.append(el("line", { class: "grid", x1: left, x2: right, y1: p, y2: p }),
      el("text", { x: left - 7, y: p + 4, "text-anchor": "end" }, tickText(v, y.log)));
  }
  if (y.log) for (const v of minorTicks(y.low, y.high, atY)) put(y, 2.5, v, y.scale(v), true);
  svg.append(el("path", { class: "frame", d: `M${left} ${top}V${bottom}H${right}` }),
    el("text", { class: "label", x: (left + right) / 2, y: bottom + 35, "text-anchor": "middle" }, labels.x + (x.log ? LOG : "")));
  wrapped(labels.y + (y.log ? LOG : ""), width, 2).forEach((line, k) => {
    svg.append(el("text", { class: "label", x: 0, y: 12 + 14 * k }, line));
  });
}

// Return the room that a label above an axis takes.
const above = (label, log, width) => 10 + 14 * wrapped(label + (log ? LOG : ""), width, 2).length;

function path(xs, ys, x, y) {
  let d = "";
  let pen = false;
  xs.forEach((v, k) => {
    if (!visible(ys[k], y) || !good(v, x.log)) {
      pen = false;
      return;
    }
    const at = Math.min(Math.max(ys[k], y.low), y.high);
    d += `${pen ? "L" : "M"}${x.scale(v).toFixed(1)} ${y.scale(at).toFixed(1)}`;
    pen = true;
  });
  return d;
}

const visible = (v, y) => good(v, y.log) && !(y.log && v < y.low * 0.999);

function nearest(values, v) {
  let best = 0;
  values.forEach((at, k) => {
    if (Math.abs(at - v) < Math.abs(values[best] - v)) best = k;
  });
  return best;
}
