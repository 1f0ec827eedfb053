/**
 * One small histogram per layer (rows) and kind (columns), all on one scale.
 *
 * @typedef {{name: string, label: string, layer: number|null, kind: string, status: string,
 *   reason: string, exact: boolean, finite: boolean, ratio: number|null, absolute: number[]|null,
 *   relative: number[]|null}} Cell
 */

const TALL = 46;

export default panel("histograms", (p) => {
  const { model, root, on, save, safe, say, leave } = p;
  /** @type {(Cell|null)[][]} the first line holds what is in no layer */
  let lines = [];
  let layers = [];
  let kinds = [];
  let at = [0, 0];
  let bins = new Float32Array(0);
  let scale = errorScale([], {});
  const gridId = uid("cells");

  const count = h("span", { class: "gl-count" });
  const legend = h("span", { class: "gl-legend" });
  const scroller = h("div", { class: "gl-scroll gl-cells", role: "grid", tabindex: 0, "aria-label": "Error histograms by layer and kind" });
  const outside = h("div", { class: "gl-outside", role: "row" });
  const header = h("div", { class: "gl-kinds", role: "row" });
  const body = h("div", { class: "gl-body", role: "rowgroup" });
  const empty = h("div", { class: "gl-empty" }, "No tensor has been compared yet.");
  const note = h("div", { class: "gl-note" });
  const large = h("div", { class: "gl-large" });
  const name = h("div", { class: "gl-large-name gl-code" });
  scroller.append(outside, header, body);
  root.append(
    h("div", { class: "gl-bar" }, h("h3", { class: "gl-title" }, "Weight-space error"), modeChoice(p), legend, count),
    h("div", { class: "gl-split" }, h("div", { class: "gl-split-main" }, scroller, empty, note), large));
  large.append(name);
  largeChart(p, large, { mode: false });
  const title = () => {
    const { label } = model.get("chart");
    name.textContent = label ?? "Select a histogram to see it large.";
    name.classList.toggle("gl-code", label !== undefined);
    name.classList.toggle("gl-muted", label === undefined);
  };
  on("chart", title);
  title();
  const list = virtualList({ scroller, body, height: TALL, count: () => layers.length, draw: (i) => draw(i) });
  leave(list.close);

  function load() {
    const cells = model.get("cells");
    kinds = model.get("kinds");
    const rows = new Map();
    const free = [];
    for (const cell of cells) {
      if (cell.layer === null) { free.push(cell); continue; }
      const key = cell.layer;
      if (!rows.has(key)) rows.set(key, kinds.map(() => null));
      rows.get(key)[kinds.indexOf(cell.kind)] = cell;
    }
    layers = [...rows.keys()].sort((a, b) => a - b);
    lines = [free, ...layers.map((l) => rows.get(l))];
    scale = errorScale(cells.filter((c) => !c.exact).map((c) => c.ratio), { ratio: true });
    const tight = kinds.map((_, k) => lines.slice(1).every((line) => !line[k] || line[k].exact || line[k].status === "pending"));
    const some = tight.some((x) => !x);
    // A column whose cells are all exact needs room for a word only.
    scroller.style.setProperty("--columns", `44px ${tight.map((x) => (x && some ? "minmax(50px, .5fr)" : "minmax(62px, 1fr)")).join(" ")}`);
    scroller.style.setProperty("--wide", `${44 + tight.reduce((sum, x) => sum + (x && some ? 50 : 62), 0)}px`);
    empty.hidden = cells.length > 0;
    scroller.hidden = !cells.length;
    header.hidden = !layers.length;
    header.replaceChildren(h("div", { role: "columnheader", class: "gl-corner" }, "layer"), ...kinds.map((k) => h("div", { role: "columnheader", class: "gl-kind", title: k }, ...broken(k))));
    const done = cells.filter((c) => c.status === "compared").length;
    const odd = cells.filter((c) => c.status === "unmatched" || c.status === "unsupported").length;
    const unsure = cells.filter((c) => c.status === "unverified").length;
    const all = cells.filter((c) => c.status !== "scale").length;
    count.textContent = `${integer(done)}${done + unsure + odd < all ? ` of ${integer(all - odd)}` : ""} compared${unsure ? ` \u00b7 \u26a0 ${integer(unsure)} unverified` : ""}${odd ? ` \u00b7 ${integer(odd)} not comparable` : ""}`;
    count.hidden = !cells.length;
    at = [clamp(at[0], free.length ? 0 : 1, Math.max(0, lines.length - 1)), at[1]];
    bars();
    follow(false);
  }
  /** A name that may break after each underscore and dot. */
  const broken = (k) => k.split(/(?<=[_.])/).flatMap((part) => [part, h("wbr")]);
  /** Redraws with the bins of the chosen unit. */
  function bars() {
    const mode = model.get("mode");
    bins = typed(Float32Array, model.get(`bins_${mode}`));
    const limit = model.get("limits")[mode];
    const cells = model.get("cells").length;
    legend.hidden = !cells || !limit;
    legend.replaceChildren(...(scale.known ? errorLegend(percent(scale.best), percent(scale.worst)) : []));
    note.hidden = !cells || !limit;
    const extra = model.get("reference_only");
    note.textContent = limit ? `Every cell spans errors from ${MINUS}${figure(limit)} to +${figure(limit)}${mode === "relative" ? " times the RMS of the reference" : ""}; heights are scaled to the cell\u2019s peak; colour and figure: relative RMSE.${model.get("cells").some((c) => c.status === "unverified") ? " \u26a0 unverified: only name and shape say that a tensor belongs to its reference." : ""}${extra ? ` ${integer(extra)} ${extra === 1 ? "tensor" : "tensors"} of the reference ${extra === 1 ? "has" : "have"} no counterpart in the file.` : ""}` : "";
    outside.replaceChildren(...(lines[0]?.length ? [h("div", { class: "gl-corner gl-outside-title", role: "rowheader" }, "outside the layers")] : []), ...(lines[0] ?? []).map((cell, k) => {
      const node = draw1(cell, 0, k);
      node.prepend(h("div", { class: "gl-cell-name", title: cell.label }, cell.kind));
      return node;
    }));
    list.refresh();
    mark();
  }

  function shape(cell, mode) {
    const [from, n] = cell[mode];
    const limit = model.get("limits")[mode];
    let most = 0;
    const density = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      density[i] = bins[from + n + 1 + i] / (bins[from + i + 1] - bins[from + i]);
      if (density[i] > most) most = density[i];
    }
    const x = (v) => ((clamp(v, -limit, limit) + limit) * 50 / limit).toFixed(2);
    let d = `M${x(bins[from])},28`;
    for (let i = 0; i < n; i++) d += `V${(28 - (26 * density[i]) / most).toFixed(2)}H${x(bins[from + i + 1])}`;
    return `${d}V28Z`;
  }
  function draw1(cell, line, k) {
    const node = h("div", { class: "gl-cell", role: "gridcell", id: `${gridId}-${line}-${k}`, "aria-selected": false });
    if (!cell) { node.classList.add("gl-none"); put(node, { "aria-label": "no such tensor" }); return node; }
    const mode = model.get("mode");
    const unsure = cell.status === "unverified";
    if ((cell.status === "compared" || unsure) && !cell.exact && cell[mode]) {
      const fill = errorColour(cell.ratio > 0 ? scale.place(cell.ratio) : 0.5);
      const frame = h("svg", { viewBox: "0 0 100 28", preserveAspectRatio: "none", "aria-hidden": "true" }, h("line", { x1: 50, x2: 50, y1: 0, y2: 28 }), h("path", { d: shape(cell, mode), style: { fill } }));
      node.append(frame, h("span", { class: "gl-cell-figure" }, `${unsure ? "\u26a0 " : ""}${cell.ratio === null ? (cell.finite ? "no ratio" : "not finite") : percent(cell.ratio)}`));
      put(node, { "aria-label": `${cell.label}: ${unsure ? "unverified, " : ""}relative RMSE ${cell.ratio === null ? (cell.finite ? "undefined" : "not finite") : percent(cell.ratio)}` });
    } else {
      const word = cell.exact ? "exact" : cell.finite ? "no bins" : "not finite";
      const words = { compared: word, unverified: `\u26a0 ${word}`, pending: model.get("over") ? "\u2013" : "\u2026", unmatched: "\u26a0 no match", unsupported: "\u26a0 unsup\u00adported" }[cell.status] ?? cell.status;
      node.append(h("span", { class: "gl-cell-word" }, words));
      node.classList.add(`gl-cell-${cell.exact ? "exact" : cell.status}`);
      if (cell.status === "unmatched" || cell.status === "unsupported") node.classList.add("gl-hatch");
      put(node, { "aria-label": `${cell.label}: ${cell.exact ? `no error, exact${unsure ? ", unverified" : ""}` : cell.finite ? (cell.status === "pending" && model.get("over")) || cell.status : "weights that are not finite"}${cell.reason ? `, ${cell.reason}` : ""}` });
    }
    const why = cell.status === "pending" ? model.get("over") : cell.reason;
    node.title = why ? `${cell.label}\n${why}` : cell.label;
    return node;
  }
  function draw(i) {
    return h("div", { class: "gl-layer", role: "row", "aria-rowindex": i + 3 }, h("div", { class: "gl-layer-name", role: "rowheader" }, String(layers[i])), ...lines[i + 1].map((cell, k) => draw1(cell, i + 1, k)));
  }

  function mark() {
    const chosen = new Set(model.get("selected"));
    for (const node of scroller.querySelectorAll(".gl-cell")) {
      const [line, k] = node.id.slice(gridId.length + 1).split("-").map(Number);
      const cell = lines[line]?.[k];
      put(node, { "aria-selected": Boolean(cell && chosen.has(cell.name)) });
      node.classList.toggle("gl-at", line === at[0] && k === at[1]);
    }
    const id = `${gridId}-${at[0]}-${at[1]}`;
    put(scroller, { "aria-activedescendant": root.querySelector(`#${id}`) ? id : null });
  }
  function go(line, k) {
    const low = lines[0]?.length ? 0 : 1;
    line = clamp(line, low, lines.length - 1);
    at = [line, clamp(k, 0, (lines[line]?.length ?? 1) - 1)];
    if (line > 0) list.reveal(line - 1, header.offsetHeight); else scroller.scrollTop = 0;
    mark();
    const node = root.querySelector(`#${gridId}-${at[0]}-${at[1]}`);
    if (node && node.offsetLeft + node.offsetWidth > scroller.scrollLeft + scroller.clientWidth) scroller.scrollLeft = node.offsetLeft + node.offsetWidth - scroller.clientWidth;
    else if (node && node.offsetLeft - 44 < scroller.scrollLeft) scroller.scrollLeft = Math.max(0, node.offsetLeft - 44);
  }
  function choose(line, k, add) {
    const cell = lines[line]?.[k];
    at = [line, k];
    if (!cell) { mark(); return; }
    const old = model.get("selected");
    save({ selected: !add ? [cell.name] : old.includes(cell.name) ? old.filter((n) => n !== cell.name) : [...old, cell.name] });
    mark();
    say(`${cell.label} selected`);
  }
  function follow(scroll = true) {
    const first = model.get("selected")[0];
    const line = lines.findIndex((l) => l.some((c) => c && c.name === first));
    if (first !== undefined && line >= 0 && lines[at[0]]?.[at[1]]?.name !== first) {
      at = [line, lines[line].findIndex((c) => c && c.name === first)];
      if (scroll) go(...at);
    }
    mark();
  }

  scroller.addEventListener("click", safe((event) => {
    const node = event.target.closest(".gl-cell");
    if (node) choose(...node.id.slice(gridId.length + 1).split("-").map(Number), event.ctrlKey || event.metaKey);
  }));
  scroller.addEventListener("scroll", perFrame(safe(mark)), { passive: true });
  scroller.addEventListener("keydown", safe((event) => {
    const [line, k] = at;
    const move = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1], PageDown: [list.page(), 0], PageUp: [-list.page(), 0] }[event.key];
    if (move) go(line + move[0], k + move[1]);
    else if (event.key === "Home") go(event.ctrlKey ? 0 : line, 0);
    else if (event.key === "End") go(event.ctrlKey ? lines.length - 1 : line, 1e9);
    else if (event.key === "Enter" || event.key === " ") choose(line, k, event.ctrlKey);
    else return;
    event.preventDefault();
  }));
  on("cells over kinds limits bins_absolute bins_relative", perFrame(safe(load)));
  on("mode", bars);
  on("selected", () => follow());
  load();
  leave(onWidth(scroller, safe(() => { at[1] = -1; follow(); })));
});
