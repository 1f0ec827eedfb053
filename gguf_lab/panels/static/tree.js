/**
 * The metadata as a tree. Leaves come in one trait with the first items of each array; further pages
 * of 200 items, long texts and searches inside arrays are asked from the kernel.
 *
 * @typedef {{kind: "node"|"item"|"text", node: Node_, n: number, tall: number, start: number,
 *   top: number, hits: {indices: number[], items: string[]}|null}} Segment
 */

const ROW = 24;
const PAGE = 200;

export default panel("tree", ({ model, root, ask, on, safe, say, leave }) => {
  let tree = grow(model.get("leaves"));
  let query = "";
  let hits = new Map();
  let note = "";
  /** @type {Segment[]} */
  let segments = [];
  let active = 0;
  let typedKeys = "";
  const pages = new Map();
  const texts = new Map();

  const search = h("input", { type: "search", placeholder: "Search keys, values, tokens", "aria-label": "Search keys and values" });
  const count = h("span", { class: "gl-count" });
  const scroller = h("div", { class: "gl-scroll gl-tree-scroll", role: "tree", tabindex: 0, "aria-label": "Metadata" });
  const body = h("div", { class: "gl-body" });
  const crumbText = h("span", { class: "gl-crumb-text" });
  const jump = h("input", { type: "search", inputmode: "numeric", placeholder: "go to item", "aria-label": "Go to item number" });
  const fold = h("button", { class: "gl-button", type: "button" }, "Collapse");
  const crumb = h("div", { class: "gl-crumb", hidden: "" }, crumbText, jump, fold);
  const empty = h("div", { class: "gl-empty", hidden: "" });
  scroller.append(body);
  root.append(
    h("div", { class: "gl-bar" }, h("h3", { class: "gl-title" }, "Metadata"), search, count),
    h("div", { class: "gl-tree-frame" }, scroller, crumb), empty,
  );

  const segmentOf = (i) => {
    let low = 0, high = segments.length - 1;
    while (low < high) {
      const mid = (low + high + 1) >> 1;
      if (segments[mid].start <= i) low = mid; else high = mid - 1;
    }
    return segments[low];
  };
  const list = virtualList({
    scroller, body, height: ROW,
    count: () => { const last = segments.at(-1); return last ? last.start + last.n : 0; },
    place: (i) => { const s = segmentOf(i); return [s.top + (i - s.start) * s.tall, s.tall]; },
    find: (y) => {
      let low = 0, high = segments.length - 1;
      while (low < high) {
        const mid = (low + high + 1) >> 1;
        if (segments[mid].top <= y) low = mid; else high = mid - 1;
      }
      const s = segments[low];
      return s ? s.start + clamp(Math.floor((y - s.top) / s.tall), 0, s.n - 1) : 0;
    },
    draw: (i) => draw(i),
  });
  leave(list.close);

  const has = (text) => Boolean(text) && text.toLowerCase().includes(query);
  const leafMatches = (leaf) => has(leaf.key) || has(leaf.value) || has(leaf.text) || hits.has(leaf.id);
  /** Whether the node or something below it is part of the search's answer. */
  const kept = (node) => !query || (node.leaf && leafMatches(node.leaf)) || node.children.some(kept);
  const expandable = (node) => node.children.length > 0 || (node.leaf && (node.leaf.count > 0 || node.leaf.text !== null));
  const isOpen = (node) => (query && node.children.length ? true : node.open) || (query && node.leaf && hits.has(node.leaf.id));

  function rebuild(keep = segments.length ? rowOf(active) : null) {
    segments = [];
    let start = 0, top = 0;
    const add = (kind, node, n, tall, found = null) => {
      segments.push({ kind, node, n, tall, start, top, hits: found });
      start += n;
      top += n * tall;
    };
    const visit = (node) => {
      if (!kept(node)) return;
      if (node !== tree) add("node", node, 1, ROW);
      if (!isOpen(node) && node !== tree) return;
      const leaf = node.leaf;
      if (leaf && leaf.count > 0) {
        const found = query ? hits.get(leaf.id) : null;
        if (!found) { if (node.open) add("item", node, leaf.count, ROW); }
        else if (found.indices.length) add("item", node, found.indices.length, ROW, found);
      } else if (leaf && leaf.text !== null) add("text", node, 1, textHeight(node));
      node.children.forEach(visit);
    };
    visit(tree);
    const last = segments.at(-1);
    const same = keep && segments.find((s) => s.node === keep.node && s.kind === keep.kind);
    active = same ? same.start + Math.min(keep.at, same.n - 1) : clamp(active, 0, Math.max(0, (last?.start ?? 0) + (last?.n ?? 1) - 1));
    const total = model.get("leaves").length;
    const shown = query ? segments.filter((s) => s.kind === "node" && s.node.leaf && leafMatches(s.node.leaf)).length : total;
    count.textContent = query ? `${integer(shown)} of ${integer(total)} keys${note}` : `${integer(total)} keys`;
    empty.hidden = segments.length > 0;
    scroller.parentElement.hidden = !segments.length;
    empty.textContent = query ? "Nothing found." : "This file has no metadata.";
    size();
    list.refresh();
    mark();
    trail();
  }
  const pen = document.createElement("canvas").getContext("2d");
  /** As wide as the longest key that can be seen, but never more than half. */
  function size() {
    const style = getComputedStyle(root);
    pen.font = `600 ${style.fontSize} ${style.fontFamily}`;
    let wide = 90;
    for (const s of segments) if (s.kind === "node" && s.node.leaf) wide = Math.max(wide, pen.measureText(s.node.name).width + s.node.depth * 14 + 14);
    scroller.style.setProperty("--key", `${Math.min(Math.ceil(wide), Math.max(110, 0.46 * scroller.clientWidth))}px`);
  }
  const rowOf = (i) => { const s = segmentOf(i); return s && { node: s.node, kind: s.kind, at: i - s.start }; };

  function textOf(node) { return texts.get(node.leaf.id) ?? node.leaf.text; }
  function textHeight(node) {
    const probe = textBlock(node);
    probe.style.visibility = "hidden";
    body.append(probe);
    const tall = clamp(probe.firstChild.scrollHeight + 12, 44, 340);
    probe.remove();
    return tall;
  }
  function textBlock(node) {
    const box = h("div", { class: "gl-tree-text", style: { "padding-left": `${node.depth * 14 + 8}px` } });
    box.append(h("pre", { class: "gl-code" }, marked(textOf(node))));
    const left = node.leaf.chars - (texts.has(node.leaf.id) ? texts.get(node.leaf.id).length : node.leaf.text.length);
    if (node.leaf.more && left > 0 && !texts.has(node.leaf.id)) {
      const more = h("button", { class: "gl-button gl-more", type: "button" }, `Show all ${integer(node.leaf.chars)} characters`);
      more.addEventListener("click", safe((event) => {
        event.stopPropagation();
        ask({ ask: "text", leaf: node.leaf.id }).then(safe((answer) => {
          if (answer.text === undefined) return;
          texts.set(node.leaf.id, answer.text);
          rebuild();
        }));
      }));
      box.append(more);
    }
    return box;
  }

  /** The text with what was searched for marked. */
  function marked(text) {
    const out = document.createDocumentFragment();
    const low = text.toLowerCase();
    let from = 0;
    // A lower-cased text of another length would shift the marks: then none are drawn.
    if (query && low.length === text.length) {
      for (let i = low.indexOf(query); i >= 0 && out.childNodes.length < 200; i = low.indexOf(query, from)) {
        out.append(text.slice(from, i), h("mark", {}, text.slice(i, i + query.length)));
        from = i + query.length;
      }
    }
    out.append(text.slice(from));
    return out;
  }

  /** An item of an array: from the preview, from a page that came, or asked for. */
  function item(leaf, i) {
    if (leaf.items && i < leaf.items.length) return leaf.items[i];
    const page = pages.get(`${leaf.id}/${Math.floor(i / PAGE)}`);
    if (Array.isArray(page)) return page[i % PAGE] ?? "";
    wanted();
    return null;
  }
  const wanted = debounced(safe(() => {
    for (const i of list.alive.keys()) {
      const s = segmentOf(i);
      if (s.kind !== "item" || s.hits || item.length === 0) continue;
      const leaf = s.node.leaf, page = Math.floor((i - s.start) / PAGE), key = `${leaf.id}/${page}`;
      if ((i - s.start) < (leaf.items?.length ?? 0) || pages.has(key)) continue;
      pages.set(key, "asked");
      ask({ ask: "items", leaf: leaf.id, start: page * PAGE, stop: Math.min((page + 1) * PAGE, leaf.count) }).then(safe((answer) => {
        if (!answer.items) { pages.delete(key); return; }
        pages.set(key, answer.items);
        for (const [row, node] of list.alive) {
          const t = segmentOf(row);
          if (t.node === s.node && t.kind === "item" && !t.hits && Math.floor((row - t.start) / PAGE) === page) {
            node.querySelector(".gl-value").replaceChildren(answer.items[(row - t.start) % PAGE] ?? "");
            node.removeAttribute("aria-busy");
          }
        }
      }));
    }
  }), 30);

  function draw(i) {
    const s = segmentOf(i);
    const { node } = s;
    if (s.kind === "text") {
      const box = textBlock(node);
      put(box, { id: `${domId}-${i}`, role: "treeitem", "aria-level": node.depth + 1 });
      box.style.height = `${s.tall}px`;
      return box;
    }
    const row = h("div", { class: "gl-tree-row", id: `${domId}-${i}`, role: "treeitem", "aria-selected": i === active });
    if (s.kind === "item") {
      const at = i - s.start;
      const index = s.hits ? s.hits.indices[at] : at;
      const text = s.hits ? s.hits.items[at] : item(node.leaf, index);
      put(row, { "aria-level": node.depth + 1, "aria-setsize": node.leaf.count, "aria-posinset": index + 1, "aria-busy": text === null ? "true" : null });
      row.classList.add("gl-tree-item");
      row.append(
        h("span", { class: "gl-index", style: { "padding-left": `${node.depth * 14 + 8}px` } }, integer(index)),
        h("span", { class: "gl-value gl-code" }, text === null ? "\u2026" : marked(text)),
      );
    } else {
      const { leaf } = node;
      const can = expandable(node), open = isOpen(node);
      put(row, { "aria-level": node.depth, "aria-setsize": node.of, "aria-posinset": node.at, "aria-expanded": can ? Boolean(open) : null });
      if (node.children.length) row.classList.add("gl-tree-group");
      const name = h("span", { class: "gl-key", style: { "padding-left": `${(node.depth - 1) * 14 + 6}px` }, title: leaf?.key ?? node.name },
        h("span", { class: "gl-twisty", "aria-hidden": "true" }, can ? (open ? "\u25be" : "\u25b8") : ""), marked(node.name));
      row.append(name);
      if (leaf) row.append(h("span", { class: "gl-value gl-code", title: leaf.value }, marked(leaf.value)), h("span", { class: "gl-type gl-code" }, leaf.type));
      else row.append(h("span", { class: "gl-value gl-muted" }, `${integer(leavesBelow(node))} keys`));
    }
    if (i === active) row.classList.add("gl-active");
    return row;
  }
  const leavesBelow = (node) => (node.leaf ? 1 : 0) + node.children.reduce((sum, c) => sum + leavesBelow(c), 0);
  const domId = uid("tree");

  function mark() {
    for (const [i, node] of list.alive) {
      node.classList.toggle("gl-active", i === active);
      if (node.getAttribute("role") === "treeitem") put(node, { "aria-selected": i === active });
    }
    put(scroller, { "aria-activedescendant": segments.length ? `${domId}-${active}` : null });
  }
  function go(i, reveal = true) {
    const last = segments.at(-1);
    if (!last) return;
    active = clamp(i, 0, last.start + last.n - 1);
    if (reveal) list.reveal(active, crumb.hidden ? 0 : 32);
    mark();
  }
  function toggle(node, open = !node.open) {
    if (!expandable(node) || node.open === open) return;
    node.open = open;
    rebuild();
    if (!open) return;
    // What has been unfolded should be seen: some of it comes into view, the row itself stays.
    list.reveal(Math.min(active + 8, active + rowsBelow(active)));
    list.reveal(active);
  }
  const rowsBelow = (i) => {
    const s = segmentOf(i), next = segments[segments.indexOf(s) + 1];
    return next && next.node === s.node ? next.n : s.node.children.length;
  };
  /** Which array the first visible row belongs to, once its own row has left the view. */
  function trail() {
    const s = segments.length ? segmentOf(list.alive.size ? firstVisible() : 0) : null;
    const inside = s && s.kind === "item" && !s.hits && s.n > 30;
    crumb.hidden = !inside;
    if (!inside) return;
    const leaf = s.node.leaf;
    crumbText.textContent = leaf.key;
    crumbText.title = `${leaf.key}: ${leaf.type}, ${integer(leaf.count)} items`;
    crumb.segment = s;
  }
  const firstVisible = () => {
    const y = scroller.scrollTop + 4;
    let low = 0, high = segments.length - 1;
    while (low < high) {
      const mid = (low + high + 1) >> 1;
      if (segments[mid].top <= y) low = mid; else high = mid - 1;
    }
    return segments[low].start;
  };
  scroller.addEventListener("scroll", safe(trail), { passive: true });
  fold.addEventListener("click", safe(() => {
    const { node } = crumb.segment;
    node.open = false;
    rebuild();
    go(segments.findIndex((s) => s.node === node) < 0 ? 0 : segments.find((s) => s.node === node).start);
    scroller.focus();
  }));
  jump.addEventListener("keydown", safe((event) => {
    if (event.key !== "Enter") return;
    const n = Number(jump.value.replace(/[,\s]/g, ""));
    if (!Number.isInteger(n)) return;
    const s = crumb.segment;
    go(s.start + clamp(n, 0, s.n - 1));
    jump.value = "";
    scroller.focus();
  }));

  scroller.addEventListener("click", safe((event) => {
    const row = event.target.closest("[role=treeitem]");
    if (!row || event.target.closest("pre, button")) return;
    const i = Number(row.id.slice(domId.length + 1));
    go(i, false);
    const s = segmentOf(i);
    if (s.kind === "node" && !String(getSelection())) toggle(s.node);
  }));
  scroller.addEventListener("keydown", safe((event) => {
    if (event.target !== scroller || !segments.length) return;
    const s = segmentOf(active);
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: list.page(), PageUp: -list.page(), Home: -Infinity, End: Infinity }[event.key];
    if (step !== undefined && !event.ctrlKey) go(active + step);
    else if (event.key === "ArrowRight" && s.kind === "node") {
      if (expandable(s.node) && !isOpen(s.node)) toggle(s.node, true);
      else if (isOpen(s.node)) go(active + 1);
    } else if (event.key === "ArrowLeft") {
      if (s.kind === "node" && isOpen(s.node) && !query) toggle(s.node, false);
      else {
        const up = s.kind === "node" ? s.node.parent : s.node;
        const found = segments.find((t) => t.kind === "node" && t.node === up);
        if (found) go(found.start);
      }
    } else if (event.key === "Enter" || event.key === " ") { if (s.kind === "node") toggle(s.node); }
    else if (event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey) ahead(event.key);
    else return;
    event.preventDefault();
  }));
  const forget = debounced(() => { typedKeys = ""; }, 700);
  function ahead(key) {
    const fresh = typedKeys === "";
    typedKeys += key.toLowerCase();
    forget();
    const nodes = segments.filter((s) => s.kind === "node");
    const from = nodes.findIndex((s) => s.start > (fresh ? active : active - 1));
    const order = from < 0 ? nodes : [...nodes.slice(from), ...nodes.slice(0, from)];
    const found = order.find((s) => s.node.name.toLowerCase().startsWith(typedKeys));
    if (found) go(found.start);
  }

  let asked = 0;
  const MOST_HITS = 200;
  /** Takes in what a part of the search has found. */
  function take(answer) {
    for (const hit of answer.hits) {
      const had = hits.get(hit.leaf) ?? { indices: [], items: [], cut: false };
      const indices = [...had.indices, ...hit.indices], items = [...had.items, ...hit.items];
      hits.set(hit.leaf, { leaf: hit.leaf, indices: indices.slice(0, MOST_HITS), items: items.slice(0, MOST_HITS), cut: had.cut || hit.cut || indices.length > MOST_HITS });
    }
    const all = [...hits.values()];
    const found = all.reduce((sum, hit) => sum + hit.indices.length, 0);
    note = found ? ` \u00b7 ${integer(found)} items${all.some((hit) => hit.cut) ? ", first ones" : ""}` : "";
    if (answer.next) note += " \u00b7 searching\u2026";
  }
  const find = debounced(safe(async () => {
    query = search.value.trim().toLowerCase();
    hits = new Map();
    note = "";
    const mine = ++asked;
    rebuild();
    if (query.length < 2) return;
    let start = [0, 0];
    do {
      const answer = await ask({ ask: "search", text: query, start });
      if (mine !== asked || !answer.hits) return;
      take(answer);
      start = answer.next;
      if (answer.hits.length || !start) rebuild();
    } while (start);
    say(count.textContent);
  }), 150);
  search.addEventListener("input", find);
  /** The next row (or the one before) that has what is searched for. */
  function next(step) {
    const matching = segments.flatMap((s) => (s.kind === "item" && s.hits ? Array.from({ length: s.n }, (_, i) => s.start + i)
      : s.kind === "node" && s.node.leaf && leafMatches(s.node.leaf) && !(hits.get(s.node.leaf.id)?.indices.length) ? [s.start] : []));
    if (!query || !matching.length) return;
    const after = step > 0 ? matching.find((i) => i > active) : matching.findLast((i) => i < active);
    go(after ?? (step > 0 ? matching[0] : matching.at(-1)));
    say(`match ${matching.indexOf(active) + 1} of ${matching.length}`);
  }
  search.addEventListener("keydown", safe((event) => {
    if (event.key === "ArrowDown") { scroller.focus(); event.preventDefault(); }
    else if (event.key === "Enter") { next(event.shiftKey ? -1 : 1); event.preventDefault(); }
  }));
  on("leaves", () => { tree = grow(model.get("leaves")); pages.clear(); texts.clear(); rebuild(null); });
  leave(onWidth(scroller, safe(() => { if (segments.length) rebuild(); })));
  rebuild(null);
});
