/**
 * The vocabulary: a virtual grid whose rows come from the kernel in pages. A search is answered in
 * parts, so that neither side waits for a large vocabulary.
 *
 * @typedef {{id: number, text: [string, string][], token: string, type: string, role: string,
 *   score: string|null, merge: [number, string]|null, bytes: number, hex: string}} Row
 */

const TALL = 26;
const PAGE = 200;
const MOST = 600000; // rows: beyond about 17 million pixels browsers do not scroll

export default panel("vocabulary", ({ model, root, ask, on, save, safe, say, leave }) => {
  let view = { text: "", kind: null, sort: "id", down: false };
  let serial = 0;
  let found = 0, looked = 0;
  let active = 0;
  /** @type {Map<number, Row[]|null>} */
  const pages = new Map();
  const gridId = uid("vocabulary");

  const search = h("input", { type: "search", placeholder: "Search tokens", "aria-label": "Search tokens by text" });
  const kind = h("select", { "aria-label": "Type of token" });
  const jump = h("input", { type: "search", inputmode: "numeric", class: "gl-jump", placeholder: "go to id", "aria-label": "Go to a token by its id" });
  const count = h("span", { class: "gl-count" });
  const scroller = h("div", { class: "gl-scroll gl-grid gl-vocabulary-grid", role: "grid", tabindex: 0, "aria-label": "Tokens" });
  const header = h("div", { class: "gl-head", role: "row", "aria-rowindex": 1 });
  const body = h("div", { class: "gl-body", role: "rowgroup" });
  const empty = h("div", { class: "gl-empty", hidden: "" });
  const note = h("div", { class: "gl-note gl-token-note", "aria-live": "polite" });
  scroller.append(header, body);
  root.append(h("div", { class: "gl-bar" }, h("h3", { class: "gl-title" }, "Vocabulary"), search, kind, jump, count), scroller, empty, note);

  const total = () => model.get("total");
  const plain = () => !view.text && view.kind === null && view.sort === "id";
  const rows = () => Math.min(found, MOST);
  const list = virtualList({ scroller, body, height: TALL, count: rows, draw: (i) => draw(i), top: () => 0 });
  leave(list.close);

  /** @param {number} i @returns {Row|null} */
  function rowAt(i) {
    const first = model.get("first");
    if (plain() && !view.down && i < first.length && model.get("merges") !== "known") return first[i];
    return pages.get(Math.floor(i / PAGE))?.[i % PAGE] ?? null;
  }
  const want = debounced(safe(() => {
    const mine = serial;
    for (const i of list.alive.keys()) {
      const page = Math.floor(i / PAGE);
      if (pages.has(page) || rowAt(i)) continue;
      pages.set(page, null);
      ask({ ask: "rows", ...view, start: page * PAGE, stop: (page + 1) * PAGE }).then(safe((answer) => {
        if (mine !== serial) return;
        if (!answer.rows) { pages.delete(page); return; }
        pages.set(page, answer.rows);
        list.refresh();
        mark();
      }));
    }
  }), 20);

  function cell(row, column) {
    const box = h("div", { class: `gl-td gl-col-${column.id}`, role: "gridcell" });
    if (column.id === "id") box.textContent = integer(row.id);
    else if (column.id === "text") {
      box.classList.add("gl-code");
      for (const [text, is] of row.text) box.append(h("span", { class: is ? "gl-sign" : "" }, text));
      if (!row.text.length) box.append(h("span", { class: "gl-muted" }, "(empty)"));
    } else if (column.id === "token") { box.classList.add("gl-code"); box.textContent = row.token; box.title = row.token; }
    else if (column.id === "type") {
      box.append(h("span", { class: row.type === "normal" ? "gl-muted" : "gl-chip" }, row.type));
      if (row.role) box.append(" ", h("span", { class: "gl-chip gl-role" }, row.role));
    } else if (column.id === "score") box.textContent = row.score ?? "";
    else if (row.merge) box.append(h("span", { class: "gl-muted" }, `${integer(row.merge[0])}  `), h("span", { class: "gl-code" }, row.merge[1]));
    return box;
  }
  function draw(i) {
    const row = rowAt(i);
    const line = h("div", { class: "gl-tr", role: "row", id: `${gridId}-${i}`, "aria-rowindex": i + 2, "aria-busy": row ? null : "true" });
    if (row) for (const column of model.get("columns")) line.append(cell(row, column));
    else { line.append(h("div", { class: "gl-td gl-muted", role: "gridcell" }, "\u2026")); want(); }
    return line;
  }

  function head() {
    header.replaceChildren(...model.get("columns").map((c) => {
      const box = h("div", { class: `gl-th gl-col-${c.id}`, role: "columnheader", title: c.title,
        "aria-sort": c.sort ? (view.sort === c.id ? (view.down ? "descending" : "ascending") : "none") : null });
      if (!c.sort) { box.append(c.label); return box; }
      const arrow = view.sort === c.id ? (view.down ? " \u25be" : " \u25b4") : "";
      const button = h("button", { class: "gl-sort", type: "button" }, c.label, h("span", { class: "gl-arrow", "aria-hidden": "true" }, arrow));
      button.addEventListener("click", safe(() => {
        const down = view.sort === c.id ? !view.down : false;
        look({ ...view, sort: c.id, down });
        header.querySelectorAll("button")[[...header.querySelectorAll("button")].findIndex((b) => b.textContent.startsWith(c.label))]?.focus();
        say(`sorted by ${c.label}, ${down ? "descending" : "ascending"}`);
      }));
      box.append(button);
      return box;
    }));
    const wide = { id: "84px", text: "minmax(120px, 1.2fr)", token: "minmax(120px, 1.2fr)", type: "minmax(130px, .8fr)", score: "96px", merge: "minmax(130px, 1fr)" };
    scroller.style.setProperty("--columns", model.get("columns").map((c) => wide[c.id]).join(" "));
    scroller.style.setProperty("--wide", `${model.get("columns").reduce((sum, c) => sum + ({ id: 84, score: 96 }[c.id] ?? 130), 0)}px`);
  }

  /** Shows the tokens that fit, the first of them as soon as they are known. */
  async function look(next = view) {
    view = next;
    const mine = ++serial;
    pages.clear();
    active = 0;
    scroller.scrollTop = 0;
    head();
    if (plain()) { found = looked = total(); show(); tell(); return; }
    found = 0;
    looked = -1;
    do {
      const answer = await ask({ ask: "find", ...view });
      if (mine !== serial || answer.found === undefined) return;
      if (view.sort !== "id" || view.down) pages.clear();
      else for (const [page, got] of pages) if (got && got.length < PAGE) pages.delete(page);
      const stuck = answer.looked_at <= looked;
      found = answer.found;
      looked = answer.looked_at;
      show();
      if (stuck) break;
    } while (looked < total());
    tell();
    say(count.textContent);
  }
  const searching = () => looked < total();
  function show() {
    put(scroller, { "aria-rowcount": found + 1 });
    count.textContent = plain() ? `${integer(total())} tokens`
      : `${integer(found)} of ${integer(total())}${searching() ? ` \u00b7 searched ${Math.floor((100 * Math.max(0, looked)) / total())} %` : ""}`;
    empty.hidden = found > 0;
    empty.textContent = !total() ? "This file has no vocabulary." : searching() ? "Searching\u2026" : "No token fits.";
    scroller.hidden = !total();
    list.refresh();
    mark();
  }

  function mark() {
    const chosen = model.get("token");
    for (const [i, node] of list.alive) {
      node.classList.toggle("gl-active", i === active);
      put(node, { "aria-selected": rowAt(i)?.id === chosen });
    }
    put(scroller, { "aria-activedescendant": found ? `${gridId}-${active}` : null });
    const row = rowAt(active);
    if (row && row.id === chosen) tell(row);
  }
  /** What is known of the selected token, in words. */
  function tell(row = null) {
    const over = found > MOST ? `The first ${integer(MOST)} rows can be scrolled to; search, or go to an id, for the others.` : "";
    note.textContent = row
      ? [`token ${integer(row.id)}`, `${integer(row.bytes)} byte${row.bytes === 1 ? "" : "s"}: ${row.hex}`, row.merge ? `made by merge ${integer(row.merge[0])}` : ""].filter(Boolean).join(" \u00b7 ")
      : over || "Select a token to see its bytes.";
  }
  function go(i, select = true) {
    if (!found) return;
    active = clamp(i, 0, rows() - 1);
    list.reveal(active, header.offsetHeight);
    const y = active * TALL, under = scroller.clientHeight - header.offsetHeight;
    if (y < scroller.scrollTop) scroller.scrollTop = y;
    else if (y + TALL > scroller.scrollTop + under) scroller.scrollTop = y + TALL - under;
    list.paint();
    const row = rowAt(active);
    if (select && row) { save({ token: row.id }); tell(row); }
    mark();
  }
  /** Brings a token into view; a filter that hides it is taken away. */
  async function bring(token) {
    if (token < 0 || rowAt(active)?.id === token) { mark(); return; }
    let place = plain() ? (view.down ? total() - 1 - token : token) : -1;
    if (!plain()) place = (await ask({ ask: "place", ...view, token })).place ?? -1;
    if (place < 0 || place >= MOST) {
      search.value = ""; kind.value = "";
      view = { text: "", kind: null, sort: "id", down: false };
      look(view);
      place = token;
    }
    go(place, false);
  }

  const filter = debounced(safe(() => look({ ...view, text: search.value.slice(0, 200), kind: kind.value === "" ? null : Number(kind.value) })), 120);
  search.addEventListener("input", filter);
  kind.addEventListener("change", filter);
  search.addEventListener("keydown", (event) => { if (event.key === "ArrowDown") { scroller.focus(); event.preventDefault(); } });
  jump.addEventListener("keydown", safe((event) => {
    if (event.key !== "Enter") return;
    const token = Number(jump.value.replace(/[,\s]/g, "") || NaN);
    if (!Number.isInteger(token) || token < 0 || token >= total()) { say(`no token ${jump.value}`); note.textContent = `There is no token ${jump.value}: ids go from 0 to ${integer(total() - 1)}.`; return; }
    jump.value = "";
    scroller.focus();
    save({ token });
    bring(token);
  }));
  scroller.addEventListener("click", safe((event) => {
    const line = event.target.closest(".gl-body [role=row]");
    if (line && String(getSelection()).length < 2) go(Number(line.id.slice(gridId.length + 1)));
  }));
  scroller.addEventListener("keydown", safe((event) => {
    if (event.target !== scroller) return;
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: list.page(), PageUp: -list.page(), Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined) return;
    go(model.get("token") < 0 && step === 1 ? active : active + step);
    event.preventDefault();
  }));

  function load() {
    const old = kind.value;
    kind.replaceChildren(h("option", { value: "" }, "any type"), ...model.get("kinds").map(([value, name, n]) => h("option", { value }, `${name} (${integer(n)})`)));
    kind.value = old;
    kind.hidden = model.get("kinds").length < 2;
    look();
  }
  on("token", () => bring(model.get("token")));
  on("merges", () => { if (model.get("merges") === "known") { pages.clear(); if (view.sort === "merge") look(); else { list.refresh(); mark(); } } });
  on("first columns kinds total", perFrame(safe(load)));
  load();
  if (model.get("merges") === "none" && model.get("columns").some((c) => c.id === "merge")) ask({ ask: "rows", ...view, start: 0, stop: 1 });
  bring(model.get("token"));
});
