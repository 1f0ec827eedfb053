/** The numbers behind a picture: the corner around the selected weight, the histogram, the worst rows. */

/** Values around the selected weight, a side at a time. Traits `corner` and `corner_values`. */
function cornerTable({ model, on, safe, leave }, box) {
  let side = "quantized";
  const words = h("div", { class: "gl-corner-words", role: "status" });
  const tabs = h("span", { class: "gl-seg", role: "group", "aria-label": "Values in the table" });
  const table = h("table", { class: "gl-numbers" }), scroll = h("div", { class: "gl-corner-scroll", tabindex: 0, role: "group", "aria-label": "Neighbouring weights" }, table);
  box.append(h("div", { class: "gl-part-title" }, "Selected weight ", tabs), words, scroll);
  /** Hides the columns that have no room: half of a number would be another number. */
  function fit() {
    const here = table.querySelector(".gl-here")?.cellIndex, lines = [...table.rows];
    if (here === undefined || !scroll.clientWidth) return;
    for (const line of lines) for (const cell of line.cells) cell.hidden = false;
    const widths = Array.from(lines[0].cells, (cell) => cell.offsetWidth);
    let first = here, last = here, room = scroll.clientWidth - widths[0] - widths[here] - 2;
    for (let before = -1; before !== last - first;) {
      before = last - first;
      for (const k of [last + 1, first - 1]) {
        if (k < 1 || k >= widths.length || widths[k] > room) continue;
        room -= widths[k];
        [first, last] = [Math.min(first, k), Math.max(last, k)];
      }
    }
    for (const line of lines) for (const cell of line.cells) cell.hidden = cell.cellIndex > 0 && (cell.cellIndex < first || cell.cellIndex > last);
  }
  function show() {
    const corner = model.get("corner"), all = typed(Float32Array, model.get("corner_values"));
    words.textContent = corner.words ?? "";
    table.hidden = !corner.shape;
    tabs.hidden = !(corner.sides?.length > 1);
    if (!corner.shape) return;
    const [rows, columns] = corner.shape, k = Math.max(0, corner.sides.indexOf(side)), [row, column] = corner.cell;
    tabs.replaceChildren(...corner.sides.map((name, i) => h("button", { class: "gl-button", type: "button", "aria-pressed": i === k, on: { click: safe(() => { side = name; show(); }) } }, name)));
    const cells = (r) => Array.from({ length: columns }, (_, c) => {
      const v = all[(k * rows + r) * columns + c], here = corner.top + r === row && corner.left + c === column;
      return h("td", { class: here ? "gl-here" : null, title: single(v) }, brief(v));
    });
    table.replaceChildren(
      h("caption", { class: "gl-live" }, `${corner.sides[k]} values around the selected weight`),
      h("tr", {}, h("th", { scope: "col" }, "row"), ...Array.from({ length: columns }, (_, c) => h("th", { scope: "col" }, integer(corner.left + c)))),
      ...Array.from({ length: rows }, (_, r) => h("tr", {}, h("th", { scope: "row" }, integer(corner.top + r)), ...cells(r))));
    fit();
  }
  leave(onWidth(scroll, safe(fit)));
  on("corner corner_values", perFrame(safe(show)));
  show();
}

/** How the stored values are distributed. Traits `value_bins` and `summary`. */
function valueHistogram({ model, on, safe, leave }, box) {
  const title = h("div", { class: "gl-part-title" }, "Stored values");
  const plot = h("div", { class: "gl-values", role: "img" });
  const words = h("div", { class: "gl-muted gl-small-words" });
  box.append(title, plot, words);
  function show() {
    const all = typed(Float64Array, model.get("value_bins")), summary = model.get("summary");
    const n = all.length ? (all.length - 1) / 2 : 0, wide = plot.clientWidth, tall = plot.clientHeight;
    const odd = [summary.n_nan && `${integer(summary.n_nan)} NaN`, summary.n_inf && `${integer(summary.n_inf)} inf`].filter(Boolean).join(", ");
    words.textContent = summary.total === undefined ? "known when all rows are read" : [!n && odd ? "" : `RMS ${summary.rms}${odd && " of what is finite"}`, n || summary.beyond ? `${figure((100 * summary.beyond) / summary.total)} % beyond the axis` : "", odd || "all finite"].filter(Boolean).join(" \u00b7 ");
    words.classList.toggle("gl-bad", Boolean(odd));
    if (!n || wide < 60) { plot.replaceChildren(summary.why ?? ""); return; }
    const edges = all.subarray(0, n + 1), counts = all.subarray(n + 1), low = edges[0], high = edges[n];
    const density = Array.from(counts, (c, i) => c / (edges[i + 1] - edges[i])), top = Math.max(...density), base = tall - 18;
    const x = (v) => ((v - low) / (high - low)) * (wide - 2) + 1, y = (v) => base - ((base - 4) * v) / top;
    let d = `M${x(low)},${base}`;
    density.forEach((v, i) => { d += `V${y(v).toFixed(1)}H${x(edges[i + 1]).toFixed(1)}`; });
    const svg = h("svg", { width: wide, height: tall, "aria-hidden": "true" }), places = ticks(low, high, wide / 70), labels = axis(places);
    svg.append(h("path", { d: `${d}V${base}Z`, class: "gl-value-steps" }), h("line", { x1: 0, x2: wide, y1: base, y2: base, class: "gl-value-axis" }));
    places.forEach((v, i) => svg.append(h("text", { x: clamp(x(v), 12, wide - 14), y: tall - 5, "text-anchor": "middle" }, labels.labels[i])));
    title.textContent = `Stored values${unitOf(labels.power)}`;
    put(plot, { "aria-label": `Histogram of the stored values: ${words.textContent}` });
    plot.replaceChildren(svg);
  }
  on("value_bins summary", whenSeen(plot, safe(show)));
  leave(onSize(plot, safe(show)));
  show();
}

/** Rows with the largest relative error, each with a jump. Trait `summary`. */
function worstRows({ model, on, save, safe }, box) {
  const title = h("div", { class: "gl-part-title", title: "Relative error: norm of the difference over that of the row in the reference" }, "Worst rows ", h("span", { class: "gl-muted" }, "by relative error")), list = h("div", { class: "gl-worst" });
  box.append(title, list);
  function show() {
    const worst = model.get("summary").worst, facts = model.get("facts");
    box.hidden = !facts.compared;
    list.textContent = worst === undefined ? "known when all rows are read" : worst.length ? "" : "no row has an error";
    for (const [row, words] of worst ?? []) {
      list.append(h("button", { class: "gl-button", type: "button", title: "Show the row", on: { click: safe(() => save({ cell: [row, model.get("cell")[1]] })) } },
        h("span", {}, `row ${integer(row)}`), h("b", {}, words)));
    }
  }
  on("summary facts", perFrame(safe(show)));
  show();
}
