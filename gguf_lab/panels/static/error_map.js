/**
 * Errors of all tensors on one scale: a heatmap of layers and kinds, curves against depth, a table.
 *
 * @typedef {{name: string, label: string, layer: number|null, kind: string, qtype: string,
 *   bits: string, status: string, reason: string, figures: (number|string|null)[]}} Cell
 */
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8f8412", "#7a6fbe"];
const DASHES = ["", "6 3", "2 2", "8 2 2 2"];

export default panel("error-map", (p) => {
  const { model, root, on, save, safe, say, ask, leave } = p;
  /** @type {Cell[][]} the first line holds what is in no layer */
  let lines = [];
  let layers = [], kinds = [], at = [0, 0], which = 0, scale = errorScale([], {}), power = 0, sort = { column: 0, down: true };
  const gridId = uid("map");
  const pick = h("select", { "aria-label": "Statistic" });
  const count = h("span", { class: "gl-count" });
  const copy = h("button", { class: "gl-button", type: "button", title: "All figures of all tensors" }, "Copy CSV");
  const keep = h("button", { class: "gl-button", type: "button", title: "All figures of all tensors" }, "Save CSV");
  const verdict = h("p", { class: "gl-map-verdict" });
  const legend = h("span", { class: "gl-legend" });
  const scroller = h("div", { class: "gl-scroll gl-map", role: "grid", tabindex: 0, "aria-label": "Errors by layer and kind" });
  const plot = h("div", { class: "gl-plot gl-depth", role: "img" });
  const notFromZero = h("span", { class: "gl-map-remark", hidden: "" }, "the axis does not begin at zero");
  const table = h("table", { class: "gl-worst" });
  const empty = h("div", { class: "gl-empty" });
  const right = h("div", { class: "gl-map-right" }, h("h4", {}, "Against depth, by kind", notFromZero), plot, h("h4", {}, "Tensors, the worst first"), h("div", { class: "gl-scroll gl-worst-box", tabindex: 0, role: "group", "aria-label": "Table of tensors" }, table));
  const both = h("div", { class: "gl-map-both" }, h("div", { class: "gl-map-left" }, scroller), right);
  root.append(h("div", { class: "gl-bar" }, h("h3", { class: "gl-title" }, "Errors"), pick, legend, copy, keep, count), verdict, both, empty);

  const real = (v) => (typeof v === "string" ? { inf: Infinity, "-inf": -Infinity, NaN }[v] : v);
  const stat = () => model.get("statistics")[which] ?? {};
  const shown = (v, s = stat()) => (v === null || v === undefined ? "" : Number.isNaN(v) ? "NaN" : STATISTICS[s.form](v));
  const largest = (cell) => real(cell.figures[model.get("statistics").findIndex((s) => s.id === "max_abs_error")]);
  const isExact = (cell) => measured(cell) && largest(cell) === 0;
  /** Whether there is no such figure though the errors are numbers: no ratio to a reference of zeros. */
  const isUndefined = (cell, v) => Number.isNaN(v) && Number.isFinite(largest(cell));
  const valueOf = (cell) => (cell && cell.figures.length ? real(cell.figures[which]) : null);
  const measured = (cell) => cell && (cell.status === "compared" || cell.status === "unverified");
  /** 0 good to 1 bad on the scale of what is shown; null without a place on it. */
  const place = (v) => (v === null || Number.isNaN(v) ? null : scale.place(v));

  function load() {
    const options = model.get("statistics");
    which = Math.max(0, options.findIndex((s) => s.id === model.get("statistic")));
    pick.replaceChildren(...options.map((s) => h("option", { value: s.id, title: s.title }, s.label)));
    pick.value = stat().id;
    pick.title = stat().title ?? "";
    const cells = model.get("cells");
    kinds = model.get("kinds");
    const rows = new Map(), free = [];
    for (const cell of cells) {
      if (cell.layer === null) { free.push(cell); continue; }
      if (!rows.has(cell.layer)) rows.set(cell.layer, kinds.map(() => null));
      rows.get(cell.layer)[kinds.indexOf(cell.kind)] = cell;
    }
    layers = [...rows.keys()].sort((a, b) => a - b);
    lines = [free, ...layers.map((l) => rows.get(l))];
    const ratio = ["percent", "figure"].includes(stat().form);
    // What is exact is no end of the scale: it would leave all others the same colour.
    scale = errorScale(cells.filter((c) => measured(c) && !isExact(c)).map(valueOf), { ratio, low_is_bad: stat().low_is_bad });
    power = powerOf(stat().form, Math.max(scale.best, scale.worst));
    const done = cells.filter((c) => c.status !== "pending").length;
    count.textContent = `${integer(done)}${done < cells.length ? ` of ${integer(cells.length)}` : ""} tensors`;
    empty.hidden = done > 0;
    empty.textContent = model.get("over") ? `No tensor was compared: ${model.get("over")}.` : "No tensor has been compared yet.";
    both.hidden = verdict.hidden = !done;
    verdict.textContent = model.get("verdict");
    verdict.hidden = !done || !verdict.textContent;
    legend.replaceChildren(...(scale.known ? errorLegend(shown(scale.best), shown(scale.worst)) : []), power ? `\u00b7 cells \u00d7 10${superscript(power)}` : "");
    drawMap();
    drawDepth();
    drawTable();
    follow(false);
  }
  function drawCell(cell, line, k, named) {
    const node = h("div", { class: "gl-map-cell", role: "gridcell", id: `${gridId}-${line}-${k}`, "aria-selected": false });
    if (!cell) { put(node, { "aria-label": "no such tensor" }); node.classList.add("gl-none"); return node; }
    const v = valueOf(cell), t = measured(cell) ? place(v) : null;
    const exact = isExact(cell);
    const mark = cell.status === "unverified" ? "\u26a0" : "";
    let text = { pending: model.get("over") ? "\u2013" : "\u2026", unmatched: "\u26a0 none", unsupported: "\u26a0" }[cell.status] ?? "";
    if (exact) text = "exact";
    else if (t !== null && v !== null) { text = mark + (Number.isFinite(v) ? STATISTICS_IN_CELLS[stat().form](v, power) : figure(v)); node.style.background = errorColour(t); node.style.color = errorInk(t); }
    else if (measured(cell)) text = v === null || isUndefined(cell, v) ? "\u2013" : "NaN";
    if (cell.status === "unmatched" || cell.status === "unsupported") node.classList.add("gl-hatch");
    const words = `${cell.label}: ${exact ? "exact" : measured(cell) ? `${stat().label} ${isUndefined(cell, v) ? ZEROS : shown(v) || "unknown"}${mark ? ", unverified" : ""}` : (cell.status === "pending" && model.get("over")) || cell.status}${cell.reason ? `, ${cell.reason}` : ""}`;
    put(node, { "aria-label": words, title: `${words}\n${cell.qtype}, ${cell.bits} bits per weight` });
    if (named) node.append(h("span", {}, cell.kind));
    node.append(h("span", {}, text));
    return node;
  }
  function drawMap() {
    const broken = (k) => partsOf(k).flatMap((part) => [part, h("wbr")]);
    const rows = [];
    if (lines[0].length) rows.push(h("div", { class: "gl-map-free", role: "row" }, ...lines[0].map((c, k) => drawCell(c, 0, k, true))));
    if (layers.length) rows.push(h("div", { class: "gl-map-row gl-map-head", role: "row" }, h("div", { role: "columnheader" }, "layer"), ...kinds.map((k) => h("div", { role: "columnheader", title: k }, ...broken(k)))));
    layers.forEach((layer, i) => rows.push(h("div", { class: "gl-map-row", role: "row" }, h("div", { class: "gl-map-layer", role: "rowheader" }, String(layer)), ...lines[i + 1].map((c, k) => drawCell(c, i + 1, k, false)))));
    scroller.replaceChildren(...rows);
    measure();
  }
  const partsOf = (kind) => kind.split(/(?<=[_.])/);
  const pen = document.createElement("canvas").getContext("2d");
  /** A column has room for its heading, which breaks after _ and a dot. */
  function measure() {
    pen.font = `600 11px ${getComputedStyle(root).fontFamily}`;
    const wide = kinds.flatMap(partsOf).reduce((most, part) => Math.max(most, pen.measureText(part).width), 0);
    scroller.style.setProperty("--columns", `40px repeat(${Math.max(1, kinds.length)}, minmax(${clamp(Math.ceil(wide) + 8, 46, 120)}px, 1fr))`);
  }
  function drawDepth() {
    const wide = plot.clientWidth, tall = plot.clientHeight;
    const s = stat();
    const curves = kinds.map((kind, k) => ({ kind, k, points: layers.map((layer, i) => [layer, valueOf(lines[i + 1][k]), lines[i + 1][k]]).filter(([, v, c]) => measured(c) && Number.isFinite(v)) })).filter((c) => c.points.some(([, , cell]) => !isExact(cell)));
    right.classList.toggle("gl-no-depth", !curves.length);
    if (!curves.length || wide < 120 || tall < 60) { plot.replaceChildren(); return; }
    const factor = s.form === "percent" ? 100 : 1;
    const values = curves.flatMap((c) => c.points.map((q) => q[1] * factor));
    let low = Math.min(...values), high = Math.max(...values);
    // Where all are much alike an axis from zero would hide what is there to see.
    if ((s.form === "percent" || s.form === "figure") && low < 0.5 * high) low = 0;
    else low -= 0.06 * (high - low);
    if (high - low < 1e-12 + 1e-9 * Math.abs(high)) { low -= 0.5 * Math.abs(high) || 0.5; high += 0.5 * Math.abs(high) || 0.5; }
    high += 0.06 * (high - low);
    const m = { left: 62, right: 118, top: 8, bottom: 34 }, w = wide - m.left - m.right, t = tall - m.top - m.bottom;
    const first = layers[0], span = Math.max(1, layers.at(-1) - first);
    const X = (l) => m.left + (layers.length > 1 ? (l - first) / span : 0.5) * w, Y = (v) => m.top + t * (1 - (v * factor - low) / (high - low));
    const svg = h("svg", { width: wide, height: tall, viewBox: `0 0 ${wide} ${tall}`, "aria-hidden": "true" });
    const ys = ticks(low, high, t / 34), ya = axis(ys);
    ys.forEach((y, i) => svg.append(h("line", { x1: m.left, x2: wide - m.right, y1: Y(y / factor), y2: Y(y / factor), class: "gl-gridline" }), h("text", { x: m.left - 6, y: Y(y / factor) + 4, "text-anchor": "end" }, ya.labels[i])));
    ticks(first, first + span, w / 56).filter((l) => layers.includes(l)).forEach((l) => svg.append(h("text", { x: X(l), y: tall - 18, "text-anchor": "middle" }, String(l))));
    svg.append(h("text", { x: m.left + w / 2, y: tall - 4, "text-anchor": "middle", class: "gl-axis-label" }, "layer"));
    const unit = { percent: ", %", decibel: ", dB" }[s.form] ?? "";
    svg.append(h("text", { x: -(m.top + t / 2), y: 11, "text-anchor": "middle", class: "gl-axis-label gl-turned" }, `${s.label}${unit}${unitOf(ya.power)}`));
    notFromZero.hidden = low <= 0;
    const chosen = model.get("selected")[0];
    const ends = curves.map((c) => ({ c, y: Y(c.points.at(-1)[1]) })).sort((a, b) => a.y - b.y);
    for (let i = 1; i < ends.length; i++) ends[i].y = Math.max(ends[i].y, ends[i - 1].y + 12);
    let room = m.top + t; // names that would be below move up, with those that are in their way
    for (const e of [...ends].reverse()) { e.y = Math.min(e.y, room); room = e.y - 12; }
    for (const { c, y } of ends) {
      const stroke = COLOURS[c.k % COLOURS.length], dash = DASHES[Math.floor(c.k / COLOURS.length) % DASHES.length];
      const mine = c.points.some(([, , cell]) => cell.name === chosen);
      const d = c.points.map(([l, v], i) => `${i ? "L" : "M"}${X(l).toFixed(1)},${Y(v).toFixed(1)}`).join("");
      svg.append(h("path", { d, fill: "none", stroke, "stroke-width": mine ? 3 : 1.5, "stroke-dasharray": dash || null }));
      for (const [l, v, cell] of c.points) {
        const point = h("circle", { cx: X(l), cy: Y(v), r: cell.name === chosen ? 5 : 3, fill: stroke, class: "gl-dot" }, h("title", {}, `${cell.label}: ${shown(v)}`));
        point.addEventListener("click", safe(() => save({ selected: [cell.name] })));
        svg.append(point);
      }
      svg.append(h("path", { d: `M${wide - m.right + 6},${y}h14`, stroke, "stroke-width": mine ? 3 : 1.5, "stroke-dasharray": dash || null }));
      svg.append(h("text", { x: wide - m.right + 24, y: y + 4, class: `gl-curve-name${mine ? " gl-strong" : ""}` }, c.kind));
    }
    put(plot, { "aria-label": `${s.label} against the layer, a curve for each of ${curves.length} kinds: ${curves.map((c) => c.kind).join(", ")}` });
    plot.replaceChildren(svg);
  }
  const owners = new WeakMap(); // the tensor of each name in the table: its button is made anew
  function drawTable() {
    const stats = model.get("statistics");
    const cells = lines.flat().filter((c) => c && c.status !== "pending");
    const keys = [...stats.map((s, k) => ({ label: s.label, of: (c) => (c.figures.length ? real(c.figures[k]) : null), stat: s, low: s.low_is_bad }))];
    const columns = [{ label: "tensor", of: (c) => c.label }, { label: "type", of: (c) => c.qtype }, { label: "bits", of: (c) => Number(c.bits) }, ...keys];
    if (sort.column === 0 && sort.fresh === undefined) sort = { column: 3 + which, down: !stat().low_is_bad, fresh: true };
    const by = columns[sort.column];
    const natural = new Intl.Collator("en", { numeric: true });
    const gone = (v) => v === null || v === undefined;
    // NaN is worse than any number, but what is exact is the best: zeros have no relative error
    const key = (c) => (Number.isNaN(by.of(c)) ? (c.exact === by.low ? Infinity : -Infinity) : by.of(c));
    cells.sort((a, b) => {
      const x = key(a), y = key(b);
      if (gone(x) || gone(y)) return gone(x) - gone(y);
      const d = typeof x === "string" ? natural.compare(x, y) : x < y ? -1 : x > y ? 1 : 0;
      return sort.down ? -d : d;
    });
    const most = cells.slice(0, 200), chosen = new Set(model.get("selected"));
    const held = owners.get(document.activeElement);
    const head = h("tr", {}, ...columns.map((c, i) => {
      const button = h("button", { class: "gl-head-sort", type: "button", title: c.stat?.title ?? `Sort by ${c.label}` }, c.label, h("span", { class: "gl-arrow", "aria-hidden": "true" }, i === sort.column ? (sort.down ? "\u25be" : "\u25b4") : ""));
      button.addEventListener("click", safe(() => {
        sort = { column: i, down: sort.column === i ? !sort.down : i > 1 && !c.low, fresh: true };
        drawTable();
        table.querySelectorAll(".gl-head-sort")[i].focus();
        say(`sorted by ${c.label}, ${sort.down ? "descending" : "ascending"}`);
      }));
      return h("th", { scope: "col", "aria-sort": i === sort.column ? (sort.down ? "descending" : "ascending") : "none" }, button);
    }));
    table.replaceChildren(h("thead", {}, head), h("tbody", {}, ...most.map((c) => {
      const name = h("button", { class: "gl-name-link gl-code", type: "button" }, c.label);
      owners.set(name, c.name);
      const row = h("tr", { class: chosen.has(c.name) ? "gl-chosen" : null }, h("td", {}, name), h("td", {}, c.qtype), h("td", {}, c.bits));
      if (measured(c)) row.append(...keys.map((key) => (isUndefined(c, key.of(c)) ? h("td", { title: ZEROS }, "\u2013") : h("td", {}, shown(key.of(c), key.stat)))));
      else row.append(h("td", { colspan: keys.length, class: "gl-reason" }, `${c.status}: ${c.reason}`));
      row.addEventListener("click", safe(() => choose(c)));
      return row;
    })));
    if (held !== undefined) [...table.querySelectorAll(".gl-name-link")].find((b) => owners.get(b) === held)?.focus({ preventScroll: true });
    if (cells.length > most.length) table.append(h("tfoot", {}, h("tr", {}, h("td", { colspan: columns.length }, `and ${integer(cells.length - most.length)} more: the CSV has them all`))));
  }
  let mine = null;  // selected here: the cursor may have gone on by the time the news comes back
  function choose({ name, label }) { mine = name; save({ selected: [name] }); say(`${label} selected`); }
  function mark() {
    const chosen = new Set(model.get("selected"));
    for (const node of scroller.querySelectorAll(".gl-map-cell")) {
      const [line, k] = node.id.slice(gridId.length + 1).split("-").map(Number);
      put(node, { "aria-selected": Boolean(lines[line]?.[k] && chosen.has(lines[line][k].name)) });
      node.classList.toggle("gl-at", line === at[0] && k === at[1]);
    }
    put(scroller, { "aria-activedescendant": root.querySelector(`#${gridId}-${at[0]}-${at[1]}`) ? `${gridId}-${at[0]}-${at[1]}` : null });
  }
  function go(line, k) {
    line = clamp(line, lines[0].length ? 0 : 1, lines.length - 1);
    at = [line, clamp(k, 0, (lines[line]?.length ?? 1) - 1)];
    root.querySelector(`#${gridId}-${at[0]}-${at[1]}`)?.scrollIntoView({ block: "nearest", inline: "nearest" });
    mark();
  }
  function follow(scroll = true) {
    const first = model.get("selected")[0];
    const line = lines.findIndex((l) => l.some((c) => c && c.name === first));
    if (first !== mine) mine = null;
    if (line >= 0 && !mine && lines[at[0]]?.[at[1]]?.name !== first) {
      at = [line, lines[line].findIndex((c) => c && c.name === first)];
      if (scroll && root.offsetParent) go(...at);
    }
    mark();
  }
  scroller.addEventListener("click", safe((event) => {
    const node = event.target.closest(".gl-map-cell");
    if (!node) return;
    at = node.id.slice(gridId.length + 1).split("-").map(Number);
    const cell = lines[at[0]]?.[at[1]];
    if (cell) choose(cell); else mark();
  }));
  scroller.addEventListener("keydown", safe((event) => {
    const [line, k] = at;
    const move = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1], PageDown: [10, 0], PageUp: [-10, 0] }[event.key];
    if (move) go(line + move[0], k + move[1]);
    else if (event.key === "Home") go(event.ctrlKey ? 0 : line, 0);
    else if (event.key === "End") go(event.ctrlKey ? lines.length - 1 : line, 1e9);
    else if (event.key === "Enter" || event.key === " ") { const cell = lines[line]?.[k]; if (cell) choose(cell); }
    else return;
    event.preventDefault();
  }));
  pick.addEventListener("change", safe(() => { sort = { column: 0, down: true }; save({ statistic: pick.value }); load(); }));
  copy.addEventListener("click", safe(async () => { const { csv } = await ask({ ask: "csv" }); await copyText(csv, "\u201cSave CSV\u201d gives the same as a file."); say("copied as CSV"); copy.textContent = "Copied"; setTimeout(() => { copy.textContent = "Copy CSV"; }, 1500); }));
  keep.addEventListener("click", safe(async () => {
    const { csv } = await ask({ ask: "csv" });
    const link = h("a", { href: URL.createObjectURL(new Blob([csv], { type: "text/csv" })), download: "errors.csv" });
    link.click();
    URL.revokeObjectURL(link.href);
    say("saved as errors.csv");
  }));
  on("cells over kinds statistics statistic verdict", perFrame(safe(load)));
  on("selected", perFrame(safe(() => { follow(); drawDepth(); drawTable(); })));
  load();
  leave(onWidth(plot, safe(drawDepth)));
  leave(onWidth(scroller, safe(measure))); // text can be measured only once the panel is in the page
});
