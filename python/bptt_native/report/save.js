// Saving of a chart as an SVG file, and of its data as a CSV file.

const INLINED = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin",
  "opacity", "font-size", "font-family", "font-weight", "image-rendering"];

function saver(self, kind, save) {
  const button = el("button", { type: "button", "aria-label": `Save “${self.title}” as ${kind}` }, `Save ${kind}`);
  button.addEventListener("click", () => save(self));
  return button;
}

// Give a content to the browser as a file to save. It needs no network.
function download(name, type, content) {
  const link = el("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

function fileName(self, ending) {
  const plain = (text) => text.normalize("NFKD").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60);
  return `${[plain(DATA.title), plain(self.title)].filter(Boolean).join("-")}.${ending}`;
}

// Return the picture as a file of its own: on white paper, with the styles of the page written out.
function svgOf(self) {
  document.documentElement.classList.add("paper");
  try {
    const [, , width, height] = self.svg.getAttribute("viewBox").split(" ");
    const copy = self.svg.cloneNode(true);
    const before = [self.svg, ...self.svg.querySelectorAll("*")];
    [copy, ...copy.querySelectorAll("*")].forEach((node, k) => {
      const style = getComputedStyle(before[k]);
      for (const name of ["class", "style", "role", "tabindex", "aria-labelledby", "aria-describedby"]) node.removeAttribute(name);
      for (const name of node === copy ? [] : INLINED) node.setAttribute(name, style.getPropertyValue(name));
    });
    copy.setAttribute("xmlns", SVG);
    copy.setAttribute("width", width);
    copy.setAttribute("height", height);
    copy.prepend(el("title", {}, `${DATA.title}: ${self.title}`), el("rect", { width, height, fill: "#ffffff" }));
    for (const cross of copy.querySelectorAll("[data-cross]")) cross.remove();
    return `<?xml version="1.0" encoding="UTF-8"?>\n${new XMLSerializer().serializeToString(copy)}\n`;
  } finally {
    document.documentElement.classList.remove("paper");
  }
}

const saveSvg = (self) => download(fileName(self, "svg"), "image/svg+xml", svgOf(self));

// Return rows of texts and numbers as CSV. A text that a spreadsheet would take for a formula gets an
// apostrophe before it.
function csvOf(rows) {
  const cell = (v) => {
    if (v === null || v === undefined) return "";
    if (typeof v === "number") return String(v);
    const text = /^[=+\-@\t\r]/.test(v) ? `'${v}` : v;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

const saveCsv = (self) => download(fileName(self, "csv"), "text/csv;charset=utf-8", csvOf(self.table()));
