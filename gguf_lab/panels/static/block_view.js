/** One block: its bytes field by field, the bits of the selected weight, its arithmetic, the weights around. */

const HUES = ["0 114 178", "230 159 0", "0 158 115", "204 121 167", "86 180 233", "213 94 0"];
const LINE = 16; // bytes, and weights, on one line

export default panel("block-view", (p) => {
  const { model, root, on, save, safe, say, leave } = p;
  let block = {}, data = new Uint8Array(0), values = new Float32Array(0), drives = new Uint8Array(0);
  let side = 0, byte = 0, colours = null;
  const button = (text, title, f) => h("button", { class: "gl-button", type: "button", title, "aria-label": title, on: { click: safe(f) } }, text);
  const empty = h("div", { class: "gl-empty" }), where = h("span", { class: "gl-muted gl-where" });
  const title = h("div", { class: "gl-part-title" });
  const map = h("div", { class: "gl-bytes", tabindex: 0, role: "grid", "aria-label": "Bytes of the block" });
  const fields = h("table", { class: "gl-fields" }), byteWords = h("div", { class: "gl-byte-words" });
  const tabs = h("span", { class: "gl-seg", role: "group", "aria-label": "Values of the weights" });
  const grid = h("div", { class: "gl-weights", tabindex: 0, role: "grid", "aria-label": "Weights of the block" });
  const span = h("span", { class: "gl-muted" });
  const words = h("div", { class: "gl-weight-words" }), sums = h("pre", { class: "gl-sums", tabindex: 0, "aria-label": "Arithmetic of the selected weight" });
  const around = h("div", { class: "gl-part gl-part-corner" });
  root.append(
    h("div", { class: "gl-bar" }, tensorChoice(p), cellChoice(p),
      h("span", { class: "gl-seg" }, button("\u25c2 block", "Previous block", () => step(-block.size)), button("block \u25b8", "Next block", () => step(block.size))),
      h("span", { class: "gl-seg" }, button("\u25b4 row", "Previous row", () => turn(-1)), button("row \u25be", "Next row", () => turn(1))),
      where, progressLine(p)),
    empty,
    h("div", { class: "gl-halves" },
      h("div", { class: "gl-half" }, title, map, byteWords, fields, around),
      h("div", { class: "gl-half" }, h("div", { class: "gl-part-title" }, "Weights ", tabs, span), grid, words, h("div", { class: "gl-part-title" }, "Arithmetic of the selected weight"), sums)));
  cornerTable(p, around);
  const halves = root.querySelector(".gl-halves");
  const cells = (box) => box.querySelectorAll("[role=gridcell]");
  const weightId = uid("weight"), byteId = uid("byte");

  /** Which weights a byte drives. */
  const driven = (at) => {
    const each = Math.ceil(block.size / 8), out = [];
    for (let k = 0; k < block.size; k++) if ((drives[at * each + (k >> 3)] >> (k & 7)) & 1) out.push(k);
    return out;
  };
  const fieldAt = (at) => block.fields.findIndex((f) => at >= f.offset && at < f.offset + f.count * f.width);

  // -- walking: along the row of the tensor, over the ends of blocks and rows

  function go(row, column) {
    const { n_rows: rows, n_columns: columns } = model.get("facts");
    if (row < 0 || row >= rows) return;
    save({ cell: [row, clamp(column, 0, columns - 1)] });
  }
  function step(by) {
    const [row, column] = model.get("cell"), { n_rows: rows, n_columns: columns } = model.get("facts");
    const at = column + by;
    if (at >= 0 && at < columns) go(row, at);
    else if (at < 0 && row > 0) go(row - 1, columns + at);
    else if (at >= columns && row + 1 < rows) go(row + 1, at - columns);
  }
  const turn = (by) => go(model.get("cell")[0] + by, model.get("cell")[1]);
  grid.addEventListener("keydown", safe((event) => {
    const line = Math.min(LINE, block.size), [row] = model.get("cell");
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -line, ArrowDown: line, PageUp: -block.size, PageDown: block.size };
    if (event.shiftKey && event.key === "ArrowUp") turn(-1);
    else if (event.shiftKey && event.key === "ArrowDown") turn(1);
    else if (event.key in steps) step(steps[event.key]);
    else if (event.key === "Home") go(row, block.left);
    else if (event.key === "End") go(row, block.left + block.size - 1);
    else return;
    event.preventDefault();
  }));
  const under = (box, event) => [...cells(box)].indexOf(event.target.closest?.("[role=gridcell]"));
  grid.addEventListener("click", safe((event) => { const at = under(grid, event); if (at >= 0) go(block.row, block.left + at); }));
  grid.addEventListener("pointermove", safe((event) => { const at = under(grid, event); if (at >= 0) tell(at); }));
  grid.addEventListener("pointerleave", safe(() => tell(model.get("arithmetic").weight)));
  /** Tells a weight, side by side. */
  function tell(at) {
    const told = block.sides.map((name, k) => `${name} ${single(values[k * block.size + at])}`).join(", ");
    words.textContent = `weight ${at}, column ${integer(block.left + at)}: ${told}`;
    return words.textContent;
  }
  /** Selects the next weight that a byte drives. */
  function follow(at) {
    const known = driven(at), now = model.get("arithmetic").weight;
    if (known.length) go(block.row, block.left + (known.find((k) => k > now) ?? known[0]));
  }
  map.addEventListener("keydown", safe((event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -LINE, ArrowDown: LINE, Home: -1e9, End: 1e9 };
    if (event.key in steps) point(clamp(byte + steps[event.key], 0, data.length - 1), true);
    else if (event.key === "Enter" || event.key === " ") follow(byte);
    else return;
    event.preventDefault();
  }));
  map.addEventListener("pointermove", safe((event) => { const at = under(map, event); if (at >= 0 && at !== byte) point(at, false); }));
  map.addEventListener("click", safe((event) => { const at = under(map, event); if (at >= 0) { point(at, false); follow(at); } }));
  map.addEventListener("focus", safe(() => point(byte, map.matches(":focus-visible"))));
  map.addEventListener("blur", safe(unpoint));
  map.addEventListener("pointerleave", safe(unpoint));

  function unpoint() {
    if (document.activeElement === map) return;
    for (const node of root.querySelectorAll(".gl-driven, .gl-at")) node.classList.remove("gl-driven", "gl-at");
    byteWords.textContent = "Point at a byte to see what it drives; click it for the next weight it drives.";
  }
  /** Tells what a byte is and drives. */
  function point(at, aloud) {
    byte = at;
    const k = fieldAt(at);
    if (k < 0) return;
    const f = block.fields[k], element = Math.floor((at - f.offset) / f.width), known = driven(at), weights = cells(grid);
    for (const node of root.querySelectorAll(".gl-driven, .gl-at")) node.classList.remove("gl-driven", "gl-at");
    const node = cells(map)[at];
    node?.classList.add("gl-at");
    put(map, { "aria-activedescendant": node?.id ?? null });
    for (const w of known) weights[w]?.classList.add("gl-driven");
    const which = known.length === 0 ? "no weight" : known.length === block.size ? "every weight" : known.length > 8 ? `${known.length} weights, ${known[0]} to ${known[known.length - 1]}` : `weight${known.length > 1 ? "s" : ""} ${known.join(", ")}`;
    const name = f.count > 1 ? `${f.name}[${element}]` : f.name;
    byteWords.textContent = `byte ${at}: 0x${hex(data[at])}, ${f.width > 1 ? "part of " : ""}${name} = ${f.values[element]} (${f.kind}); drives ${which}`;
    if (aloud) say(byteWords.textContent);
  }
  const hex = (x) => x.toString(16).padStart(2, "0");

  // -- drawing

  function lines(box, nodes) {
    box.replaceChildren();
    for (let at = 0; at < nodes.length; at += LINE) {
      box.append(h("div", { role: "row", class: "gl-bytes-line" }, h("span", { class: "gl-bytes-line-name", "aria-hidden": "true" }, String(at)), ...nodes.slice(at, at + LINE)));
    }
  }
  function showBytes() {
    const marked = new Set(model.get("arithmetic").bits ?? []);
    lines(map, Array.from(data, (x, at) => {
      const bits = h("span", { class: "gl-bits", "aria-hidden": "true" });
      let n = 0;
      for (let bit = 7; bit >= 0; bit--) { const own = marked.has(8 * at + bit); n += own; bits.append(h("i", { class: own ? "gl-own" : null })); }
      const k = fieldAt(at);
      return h("span", { role: "gridcell", id: `${byteId}-${at}`, class: n ? "gl-byte gl-part-of" : "gl-byte", style: { "--hue": HUES[k % HUES.length] }, "aria-label": `byte ${at}, ${block.fields[k]?.name}, ${hex(x)}${n ? `, ${n} bits of the selected weight` : ""}` }, hex(x), bits);
    }));
    unpoint();
  }
  function showFields() {
    const cols = ["field", "kind", "bytes", "a bit drives", "values"];
    fields.replaceChildren(h("tr", {}, ...cols.map((c) => h("th", { scope: "col" }, c))), ...block.fields.map((f, k) => h("tr", {},
      h("td", {}, h("span", { class: "gl-field-swatch", style: { "--hue": HUES[k % HUES.length] } }, f.name)),
      h("td", {}, f.count > 1 ? `${f.kind}[${f.count}]` : f.kind),
      h("td", {}, f.count * f.width > 1 ? `${f.offset}\u2013${f.offset + f.count * f.width - 1}` : String(f.offset)),
      h("td", {}, f.drives), h("td", { class: "gl-code gl-brief", title: f.brief }, f.brief))));
  }
  function showWeights() {
    colours ??= ramp(root);
    const n = block.size, at = model.get("arithmetic").weight, part = values.subarray(side * n, (side + 1) * n);
    let limit = 0;
    for (const v of part) if (Number.isFinite(v)) limit = Math.max(limit, Math.abs(v));
    tabs.hidden = block.sides.length < 2;
    tabs.replaceChildren(...block.sides.map((name, k) => h("button", { class: "gl-button", type: "button", "aria-pressed": k === side, on: { click: safe(() => { side = k; showWeights(); }) } }, name)));
    lines(grid, Array.from(part, (v, k) => {
      const fine = Number.isFinite(v), mark = fine ? null : markColour(Number.isNaN(v) ? NAN : 0, colours);
      return h("span", {
        role: "gridcell", id: `${weightId}-${k}`, "aria-label": `weight ${k}, ${single(v)}`, "aria-selected": k === at ? "true" : null,
        class: fine ? "gl-weight" : "gl-weight gl-odd",
        style: { "--own": fine ? colours.css(limit && v / limit) : `rgb(${mark})`, "--ink": fine ? colours.ink(limit && v / limit) : inkOn(mark) },
      }, fine ? short(v) : figure(v));
    }));
    const ends = limit ? `from ${figure(-limit)} over 0 to ${figure(limit)}` : part.some(Number.isFinite) ? "all 0" : "no finite weight";
    const odd = MARK_WORDS.filter((_, k) => part.some((v) => (k ? Math.abs(v) === Infinity : Number.isNaN(v))));
    span.textContent = [ends, ...odd].join(" \u00b7 ");
    put(grid, { "aria-activedescendant": at === undefined ? null : `${weightId}-${at}` });
    where.textContent = `block ${integer(block.index)} of 0 to ${integer(block.n_blocks - 1)}, weight ${at}`;
    const told = tell(at);
    if (document.activeElement === grid) say(`row ${block.row}, ${told}`);
  }
  /** As many digits as a small cell has room for. */
  const short = (v) => printed(v === 0 ? "0" : Math.abs(v) < 1e-3 || Math.abs(v) >= 9999.5 ? v.toExponential(0) : Math.abs(v) >= 99.5 ? v.toFixed(0) : v.toPrecision(2).replace(/^(-?)0\./, "$1."));

  function show() {
    const facts = model.get("facts");
    empty.hidden = !facts.problem;
    empty.textContent = facts.problem;
    halves.hidden = Boolean(facts.problem) || !model.get("block").fields;
    if (halves.hidden) { where.textContent = ""; return; }
    block = model.get("block");
    data = typed(Uint8Array, model.get("block_bytes"));
    values = typed(Float32Array, model.get("block_values"));
    drives = typed(Uint8Array, model.get("drives"));
    side = Math.min(side, block.sides.length - 1);
    title.textContent = block.title;
    sums.textContent = model.get("arithmetic").words ?? "";
    showBytes();
    showFields();
    showWeights();
    root.dataset.shown = `${block.row} ${block.left + model.get("arithmetic").weight}`;
  }
  on("facts block block_bytes block_values drives arithmetic", whenSeen(root, safe(show)));
  leave(onTheme(root, safe(() => { colours = null; show(); })));
  leave(onWidth(root, safe(show))); // outside of the page there are no colours to take from it
});
