/**
 * A table of tensors: a virtual ARIA grid whose columns and rows come in traits. Text columns are
 * lists; the figures of a comparison are one binary trait (float64, row by row, NaN where none).
 *
 * @typedef {{id: string, label: string, title: string, form: string, figure: number|null}} Column
 */

const TALL = 26;

export default panel("table", ({ model, root, on, save, safe, say, leave }) => {
  /** @type {Column[]} */
  let columns = [];
  let data = {};
  let figures = new Float64Array(0);
  let width = 0;
  let states = [];
  /** Row numbers in the order shown. @type {number[]} */
  let order = [];
  let sort = { column: "", down: false };
  let at = { row: -1, column: 0 };
  let anchor = 0;
  let focusGrid = false;
  let selected = new Set();
  const byName = new Map();
  const gridId = uid("grid");

  const search = h("input", { type: "search", placeholder: "Filter by name", "aria-label": "Filter tensors by name" });
  const pick = (label, key) => { const s = h("select", { "aria-label": label }); s.key = key; s.any = label; return s; };
  const selects = model.get("filters").map(([label, key]) => pick(label, key));
  const save_as = h("button", { class: "gl-button", type: "button", title: "Save the rows shown, in this order, as a CSV file" }, "CSV");
  const count = h("span", { class: "gl-count" });
  const scroller = h("div", { class: "gl-scroll gl-grid", role: "grid", tabindex: 0, "aria-label": "Tensors", "aria-multiselectable": "true" });
  const header = h("div", { class: "gl-head", role: "row", "aria-rowindex": 1 });
  const body = h("div", { class: "gl-body", role: "rowgroup" });
  const empty = h("div", { class: "gl-empty", hidden: "" });
  const note = h("div", { class: "gl-note", hidden: "" });
  scroller.append(header, body);
  root.append(h("div", { class: "gl-bar" }, h("h3", { class: "gl-title" }, model.get("title")), search, ...selects, count, save_as), scroller, empty, note);

  const sample = h("span", { class: "gl-code", hidden: "" });
  root.append(sample);
  const list = virtualList({ scroller, body, height: TALL, count: () => order.length, draw: (i) => draw(i), top: () => 0 });
  leave(list.close);

  const factOf = (row, key) => (key === "state" ? stateOf(row) : data[key]?.[row]);
  const stateOf = (row) => states[row]?.[0] ?? "";
  /** Whether a row has figures: those of an unverified one carry its mark in the status. */
  const measured = (row) => stateOf(row) === "compared" || stateOf(row) === "unverified";
  const isFigure = (c) => c.figure !== null && c.figure !== undefined;
  const value = (row, c) => {
    if (isFigure(c)) return figures[row * width + c.figure];
    if (c.id === "state") return stateOf(row);
    return data[c.id]?.[row] ?? null;
  };
  // What is rounded to zero has no sign.
  const sign = (v, text) => (/[1-9\u221e]/.test(text) ? `${v > 0 ? "+" : MINUS}${text}` : "0");
  const forms = {
    text: (v) => v ?? "",
    integer: (v) => integer(v),
    bytes: (v) => bytes(v),
    bits: (v) => v.toFixed(2),
    percent,
    decibel: (v) => fixed(v, 1),
    cosine: (v) => fixed(v, 6),
    change_bytes: (v) => sign(v, bytes(Math.abs(v))),
    change_percent: (v) => sign(v, Number.isFinite(v) ? `${(100 * Math.abs(v)).toFixed(2)} pp` : figure(Math.abs(v))),
    change_decibel: (v) => sign(v, Number.isFinite(v) ? Math.abs(v).toFixed(1) : figure(Math.abs(v))),
    change: (v) => sign(v, figure(Math.abs(v))),
    figure: aligned,
  };
  const missing = (v) => v === null || v === undefined || v === "";
  /** Whether there is no such figure though the errors are numbers: no ratio to a reference of zeros. */
  function undefinedAt(row, c) {
    if (!isFigure(c) || !measured(row) || !Number.isNaN(value(row, c))) return false;
    const largest = columns.find((x) => x.id === "max_abs_error"), change = columns.find((x) => x.id === "change");
    return Boolean((largest && Number.isFinite(value(row, largest))) || (change && value(row, change) === 0));
  }
  function shown(row, c) {
    const v = value(row, c);
    if (isFigure(c)) {
      if (!measured(row)) return "";
      return undefinedAt(row, c) ? "\u2013" : Number.isNaN(v) ? "NaN" : forms[c.form](v);
    }
    if (c.id === "name") return labelOf(v);
    return missing(v) ? "\u2013" : forms[c.form](v);
  }
  const labelOf = (name) => data.labels?.[name] ?? name;
  const isText = (c) => c.form === "text";

  function load() {
    columns = model.get("columns");
    data = model.get("rows");
    figures = typed(Float64Array, model.get("figures"));
    width = columns.filter(isFigure).length;
    states = model.get("states");
    const names = data.name ?? [];
    byName.clear();
    names.forEach((name, i) => byName.set(name, i));
    for (const select of selects) {
      const values = [...new Set(names.map((_, i) => factOf(i, select.key)))].filter((v) => !missing(v)).sort();
      const old = select.value;
      select.replaceChildren(h("option", { value: "" }, select.any), ...values.map((v) => h("option", { value: v }, v)));
      select.value = values.includes(old) ? old : "";
      select.hidden = values.length < 2;
    }
    const total = model.get("total");
    note.hidden = total <= names.length;
    note.textContent = `The first ${integer(names.length)} of ${integer(total)} tensors are listed; model.tensors.to_frame() has them all.`;
    measure();
    arrange();
  }

  const pen = document.createElement("canvas").getContext("2d");
  /** Sizes the columns to what is in them; the first takes what is left. */
  function measure() {
    const style = getComputedStyle(root);
    const font = `${style.fontSize} ${style.fontFamily}`;
    const rows = (data.name ?? []).length;
    const bars = {};
    const widths = columns.map((c) => {
      pen.font = `600 ${font}`;
      let wide = pen.measureText(c.label).width + 10;
      pen.font = c.id === "name" ? `12px ${getComputedStyle(sample).fontFamily}` : font;
      const texts = new Set();
      for (let r = 0; r < rows; r++) texts.add(String(shown(r, c)));
      const longest = [...texts].sort((a, b) => b.length - a.length).slice(0, 24);
      for (const text of longest) wide = Math.max(wide, pen.measureText(text).width + (c.id === "state" ? 30 : 0));
      if (c.bar) bars[c.id] = top(c, rows);
      return Math.ceil(Math.min(wide, 340)) + 20;
    });
    measure.bars = bars;
    const template = widths.map((w, i) => (i === 0 ? `minmax(${w}px, 1fr)` : `${w}px`)).join(" ");
    scroller.style.setProperty("--columns", template);
    scroller.style.setProperty("--wide", `${widths.reduce((a, b) => a + b, 0)}px`);
  }
  const top = (c, rows) => {
    let most = 0;
    for (let r = 0; r < rows; r++) { const v = value(r, c); if (Number.isFinite(v) && v > most) most = v; }
    return most;
  };

  /** Filters and sorts. */
  function arrange() {
    const names = data.name ?? [];
    const text = search.value.trim().toLowerCase();
    const holder = order[at.row];
    order = [];
    for (let r = 0; r < names.length; r++) {
      if (text && !names[r].toLowerCase().includes(text)) continue;
      if (selects.some((s) => s.value && factOf(r, s.key) !== s.value)) continue;
      order.push(r);
    }
    const c = columns.find((x) => x.id === sort.column);
    if (c) {
      const by = c.id === "shape" ? { ...c, id: "n_elements" } : c;
      const keys = new Map(order.map((r) => [r, value(r, by)]));
      const natural = new Intl.Collator("en", { numeric: true });
      const gone = (v) => missing(v) || Number.isNaN(v);
      order.sort((a, b) => {
        const x = keys.get(a), y = keys.get(b);
        if (gone(x) || gone(y)) return (gone(x) ? 1 : 0) - (gone(y) ? 1 : 0) || a - b;
        const d = typeof x === "string" ? natural.compare(x, y) : x < y ? -1 : x > y ? 1 : 0;
        return (sort.down ? -d : d) || a - b;
      });
    }
    at.row = holder === undefined ? Math.min(at.row, order.length - 1) : order.indexOf(holder);
    put(scroller, { "aria-rowcount": order.length + 1, "aria-colcount": columns.length });
    head();
    list.refresh();
    empty.hidden = order.length > 0;
    empty.textContent = names.length ? "No tensor fits the filter." : "There are no tensors.";
    scroller.classList.toggle("gl-nothing", !order.length);
    tell();
    mark();
  }
  function tell() {
    const all = (data.name ?? []).length;
    const seen = new Set(order);
    const away = [...selected].filter((n) => byName.has(n) && !seen.has(byName.get(n))).length;
    count.textContent = `${order.length === all ? "" : `${integer(order.length)} of `}${integer(all)} ${all === 1 ? "tensor" : "tensors"}${selected.size > 1 || away ? ` \u00b7 ${integer(selected.size)} selected` : ""}${away ? `, ${integer(away)} hidden by the filter` : ""}`;
  }

  function head() {
    header.replaceChildren(...columns.map((c, i) => h("div", {
      class: `gl-th${isText(c) ? "" : " gl-num"}`, role: "columnheader", id: `${gridId}-h-${i}`, title: c.title, "aria-colindex": i + 1,
      "aria-sort": sort.column === c.id ? (sort.down ? "descending" : "ascending") : "none",
    }, h("span", {}, c.label), h("span", { class: "gl-arrow", "aria-hidden": "true" }, sort.column === c.id ? (sort.down ? "\u25be" : "\u25b4") : ""))));
  }

  function draw(i) {
    const r = order[i];
    const state = stateOf(r);
    const bad = state === "unmatched" || state === "unsupported" || state === "truncated" || state === "opaque";
    const row = h("div", { class: `gl-tr${bad ? " gl-bad" : ""}`, role: "row", id: `${gridId}-r-${i}`, "aria-rowindex": i + 2, "aria-selected": selected.has(data.name[r]) });
    const reason = states[r]?.[1] ?? "";
    columns.forEach((c, k) => {
      const text = String(shown(r, c));
      const cell = h("div", { class: `gl-td${isText(c) ? "" : " gl-num"}${k ? "" : " gl-name gl-code"}`, role: "gridcell", id: `${gridId}-${i}-${k}`, "aria-colindex": k + 1, title: text.length > 14 && isText(c) ? text : undefinedAt(r, c) ? ZEROS : null });
      if (c.id === "state") {
        if (state) cell.append(h("span", { class: bad || state === "unverified" ? "gl-chip gl-state-bad" : "gl-muted" }, state));
        if (reason) cell.title = reason;
      } else cell.append(h("span", {}, text));
      const most = c.bar ? measure.bars[c.id] : 0;
      const v = most ? value(r, c) : 0;
      if (most && v > 0.015 * most && text) cell.prepend(h("span", { class: "gl-databar", "aria-hidden": "true", style: { width: `${(100 * Math.min(v, most)) / most}%` } }));
      row.append(cell);
    });
    // Where there are no figures the reason stands in their place.
    const first = columns.findIndex((c) => c.figure === 0);
    if (bad && first >= 0 && reason) {
      const last = first + width;
      [...row.children].slice(first + 1, last).forEach((cell) => cell.remove());
      const cell = row.children[first];
      cell.replaceChildren(h("span", { class: "gl-reason", title: reason }, reason));
      cell.classList.remove("gl-num");
      cell.style.gridColumn = `${first + 1} / ${last + 1}`;
      put(cell, { "aria-colspan": width });
      cell.classList.add("gl-hatch");
    }
    return row;
  }

  function mark() {
    for (const [i, row] of list.alive) {
      put(row, { "aria-selected": selected.has(data.name[order[i]]) });
      row.classList.toggle("gl-active", i === at.row);
    }
    for (const cell of scroller.querySelectorAll(".gl-at")) cell.classList.remove("gl-at");
    const id = at.row < 0 ? `${gridId}-h-${at.column}` : `${gridId}-${at.row}-${at.column}`;
    const cell = root.querySelector(`#${id}`) ?? root.querySelector(`#${gridId}-r-${at.row}`);
    cell?.classList.add("gl-at");
    put(scroller, { "aria-activedescendant": cell ? cell.id : null });
  }
  const under = () => header.offsetHeight;
  function go(row, column = at.column) {
    at = { row: clamp(row, -1, order.length - 1), column: clamp(column, 0, columns.length - 1) };
    if (at.row >= 0) reveal(at.row);
    mark();
    const cell = root.querySelector(`#${gridId}-h-${at.column}`);
    if (focusGrid && cell) {
      const left = cell.offsetLeft, right = left + cell.offsetWidth;
      if (at.column === 0) scroller.scrollLeft = 0;
      else if (left < scroller.scrollLeft) scroller.scrollLeft = left;
      else if (right > scroller.scrollLeft + scroller.clientWidth) scroller.scrollLeft = right - scroller.clientWidth;
    }
  }
  function reveal(i) {
    const y = i * TALL, view = scroller.clientHeight - under();
    if (y < scroller.scrollTop) scroller.scrollTop = y;
    else if (y + TALL > scroller.scrollTop + view) scroller.scrollTop = y + TALL - view;
    list.paint();
  }
  function choose(names) {
    selected = new Set(names);
    mark();
    tell();
    save({ selected: [...selected] });
    say(selected.size === 1 ? `${labelOf([...selected][0])} selected` : `${selected.size} tensors selected`);
  }
  const nameAt = (i) => data.name[order[i]];
  const range = (a, b) => order.slice(Math.min(a, b), Math.max(a, b) + 1).map((r) => data.name[r]);
  function flip(i) {
    const next = new Set(selected);
    if (!next.delete(nameAt(i))) next.add(nameAt(i));
    anchor = i;
    choose(next);
  }
  function sortBy(c) {
    const numeric = !isText(c);
    if (sort.column !== c.id) sort = { column: c.id, down: numeric && isFigure(c) };
    else if (sort.down === (numeric && isFigure(c))) sort = { column: c.id, down: !sort.down };
    else sort = { column: "", down: false };
    arrange();
    say(sort.column ? `sorted by ${c.label}, ${sort.down ? "descending" : "ascending"}` : "in the order of the file");
  }

  /** The rows shown, as CSV: numbers with all their digits. */
  function csv() {
    // What a spreadsheet would take for a formula gets an apostrophe in front, also behind a mark at
    // which one of another country would begin a new cell.
    const harmless = (v) => (typeof v === "string" ? v.replace(/(^|[;\t\r\n])(?=[=+\-@\t\r])/g, "$1'") : v);
    const quoted = (v) => (v === null || v === undefined || Number.isNaN(v) ? "" : /[",\r\n]/.test(v) ? `"${String(v).replaceAll('"', '""')}"` : String(v));
    const shownRows = order.map((r) => [...columns.map((c) => (isFigure(c) && !measured(r) ? null : value(r, c))), states[r]?.[1] ?? ""]);
    return [[...columns.map((c) => c.label), "reason"], ...shownRows].map((row) => row.map(harmless).map(quoted).join(",")).join("\r\n");
  }
  save_as.addEventListener("click", safe(() => {
    const url = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
    const link = h("a", { href: url, download: `${model.get("title").toLowerCase().replace(/\W+/g, "-")}.csv` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
    say(`${integer(order.length)} rows saved`);
  }));

  header.addEventListener("click", safe((event) => {
    const cell = event.target.closest("[role=columnheader]");
    if (!cell) return;
    const i = [...header.children].indexOf(cell);
    at = { row: -1, column: i };
    sortBy(columns[i]);
  }));
  // With Shift a range of rows is meant, not a range of text.
  body.addEventListener("mousedown", (event) => { if (event.shiftKey) event.preventDefault(); });
  body.addEventListener("click", safe((event) => {
    const row = event.target.closest("[role=row]");
    if (!row || String(getSelection()).length > 1) return;
    const i = Number(row.id.slice(gridId.length + 3));
    at.row = i;
    if (event.shiftKey) choose(range(anchor, i));
    else if (event.ctrlKey || event.metaKey) flip(i);
    else { anchor = i; choose([nameAt(i)]); }
  }));
  scroller.addEventListener("focus", () => { focusGrid = true; if (at.row < 0 && order.length && !header.querySelector(".gl-at")) go(0); });
  scroller.addEventListener("keydown", safe((event) => {
    const many = event.ctrlKey || event.metaKey;
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: list.page(), PageUp: -list.page() }[event.key];
    if (step !== undefined) {
      const was = at.row;
      const next = event.key === "ArrowUp" || was < 0 ? was + step : clamp(was + step, 0, order.length - 1);
      go(Math.max(next, event.key === "ArrowUp" ? -1 : 0));
      if (at.row >= 0 && !many) { if (event.shiftKey) choose(range(anchor, at.row)); else { anchor = at.row; choose([nameAt(at.row)]); } }
    } else if (event.key === "ArrowRight" || event.key === "ArrowLeft") go(at.row, at.column + (event.key === "ArrowRight" ? 1 : -1));
    else if (event.key === "Home" || event.key === "End") {
      const end = event.key === "End";
      if (many) go(end ? order.length - 1 : 0); else go(at.row, end ? columns.length - 1 : 0);
    } else if (event.key === "Enter" || event.key === " ") {
      if (at.row < 0) sortBy(columns[at.column]);
      else if (event.key === " " && many) flip(at.row);
      else { anchor = at.row; choose([nameAt(at.row)]); }
    } else if (many && event.key === "a") choose(order.map((r) => data.name[r]));
    else if (event.key === "Escape" && selected.size) choose([]);
    else return;
    event.preventDefault();
  }));
  const filter = debounced(safe(arrange), 90);
  search.addEventListener("input", filter);
  search.addEventListener("keydown", (event) => { if (event.key === "ArrowDown") { scroller.focus(); event.preventDefault(); } });
  for (const select of selects) select.addEventListener("change", safe(arrange));

  const bring = () => { if (at.row >= 0 && selected.has(nameAt(at.row))) reveal(at.row); };
  function follow() {
    selected = new Set(model.get("selected"));
    const first = [...selected].find((n) => byName.has(n));
    const i = first === undefined ? -1 : order.indexOf(byName.get(first));
    // A selection made here is in view already; one made elsewhere is brought there.
    if (i >= 0 && !selected.has(nameAt(at.row))) { at.row = i; anchor = i; bring(); }
    mark();
    tell();
  }
  on("selected", follow);
  on("columns rows states total figures", perFrame(safe(load)));
  load();
  follow();
  // Text can be measured only once the panel is in the page.
  leave(onWidth(scroller, safe(() => { measure(); list.refresh(); bring(); mark(); })));
});
