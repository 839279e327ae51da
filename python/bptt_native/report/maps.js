// Heat maps (viridis), and eigenvalues in the complex plane.

const VIRIDIS = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129],
  [92, 200, 99], [170, 220, 50], [253, 231, 37]];

function viridis(share) {
  const p = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
  const k = Math.min(Math.floor(p), VIRIDIS.length - 2);
  return VIRIDIS[k].map((v, i) => Math.round(v + (p - k) * (VIRIDIS[k + 1][i] - v)));
}

// Return values[column][row] as a picture, with row 0 at the top or at the bottom; null is transparent.
function raster(values, low, high, downwards) {
  const canvas = el("canvas", { width: values.length, height: values[0].length });
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  values.forEach((column, i) => column.forEach((v, j) => {
    const row = downwards ? j : column.length - 1 - j;
    const at = 4 * (row * canvas.width + i);
    if (v === null) return;
    image.data.set([...viridis((v - low) / (high - low || 1)), 255], at);
  }));
  context.putImageData(image, 0, 0);
  return canvas.toDataURL();
}

// Add a heat map. spec.get() returns columns (the x of each), values[column][row] as powers of ten, rows
// (the y of each), and the lines {name, y} over the map. Row 0 is at the bottom, or at the top of a map
// of which spec.downwards is true.
function heatMap(host, title, caption, spec) {
  const self = figure(host, title, caption, (self, width, height) => {
    const { columns, values, rows, over = [] } = spec.get();
    const [least, most] = extent(values.flat(), false);
    const low = Math.max(least, spec.least);
    const high = Math.max(most, low + 0.5);
    const room = over.length ? roomFor(over.map((line) => line.name), width) : 8;
    const area = { width, left: 52, right: width - room, room, top: above(spec.y, false, width), bottom: height - 96 };
    if (spec.square) area.right = Math.min(area.right, area.left + 1.25 * (area.bottom - area.top));
    const edges = (at) => at.map((c, k) => [k ? (at[k - 1] + c) / 2 : c - 0.5 * (at[1] - c || 1),
      k < at.length - 1 ? (c + at[k + 1]) / 2 : c + 0.5 * (c - at[k - 1] || 1)]);
    const [across, along] = [edges(columns), edges(rows)];
    const x = { low: across[0][0], high: across[columns.length - 1][1], log: false, whole: true };
    const y = { low: along[0][0], high: along[rows.length - 1][1], log: false, whole: true };
    x.scale = scaleOf(x.low, x.high, false, area.left, area.right);
    y.scale = spec.downwards ? scaleOf(y.low, y.high, false, area.top, area.bottom)
      : scaleOf(y.low, y.high, false, area.bottom, area.top);
    axes(self.svg, area, x, y, spec);
    const even = columns.every((c, k) => k < 2 || Math.abs(c - columns[k - 1] - columns[1] + columns[0]) < 1e-9);
    const pieces = even ? [[x.low, x.high, values]] : across.map(([a, b], k) => [a, b, [values[k]]]);
    for (const [a, b, part] of pieces) {
      const overlap = b < x.high ? 0.7 : 0;  // no gap between neighbours
      self.svg.append(el("image", {
        href: raster(part, low, high, spec.downwards), x: x.scale(a), y: area.top, width: x.scale(b) - x.scale(a) + overlap,
        height: area.bottom - area.top, preserveAspectRatio: "none", style: "image-rendering: pixelated",
      }));
    }
    const items = [];
    over.forEach((line, k) => {
      const d = path(columns, line.y, x, y);
      self.svg.append(el("path", { class: "under", d }), el("path", { class: `over d${k}`, d }));
      const end = line.y.reduce((found, v, i) => (v === null ? found : i), -1);
      if (end >= 0) items.push({ text: line.name, x: x.scale(columns[end]), y: y.scale(Math.min(line.y[end], y.high)), marks: [`over-key d${k}`] });
    });
    endLabels(self.svg, area, items, area.bottom);
    colours(self.svg, area, height, low, high, spec.unit);
    point(self, area, x, y, columns, rows, (i, j) => spec.say(i, j, values[i][j]));
  }, spec.height || 330);
  self.table = () => {
    const { columns, values, rows } = spec.get();
    return [spec.names, ...columns.flatMap((c, i) => rows.map((r, j) => [c, r, values[i][j] === null ? null : Number((10 ** values[i][j]).toPrecision(5))]))];
  };
  return self;
}

