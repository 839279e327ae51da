// View of a text in which the characters that an output depends on are highlighted. Row p - 1 of the
// matrix belongs to the output that predicts character p. An earlier character s is highlighted if its
// norm is at least the chosen share of the row's largest norm. Colour, underline, weight and the
// percentage below it show the strength.

const NAMES = { "\n": "line end", "\t": "tab", " ": "space", "\r": "carriage return" };
const SHOWN = { "\n": "↵", "\t": "→", " ": "␣", "\r": "←" };

function glyph(character) {
  if (SHOWN[character]) return SHOWN[character];
  if (/^\p{M}/u.test(character)) return `◌${character}`;
  if (/^[\p{C}\p{Z}]/u.test(character)) return "□";
  return character;
}

function nameOf(character) {
  if (NAMES[character]) return NAMES[character];
  return /^[\p{C}\p{Z}\p{M}]/u.test(character)
    ? `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}` : `“\u2068${character}\u2069”`;
}

function litBy(row, share) {
  const most = Math.max(...row.map((v) => v ?? 0));
  return row.map((v) => most > 0 && v !== null && v >= share * most);
}

// Return the characters' buttons by words, so that lines break between words and after line ends.
function words(cells, buttons) {
  const found = [];
  let word = null;
  buttons.forEach((button, k) => {
    if (word === null) {
      word = el("span", { class: "word" });
      found.push(word);
    }
    word.append(button);
    if (SHOWN[cells[k]]) word = null;
    if (cells[k] === "\n") found.push(el("span", { class: "break" }));
  });
  return found;
}

function memoryView(host, data) {
  const { cells, matrix, seen } = data;
  const line = el("div", { id: "line", role: "group", "aria-label": data.label });
  const status = el("p", { id: "status", "aria-live": "polite" });
  const range = el("input", { type: "range", id: "threshold", min: "0", max: "3", step: "1", value: "1" });
  const shares = [0.05, 0.1, 0.25, 0.5];
  const shown = el("output", { for: "threshold" });
  const buttons = cells.map((cell, k) => {
    const face = el("bdi", {}, data.kind === "text" ? glyph(cell) : String(k + 1));
    const button = el("button", { type: "button", tabindex: k === 0 ? "0" : "-1", "data-k": k }, face, el("small"));
    if (data.kind === "steps") button.classList.add("step");
    if (data.kind === "text" && SHOWN[cell]) button.classList.add("blank");
    button.setAttribute("aria-label", data.kind === "text" ? nameOf(cell) : String(cell));
    return button;
  });
  line.append(...(data.kind === "text" ? words(cells, buttons) : buttons));
  let chosen = -1;

  function show(k) {
    chosen = k;
    const row = k > 0 || data.kind !== "text" ? matrix[data.kind === "text" ? k - 1 : k] : null;
    const share = shares[Number(range.value)];
    const lit = row ? litBy(row, share) : [];
    const most = row ? Math.max(...row.map((v) => v ?? 0)) : 0;
    buttons.forEach((button, s) => {
      const on = Boolean(lit[s]);
      const part = on ? row[s] / most : 0;
      button.classList.toggle("lit", on);
      button.classList.toggle("chosen", s === k);
      button.classList.toggle("later", s > k);
      button.style.setProperty("--w", part.toFixed(3));
      button.lastChild.textContent = on ? String(Math.round(100 * part)) : "";
      button.tabIndex = s === k ? 0 : -1;
    });
    status.textContent = row ? describe(k, row, lit) : `${nameOf(cells[k])} is the first character; nothing precedes it.`;
  }

  function describe(k, row, lit) {
    const order = row.map((v, s) => s).filter((s) => lit[s]).sort((a, b) => row[b] - row[a]);
    const far = order.length ? k - Math.min(...order) : 0;
    const list = order.slice(0, 6).map((s) => `${data.kind === "text" ? nameOf(cells[s]) : cells[s]} (${k - s} back) ${number(row[s])}`);
    const more = order.length > 6 ? ` and ${order.length - 6} more` : "";
    if (data.kind !== "text") return `The output at ${cells[k]} depends on ${order.length} inputs, up to ${far} back: ${list.join(", ")}${more}.`;
    const { p, top } = seen[k - 1];
    const rest = top.map(([c, share]) => `${nameOf(c)} ${percent(share)}`).join(", ");
    return `Character ${k + 1}, ${nameOf(cells[k])}, which the model gave ${percent(p)}, depends on ${order.length} earlier, `
      + `up to ${far} back: ${list.join(", ")}${more}. The most likely characters were ${rest}.`;
  }

  const find = (event) => {
    const button = event.target.closest && event.target.closest("#line button");
    return button ? Number(button.dataset.k) : -1;
  };
  line.addEventListener("pointerover", (event) => find(event) >= 0 && show(find(event)));
  line.addEventListener("click", (event) => find(event) >= 0 && show(find(event)));
  line.addEventListener("focusin", (event) => find(event) >= 0 && show(find(event)));
  line.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -buttons.length, End: buttons.length };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const k = Math.min(Math.max(chosen + steps[event.key], 0), buttons.length - 1);
    buttons[k].focus();
  });
  const label = el("label", { for: "threshold" }, "Highlight from ");
  const relabel = () => {
    shown.textContent = `${percent(shares[Number(range.value)])} of the strongest`;
    line.dataset.share = String(shares[Number(range.value)]);
    range.setAttribute("aria-valuetext", shown.textContent);
    if (chosen >= 0) show(chosen);
  };
  range.addEventListener("input", relabel);
  host.append(el("p", {}, label, range, " ", shown), line, status);
  relabel();
  show(buttons.length - 1);
}

function percent(share) {
  if (!good(share)) return "–";
  return share < 0.01 ? `${Number((100 * share).toPrecision(1))}\u00a0%` : `${Math.round(100 * share)}\u00a0%`;
}
