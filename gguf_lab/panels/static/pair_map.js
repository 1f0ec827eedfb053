/**
 * Two files: sums, a cell per matrix that says which is nearer to the reference (colour, letter and
 * words), and where their metadata differ.
 */

export default panel("pairs", ({ model, root, on, save, safe, say }) => {
  const id = uid("pairs");
  const against = h("span", { class: "gl-muted gl-pairs-against" });
  const statistic = h("select", { "aria-label": "Statistic that decides" });
  const sums = h("table", { class: "gl-sums" });
  const scroller = h("div", { class: "gl-pairs-scroll" });
  const grid = h("div", { class: "gl-pairs-grid", role: "grid", tabindex: 0, "aria-label": "Which file is nearer to the reference, by kind and layer" });
  const words = h("div", { class: "gl-pairs-words", role: "status" });
  const legend = h("div", { class: "gl-pairs-legend" });
  const note = h("div", { class: "gl-note", hidden: "" });
  const summary = h("summary", {});
  const keys = h("table", { class: "gl-keys" });
  const details = h("details", { class: "gl-pairs-metadata" }, summary, h("div", { class: "gl-keys-scroll", tabindex: 0, role: "group", "aria-label": "Differing metadata" }, keys));
  const empty = h("div", { class: "gl-empty" });
  scroller.append(grid);
  root.append(h("div", { class: "gl-bar" }, h("h3", { class: "gl-title" }, "A and B"), against, statistic), h("div", { class: "gl-sums-scroll" }, sums), legend, scroller, words, empty, note, details);
  const pen = document.createElement("canvas").getContext("2d");
  let at = [0, 0];
  /** @type {Map<string, any[]>} */
  let byPlace = new Map();

  function table(into, rows, head) {
    into.replaceChildren(
      h("thead", {}, h("tr", {}, ...head.map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map((text, i) => (i ? h("td", { title: text.length > 40 ? text : null }, text) : h("th", { scope: "row" }, text)))))));
  }
  const place = (row, column) => `${row}/${column}`;
  const cellAt = ([row, column]) => byPlace.get(place(row, column));

  function show() {
    const direct = model.get("direct");
    against.textContent = direct ? "against each other: A\u2019s weights compared with B\u2019s" : `against ${model.get("reference")}`;
    statistic.replaceChildren(...model.get("statistics").map(([value, label]) => h("option", { value }, label)));
    statistic.value = model.get("statistic");
    const [head, ...rows] = model.get("sums").length ? model.get("sums") : [[]];
    table(sums, rows, head);
    const kinds = model.get("kinds"), layers = model.get("layers"), cells = model.get("cells");
    byPlace = new Map(cells.map((cell) => [place(cell[1], cell[2]), cell]));
    const some = cells.length > 0;
    empty.hidden = some;
    empty.textContent = model.get("idle");
    scroller.hidden = words.hidden = legend.hidden = !some;
    sums.hidden = !some;
    pen.font = `${getComputedStyle(root).fontSize} ${getComputedStyle(root).fontFamily}`;
    const wide = clamp(Math.max(50, ...kinds.map((kind) => pen.measureText(kind).width)) + 12, 60, 180);
    grid.style.setProperty("--columns", `${Math.ceil(wide)}px repeat(${layers.length}, minmax(22px, 38px))`);
    put(grid, { "aria-rowcount": kinds.length + 1, "aria-colcount": layers.length + 1 });
    const top = h("div", { class: "gl-pairs-row", role: "row" }, h("div", { class: "gl-pairs-corner", role: "columnheader" }, "layer"),
      ...layers.map((layer) => h("div", { class: "gl-pairs-layer", role: "columnheader", title: layer < 0 ? "outside the layers" : null }, layer < 0 ? "\u2013" : String(layer))));
    const lines = kinds.map((kind, row) => h("div", { class: "gl-pairs-row", role: "row" }, h("div", { class: "gl-pairs-kind", role: "rowheader", title: kind }, kind),
      ...layers.map((_, column) => {
        const cell = byPlace.get(place(row, column));
        const box = h("div", { class: "gl-pairs-cell", role: "gridcell", id: `${id}-${row}-${column}` });
        if (!cell) { box.classList.add("gl-none"); put(box, { "aria-label": "no such tensor" }); return box; }
        const [, , , which, strength, text] = cell;
        put(box, { "aria-label": text, title: text });
        box.style.setProperty("--much", `${Math.round(12 + 48 * strength)}%`);
        box.classList.add(which === "A" ? "gl-is-a" : which === "B" ? "gl-is-b" : which === "?" ? "gl-hatch" : which === "!" ? "gl-is-odd" : which === "=" ? "gl-is-equal" : "gl-is-far");
        box.textContent = which;
        return box;
      })));
    grid.replaceChildren(top, ...lines);
    legend.replaceChildren(...(direct
      ? [swatch("gl-is-far", 12, ""), "close", swatch("gl-is-far", 60, ""), "the largest here", swatch("gl-is-equal", 0, "="), "the same"]
      : [swatch("gl-is-a", 36, "A"), "A is nearer", swatch("gl-is-b", 36, "B"), "B is nearer", swatch("gl-is-equal", 0, "="), "equal", h("span", { class: "gl-muted" }, "the stronger the colour, the more: full at 8 times")]),
    swatch("gl-hatch", 0, "?"), "not compared",
    ...(cells.some((cell) => cell[3] === "!") ? [swatch("gl-is-odd", 0, "!"), "weights that are not finite"] : []));
    note.textContent = model.get("note");
    note.hidden = !note.textContent;
    details.hidden = !model.get("compared_metadata");
    const differing = model.get("metadata");
    summary.textContent = differing.length ? `${integer(differing.length)} key${differing.length === 1 ? "" : "s"} of the metadata differ${differing.length === 1 ? "s" : ""}` : "The metadata are the same";
    table(keys, differing, ["key", "A", "B", "difference"]);
    mark();
  }
  function swatch(cls, much, text) {
    return h("span", { class: `gl-pairs-cell gl-swatch ${cls}`, "aria-hidden": "true", style: { "--much": `${much}%` } }, text);
  }
  function mark() {
    const chosen = new Set(model.get("selected"));
    for (const cell of byPlace.values()) {
      const box = root.querySelector(`#${id}-${cell[1]}-${cell[2]}`);
      if (!box) continue;
      put(box, { "aria-selected": chosen.has(cell[0]) });
      box.classList.toggle("gl-at", cell[1] === at[0] && cell[2] === at[1]);
    }
    const kinds = model.get("kinds").length, layers = model.get("layers").length;
    at = [clamp(at[0], 0, Math.max(0, kinds - 1)), clamp(at[1], 0, Math.max(0, layers - 1))];
    put(grid, { "aria-activedescendant": kinds ? `${id}-${at[0]}-${at[1]}` : null });
    const first = [...byPlace.values()].find((cell) => chosen.has(cell[0]));
    words.textContent = first ? first[5] : "Point at a cell, or use the arrow keys; Enter selects the tensor.";
  }
  function go(row, column) {
    at = [clamp(row, 0, model.get("kinds").length - 1), clamp(column, 0, model.get("layers").length - 1)];
    mark();
    const cell = cellAt(at);
    words.textContent = cell ? cell[5] : "There is no such tensor.";
    root.querySelector(`#${id}-${at[0]}-${at[1]}`)?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  const choose = () => { const cell = cellAt(at); if (cell) { save({ selected: [cell[0]] }); mark(); say("selected"); } };
  const under = (event) => {
    const box = event.target.closest("[role=gridcell]");
    return box ? box.id.slice(id.length + 1).split("-").map(Number) : null;
  };
  grid.addEventListener("click", safe((event) => { const p = under(event); if (p) { go(...p); choose(); } }));
  grid.addEventListener("pointerover", safe((event) => { const p = under(event); if (p && byPlace.has(place(...p))) words.textContent = cellAt(p)[5]; }));
  grid.addEventListener("pointerleave", safe(mark));
  grid.addEventListener("keydown", safe((event) => {
    const step = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1], Home: [0, -Infinity], End: [0, Infinity] }[event.key];
    if (step) go(at[0] + step[0], at[1] + step[1]);
    else if (event.key === "Enter" || event.key === " ") choose();
    else if (event.key === "Escape") { save({ selected: [] }); mark(); }
    else return;
    event.preventDefault();
  }));
  statistic.addEventListener("change", safe(() => save({ statistic: statistic.value })));
  on("files reference direct statistics statistic sums kinds layers cells idle note metadata compared_metadata", perFrame(safe(show)));
  on("selected", () => {
    const cell = [...byPlace.values()].find((c) => model.get("selected").includes(c[0]));
    if (cell) at = [cell[1], cell[2]];
    mark();
  });
  show();
});