// Let the pointer and the arrow keys choose a cell of a map.
function point(self, area, x, y, columns, rows, say) {
  const cross = el("path", { class: "cross", d: "", "data-cross": "" });
  self.svg.append(cross);
  let [i, j] = [0, 0];
  const show = (a, b) => {
    i = Math.min(Math.max(a, 0), columns.length - 1);
    j = Math.min(Math.max(b, 0), rows.length - 1);
    const [p, q] = [x.scale(columns[i]), y.scale(rows[j])];
    cross.setAttribute("d", `M${p} ${area.bottom}v6M${area.left - 6} ${q}h6M${p - 5} ${q}h10M${p} ${q - 5}v10`);
    self.readout.textContent = say(i, j);
  };
  self.svg.onpointermove = (event) => {
    const box = self.svg.getBoundingClientRect();
    show(nearest(columns, x.scale.back(event.clientX - box.left)), nearest(rows, y.scale.back(event.clientY - box.top)));
  };
  const up = y.scale(rows[rows.length - 1]) < y.scale(rows[0]) ? 1 : -1;
  self.svg.onkeydown = (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, up], ArrowDown: [0, -up],
      Home: [-columns.length, 0], End: [columns.length, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    show(i + step[0], j + step[1]);
  };
}

function colours(svg, area, height, low, high, unit) {
  const steps = Array.from({ length: 64 }, (_, k) => [low + ((high - low) * k) / 63]);
  const wide = area.right - area.left;
  svg.append(el("image", {
    href: raster(steps, low, high), x: area.left, y: height - 28, width: wide, height: 10, preserveAspectRatio: "none",
  }));
  const scale = scaleOf(low, high, false, area.left, area.right);
  const step = Math.max(1, Math.ceil(((high - low) * 44) / wide));
  for (let p = Math.ceil(low); p <= high + 1e-9; p += 1) {
    if (p % step) continue;
    svg.append(el("line", { class: "tick", x1: scale(p), x2: scale(p), y1: height - 18, y2: height - 14 }),
      el("text", { x: scale(p), y: height - 3, "text-anchor": "middle" }, p === 0 ? "1" : `10${raised(p)}`));
  }
  svg.append(el("text", { class: "label", x: area.left, y: height - 34 }, unit + LOG));
}

// Add a complex plane with the sets {name, points: [[re, im]], radius, look} that get() returns, the later
// ones over the earlier ones, and the unit circle over all of them.
function plane(host, title, caption, get) {
  const bounds = (at) => {
    const [low, high] = extent([-1, 1, ...get().flatMap((s) => s.points.map((p) => p[at]))], false);
    return [low - 0.04 * (high - low), high + 0.04 * (high - low)];
  };
  const places = (width) => {
    const [re, im] = [bounds(0), bounds(1)];
    const unit = Math.min((width - 64) / (re[1] - re[0]), 360 / (im[1] - im[0]));
    return { re, im, area: { width, left: 52, right: 52 + unit * (re[1] - re[0]), top: 24, bottom: 24 + unit * (im[1] - im[0]) } };
  };
  const self = figure(host, title, caption, (self, width) => {
    const sets = get();
    const { re, im, area } = places(width);
    const x = { low: re[0], high: re[1], log: false, scale: scaleOf(...re, false, area.left, area.right) };
    const y = { low: im[0], high: im[1], log: false, scale: scaleOf(...im, false, area.bottom, area.top) };
    axes(self.svg, area, x, y, { x: "real part", y: "imaginary part" });
    for (const set of sets) {
      for (const [a, b] of set.points) {
        self.svg.append(el("circle", { class: set.look, cx: x.scale(a), cy: y.scale(b), r: 2.8 }));
      }
    }
    const circle = { cx: x.scale(0), cy: y.scale(0), r: x.scale(1) - x.scale(0) };
    self.svg.append(el("circle", { class: "reference unit", ...circle }));
    const row = (k) => area.bottom + 56 + 18 * k;  // of the legend below the axis
    sets.forEach((set, k) => self.svg.append(el("circle", { class: set.look, cx: 60, cy: row(k) - 4, r: 3.5 }),
      el("text", { class: "label", x: 75, y: row(k) }, `${set.name}, radius ${number(set.radius)}`)));
    self.svg.append(el("path", { class: "reference", d: `M52 ${row(sets.length) - 4}h16` }),
      el("text", { class: "label", x: 75, y: row(sets.length) }, "unit circle"));
  }, (width) => places(width).area.bottom + 46 + 18 * (get().length + 1));
  self.table = () => [["set", "real part", "imaginary part"], ...get().flatMap((s) => s.points.map(([re, im]) => [s.name, re, im]))];
  return self;
}
