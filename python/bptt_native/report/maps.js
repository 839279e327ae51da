// Heat maps (viridis), and eigenvalues in the complex plane.

const VIRIDIS = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129],
  [92, 200, 99], [170, 220, 50], [253, 231, 37]];

function viridis(share) {
  const p = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
  const k = Math.min(Math.floor(p), VIRIDIS.length - 2);
  return VIRIDIS[k].map((v, i) => Math.round(v + (p - k) * (VIRIDIS[k + 1][i] - v)));
}

// Return values[column][row] as a picture with row 0 at the bottom; null is transparent.
function raster(values, low, high, flipped) {
  const canvas = el("canvas", { width: values.length, height: values[0].length });
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  values.forEach((column, i) => column.forEach((v, j) => {
    const row = flipped ? j : column.length - 1 - j;
    const at = 4 * (row * canvas.width + i);
    if (v === null) return;
    image.data.set([...viridis((v - low) / (high - low || 1)), 255], at);
  }));
  context.putImageData(image, 0, 0);
  return canvas.toDataURL();
}

// Add a heat map. spec.get() returns columns (the x of each), values[column][row] as powers of ten, the
// number of rows, and the lines drawn over the map.
function heatMap(host, title, caption, spec) {
  return figure(host, title, caption, (self, width, height) => {
    const { columns, values, rows, over } = spec.get();
    const flat = values.flat();
    const [least, most] = extent(flat, false);
    const low = Math.max(least, spec.least);
    const high = Math.max(most, low + 0.5);
    const area = { left: 56, right: width - 8, top: 22, bottom: height - 90 };
    const x = { low: columns[0] - 0.5 * (columns[1] - columns[0] || 1), log: false };
    x.high = columns[columns.length - 1] + 0.5 * (columns[columns.length - 1] - columns[columns.length - 2] || 1);
    const first = spec.first || 0;
    const y = { low: first - 0.5, high: first + rows - 0.5, log: false };
    x.scale = scaleOf(x.low, x.high, false, area.left, area.right);
    y.scale = spec.flipped ? scaleOf(y.low, y.high, false, area.top, area.bottom)
      : scaleOf(y.low, y.high, false, area.bottom, area.top);
    axes(self.svg, area, x, y, spec);
    const edges = columns.map((c, k) => [k ? (columns[k - 1] + c) / 2 : x.low,
      k < columns.length - 1 ? (c + columns[k + 1]) / 2 : x.high]);
    const even = columns.every((c, k) => k < 2 || Math.abs(c - columns[k - 1] - columns[1] + columns[0]) < 1e-9);
    const pieces = even ? [[x.low, x.high, values]] : edges.map(([a, b], k) => [a, b, [values[k]]]);
    for (const [a, b, part] of pieces) {
      self.svg.append(el("image", {
        href: raster(part, low, high, spec.flipped), x: x.scale(a), y: area.top, width: x.scale(b) - x.scale(a),
        height: area.bottom - area.top, preserveAspectRatio: "none", style: "image-rendering: pixelated",
      }));
    }
    (over || []).forEach((line, k) => {
      const ys = line.y.map((v) => (v === null ? null : Math.min(v, rows - 1)));
      self.svg.append(el("path", { class: `over d${k}`, d: path(columns, ys, x, y) }));
      key(self.legend, line.name, `over d${k}`);
    });
    colours(self.svg, area, height, low, high, spec.unit);
    follow(self, area, x, (v) => spec.say(columns.indexOf(v)), columns);
  }, spec.height || 320);
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
    if (p % step === 0) svg.append(el("text", { x: scale(p), y: height - 4, "text-anchor": "middle" }, p === 0 ? "1" : `10${raised(p)}`));
  }
  svg.append(el("text", { class: "label", x: area.left, y: height - 33 }, unit));
}

// Add a complex plane with the sets {name, points: [[re, im]], mark: "dot" | "ring"} that get() returns.
function plane(host, title, caption, get) {
  return figure(host, title, caption, (self, width, height) => {
    const sets = get();
    const all = sets.flatMap((s) => s.points.flat());
    const reach = 1.1 * Math.max(1, -extent(all, false)[0], extent(all, false)[1]);
    const side = Math.min(width - 64, height - 62);
    const area = { left: 56, right: 56 + side, top: 22, bottom: 22 + side };
    const x = { low: -reach, high: reach, log: false, scale: scaleOf(-reach, reach, false, area.left, area.right) };
    const y = { ...x, scale: scaleOf(-reach, reach, false, area.bottom, area.top) };
    axes(self.svg, area, x, y, { x: "real part", y: "imaginary part" });
    self.svg.append(el("circle", { class: "reference", cx: x.scale(0), cy: y.scale(0), r: x.scale(1) - x.scale(0) }));
    key(self.legend, "unit circle", "", "reference");
    sets.forEach((set, k) => {
      for (const [re, im] of set.points) {
        self.svg.append(el("circle", { class: `${set.mark} s${k}`, cx: x.scale(re), cy: y.scale(im), r: set.mark === "dot" ? 2.6 : 3 }));
      }
      key(self.legend, set.name, `s${k}`, set.mark);
    });
  }, (width) => Math.min(width, 420) + 12);
}
