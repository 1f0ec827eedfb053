/**
 * A tensor as a picture on a canvas: one pane per side, row figures beside it. What is drawn are cells of
 * one or more weights that the kernel has pooled (message `picture`: float32 cells, then uint8 marks).
 */

const LEFT = 58, TOP = 36, GAP = 10, STRIP = 58;
const LARGEST = { tall: 22, wide: 56 }; // pixels of a weight, zoomed in as far as it goes

/**
 * @param {any} p what `panel` gives
 * @param {{sides: () => string[], peek: (words: string) => void, drawn: (pic: any) => void}} spec
 */
function heatmap(p, spec) {
  const { model, root, viewId, on, ask, safe, save, say, leave } = p;
  const canvas = h("canvas", { class: "gl-heat", tabindex: 0, role: "application", "aria-roledescription": "heatmap" });
  const view = { x: 0, y: 0, sx: 1, sy: 1 };
  let size = { rows: 0, columns: 0, block: 1 }, W = 0, H = 0, full = 0, colours = null;
  let pic = null, base = null, asked = "", ticket = 0, cursor = null, pane = 0, fitted = true, spoken = false;
  let norms = new Float32Array(0), errors = null;

  // -- geometry

  const paneX = (k) => LEFT + k * (W + GAP);
  const most = () => ({ sx: Math.max(size.columns / W, 1 / LARGEST.wide), sy: Math.max(size.rows / H, 1 / LARGEST.tall) });
  function settle() {
    const top = most();
    view.sx = clamp(view.sx, 1 / LARGEST.wide, top.sx);
    view.sy = clamp(view.sy, 1 / LARGEST.tall, top.sy);
    view.x = clamp(view.x, 0, Math.max(0, size.columns - W * view.sx));
    view.y = clamp(view.y, 0, Math.max(0, size.rows - H * view.sy));
    fitted = view.sx >= top.sx && view.sy >= top.sy;
  }
  function fit() { Object.assign(view, { x: 0, y: 0, sx: Infinity, sy: Infinity }); settle(); change(); }
  /** Zooms about a point of the picture, given in pixels of a pane. */
  function zoom(factor, px = W / 2, py = H / 2) {
    const at = [view.x + px * view.sx, view.y + py * view.sy];
    view.sx *= factor; view.sy *= factor;
    view.sx = clamp(view.sx, 1 / LARGEST.wide, most().sx);
    view.sy = clamp(view.sy, 1 / LARGEST.tall, most().sy);
    view.x = at[0] - px * view.sx; view.y = at[1] - py * view.sy;
    settle(); change();
  }
  function pan(dx, dy) { view.x += dx * view.sx; view.y += dy * view.sy; settle(); change(); }
  /** Zooms in to single weights around one. */
  function reveal(row, column, near = false) {
    if (near) { view.sx = 1 / LARGEST.wide; view.sy = 1 / LARGEST.tall; }
    const out = (at, from, seen) => at < from || at + 1 > from + seen;
    if (near || out(column, view.x, W * view.sx)) view.x = column - (W * view.sx) / 2;
    if (near || out(row, view.y, H * view.sy)) view.y = row - (H * view.sy) / 2;
    settle(); change();
  }
  const shape = () => ({ tall: cellSize(view.sy), wide: cellSize(view.sx) });
  /** The cell that holds a weight: [top, bottom, left, right, tall, wide]. */
  function cellAt(row, column) {
    const { tall, wide } = shape();
    const top = Math.floor(row / tall) * tall, left = Math.floor(column / wide) * wide;
    return [top, Math.min(top + tall, size.rows), left, Math.min(left + wide, size.columns), tall, wide];
  }
  function point(event) {
    const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top - TOP;
    const n = spec.sides().length, k = clamp(Math.floor((x - LEFT) / (W + GAP)), 0, n - 1);
    const px = x - paneX(k), row = Math.floor(view.y + y * view.sy), column = Math.floor(view.x + px * view.sx);
    const inside = y >= 0 && y < H && px >= 0 && px < W && row < size.rows && column < size.columns;
    return { px, py: y, pane: k, row, column, inside, beside: y >= 0 && y < H && row < size.rows && x > paneX(n) - GAP };
  }

  // -- pictures

  function request() {
    if (!W || !size.rows) return;
    const { tall, wide } = shape();
    const up = (x, cell, n) => Math.min(n, Math.ceil(x / cell) * cell);
    const region = [
      Math.floor(view.y / tall) * tall, up(view.y + H * view.sy, tall, size.rows),
      Math.floor(view.x / wide) * wide, up(view.x + W * view.sx, wide, size.columns), tall, wide,
    ];
    const question = { ask: "picture", view: viewId, name: model.get("selected")[0], region, how: model.get("pooling"), sides: spec.sides() };
    const key = JSON.stringify(question);
    if (key === asked) return;
    asked = key;
    canvas.dataset.painted = "waiting";
    if (cursor) peek(); // the cell under it may have another size now
    ask({ ...question, ticket: ++ticket });
  }
  let next = 0;
  /** At most one question in 40 ms, and the last one always. */
  function change() {
    repaint();
    if (next) return;
    request();
    next = setTimeout(safe(() => { next = 0; request(); }), 40);
  }
  function receive(message, buffers) {
    if (message?.view !== viewId) return;
    if (message.unread === ticket && message.name === model.get("selected")[0]) spec.unread();
    if (message.picture === undefined || message.name !== model.get("selected")[0] || message.how !== model.get("pooling")) return;
    const [rows, columns] = message.shape, n = rows * columns;
    const cells = typed(Float32Array, buffers[0]), marks = typed(Uint8Array, buffers[1]);
    const part = (all, k) => all.subarray(k * n, (k + 1) * n);
    pic = { ...message, parts: message.sides.map((side, k) => ({ side, cells: part(cells, k), marks: part(marks, k) })) };
    if (fitted) base = pic;
    colour();
    paint();
    canvas.dataset.painted = `${pic.sampled ? "coarse" : "whole"} ${message.picture}`;
    spec.drawn(pic);
  }
  const heard = safe(receive);
  model.on("msg:custom", heard);
  leave(() => model.off("msg:custom", heard));

  /** Gives every side its colours; values share one scale. */
  function colour() {
    colours ??= ramp(root);
    for (const one of new Set([pic, base])) {
      if (!one) continue;
      const values = one.parts.filter((part) => part.side !== "difference");
      one.limit = values.length ? model.get("limit") || reach(values.map((part) => part.cells)) : 0;
      for (const part of one.parts) {
        part.limit = part.side === "difference" ? reach([part.cells]) : (pic ?? one).limit;
        part.image = image(part.cells, part.marks, one.shape, part.limit, colours);
      }
    }
  }

  // -- drawing

  function paint() {
    const ratio = window.devicePixelRatio || 1, tall = canvas.clientHeight;
    if (!W || !tall) return;
    canvas.width = full * ratio; canvas.height = tall * ratio;
    const pen = canvas.getContext("2d");
    const [ink, quiet, line, accent, warn] = ["--fg", "--fg2", "--line", "--accent", "--warn"].map((name) => {
      canvas.style.color = `var(${name})`; // a canvas knows no variables
      return getComputedStyle(canvas).color;
    });
    canvas.style.color = "";
    const look = { ink, quiet, line, accent, warn, font: getComputedStyle(root).fontFamily };
    pen.scale(ratio, ratio);
    pen.imageSmoothingEnabled = false;
    spec.sides().forEach((side, k) => drawPane(pen, side, k, look));
    drawAxis(pen, look);
    drawRows(pen, look);
  }
  const repaint = whenSeen(canvas, safe(paint));

  /** What stands over a pane, the shorter the less room there is: squeezed it could not be read. */
  function headings(side) {
    const { called } = model.get("facts");
    if (side === "difference") return [`difference (quantized \u2212 ${called})`, "difference", "diff."];
    if (side === "original") return [called, { original: "orig.", reference: "ref." }[called]];
    const stored = size.block > 1 ? "quantized" : "stored"; // a type without blocks has nothing quantized
    return [`${stored} (${model.get("facts").qtype})`, stored, model.get("facts").qtype];
  }
  function drawPane(pen, side, k, look) {
    const x0 = paneX(k), { sx, sy } = view;
    const wide = Math.min(W, (size.columns - view.x) / sx), tall = Math.min(H, (size.rows - view.y) / sy);
    pen.save();
    pen.fillStyle = look.ink;
    pen.font = `600 12px ${look.font}`;
    pen.fillText(headings(side).find((words) => pen.measureText(words).width <= W) ?? headings(side).at(-1), x0, 12, W);
    pen.beginPath(); pen.rect(x0, TOP, wide, tall); pen.clip();
    for (const one of base === pic ? [pic] : [base, pic]) {
      const part = one?.parts.find((q) => q.side === side);
      if (!part?.image) continue;
      const [top, , left, , cellTall, cellWide] = one.region, [rows, columns] = one.shape;
      pen.drawImage(part.image, x0 + (left - view.x) / sx, TOP + (top - view.y) / sy, (columns * cellWide) / sx, (rows * cellTall) / sy);
    }
    if (1 / sx >= 5 && size.block > 1) {
      pen.strokeStyle = look.quiet; pen.lineWidth = 1;
      for (let c = Math.ceil(view.x / size.block) * size.block; c < view.x + W * sx; c += size.block) {
        const x = Math.round(x0 + (c - view.x) / sx) + 0.5;
        pen.beginPath(); pen.moveTo(x, TOP); pen.lineTo(x, TOP + tall); pen.stroke();
      }
    }
    const part = pic?.parts.find((q) => q.side === side);
    if (part && 1 / sx >= 44 && 1 / sy >= 14 && pic.region[4] * pic.region[5] === 1) {
      pen.font = `10.5px ${look.font}`; pen.textAlign = "center"; pen.textBaseline = "middle";
      const [top, bottom, left, right] = pic.region;
      for (let r = top; r < bottom; r++) for (let c = left; c < right; c++) {
        const i = (r - top) * pic.shape[1] + c - left, mark = part.marks[i];
        pen.fillStyle = mark ? inkOn(markColour(mark, colours)) : colours.ink(part.limit && part.cells[i] / part.limit);
        const words = mark ? (mark & NAN ? "NaN" : "inf") : printed(String(Number(part.cells[i].toPrecision(3))));
        pen.fillText(words, x0 + (c + 0.5 - view.x) / sx, TOP + (r + 0.5 - view.y) / sy, 1 / sx - 3);
      }
    }
    const frame = ([top, bottom, left, right], dash, colour) => {
      const x = x0 + (left - view.x) / sx, y = TOP + (top - view.y) / sy, w = Math.max(5, (right - left) / sx), t = Math.max(5, (bottom - top) / sy);
      for (const [stroke, width] of [[colours?.dark ? "#000" : "#fff", 4], [colour, 2]]) {
        pen.setLineDash(width === 2 ? dash : []);
        pen.strokeStyle = stroke; pen.lineWidth = width;
        pen.strokeRect(x - 1, y - 1, w + 2, t + 2);
      }
      pen.setLineDash([]);
    };
    const [row, column] = model.get("cell");
    frame([row, row + 1, column, column + 1], [], look.accent);
    if (cursor) frame(cellAt(cursor.row, cursor.column), [3, 2], look.ink);
    pen.restore();
    pen.strokeStyle = look.line; pen.strokeRect(x0 - 0.5, TOP - 0.5, wide + 1, tall + 1);
  }

  function drawAxis(pen, look) {
    pen.font = `11px ${look.font}`; pen.fillStyle = look.quiet; pen.strokeStyle = look.quiet;
    const whole = (low, seen, n, about) => (seen < 0.5 ? [] : ticks(low, Math.min(low + seen, n - 1), about).filter(Number.isInteger));
    pen.textAlign = "right"; pen.textBaseline = "middle";
    for (const r of whole(view.y, H * view.sy, size.rows, H / 40)) {
      const y = TOP + (r + 0.5 - view.y) / view.sy;
      if (y > TOP + H) continue;
      pen.fillText(integer(r), LEFT - 6, clamp(y, TOP + 5, TOP + H - 5));
      pen.beginPath(); pen.moveTo(LEFT - 4, y); pen.lineTo(LEFT, y); pen.stroke();
    }
    pen.textBaseline = "alphabetic";
    spec.sides().forEach((_, k) => {
      for (const c of whole(view.x, W * view.sx, size.columns, W / 90)) {
        const x = paneX(k) + (c + 0.5 - view.x) / view.sx;
        pen.textAlign = c === 0 ? "left" : "center";
        pen.fillText(integer(c), Math.min(x, paneX(k) + W - 8), TOP - 7);
        pen.beginPath(); pen.moveTo(x, TOP - 4); pen.lineTo(x, TOP); pen.stroke();
      }
    });
    pen.textAlign = "left";
  }

  /** Largest figure of the rows that one line of pixels stands for. */
  function rowsAt(curve, from, stop) {
    const each = model.get("summary").each ?? 1;
    let high = -Infinity;
    for (let i = Math.floor(from / each), last = Math.max(i, Math.ceil(stop / each) - 1); i <= last && i < curve.length; i++) {
      if (Number.isNaN(curve[i])) return NaN;
      if (curve[i] > high) high = curve[i];
    }
    return high;
  }
  function drawRows(pen, look) {
    const n = spec.sides().length;
    [[norms, "row norm"], [errors, "row error"]].forEach(([curve, words], s) => {
      if (!curve?.length) return;
      const x0 = paneX(n) + s * (STRIP + 8);
      let top = 0;
      for (const v of curve) if (Number.isFinite(v) && v > top) top = v;
      const ends = !curve.some(Number.isFinite) ? "not finite" : s ? `to ${figure(100 * top)} %` : `to ${figure(top)}`;
      pen.fillStyle = look.ink; pen.font = `600 11px ${look.font}`; pen.fillText(words, x0, 12, STRIP);
      pen.fillStyle = look.quiet; pen.font = `10px ${look.font}`;
      pen.fillText(ends, x0, TOP - 7, STRIP);
      const tall = Math.min(H, (size.rows - view.y) / view.sy);
      for (let y = 0; y < tall; y++) {
        const from = view.y + y * view.sy;
        const v = rowsAt(curve, Math.floor(from), Math.max(Math.floor(from) + 1, Math.floor(from + view.sy)));
        pen.fillStyle = Number.isFinite(v) ? (s ? look.warn : look.accent) : look.ink;
        pen.fillRect(x0, TOP + y, Number.isFinite(v) ? (top ? (STRIP * v) / top : 0) : STRIP, 1);
      }
      pen.strokeStyle = look.line; pen.strokeRect(x0 - 0.5, TOP - 0.5, STRIP + 1, tall + 1);
    });
  }

  // -- mouse and keyboard

  const peek = debounced(safe(() => {
    if (cursor && model.get("selected").length) ask({ ask: "peek", view: viewId, name: model.get("selected")[0], region: cellAt(cursor.row, cursor.column), how: model.get("pooling"), ticket: 0 });
  }), 60);
  function goTo(row, column, k, aloud) {
    cursor = { row, column }; pane = k; spoken = aloud;
    repaint(); peek();
  }
  function pick() {
    if (!cursor) return;
    const region = cellAt(cursor.row, cursor.column);
    if (region[4] * region[5] === 1) save({ cell: [cursor.row, cursor.column] });
    else ask({ ask: "pick", name: model.get("selected")[0], region, how: "extreme", sides: [spec.sides()[pane]] });
  }
  const told = safe((message) => {
    if (message?.peek === undefined || message.view !== viewId) return;
    spec.peek(message.words);
    if (spoken) say(message.words);
  });
  model.on("msg:custom", told);
  leave(() => model.off("msg:custom", told));

  let drag = null;
  canvas.addEventListener("pointerdown", safe((event) => {
    drag = { x: event.clientX, y: event.clientY, moved: false };
    canvas.setPointerCapture(event.pointerId);
  }));
  canvas.addEventListener("pointermove", safe((event) => {
    if (drag && (drag.moved || Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > 4)) {
      pan(drag.x - event.clientX, drag.y - event.clientY);
      drag = { x: event.clientX, y: event.clientY, moved: true };
      return;
    }
    const at = point(event);
    if (at.inside) goTo(at.row, at.column, at.pane, false);
    else if (at.beside && norms.length) spec.peek(rowWords(at.row));
  }));
  canvas.addEventListener("pointerup", safe((event) => {
    const still = drag && !drag.moved, at = point(event);
    drag = null;
    if (still && at.inside) { goTo(at.row, at.column, at.pane, false); pick(); }
  }));
  canvas.addEventListener("pointercancel", () => { drag = null; });
  canvas.addEventListener("pointerleave", safe(() => { if (document.activeElement !== canvas) { cursor = null; repaint(); } }));
  canvas.addEventListener("dblclick", safe((event) => { const at = point(event); if (at.inside) zoom(0.25, at.px, at.py); }));
  // A page that is scrolled must not turn into a zoom by chance.
  canvas.addEventListener("wheel", safe((event) => {
    if (!event.ctrlKey && document.activeElement !== canvas) return;
    event.preventDefault();
    const at = point(event);
    zoom(2 ** clamp(event.deltaY / 150, -1.5, 1.5), clamp(at.px, 0, W), clamp(at.py, 0, H));
  }), { passive: false });
  function rowWords(row) {
    const each = model.get("summary").each ?? 1, from = Math.floor(row / each) * each, to = Math.min(from + each, size.rows) - 1;
    const share = (x) => (Number.isNaN(x) ? "not finite" : `${figure(100 * x)} %`);
    const ratio = errors ? `, relative error ${share(errors[Math.floor(row / each)])}` : "";
    return `${to > from ? `rows ${integer(from)} to ${integer(to)}, the largest of each` : `row ${integer(row)}`}: norm ${figure(norms[Math.floor(row / each)])}${ratio}`;
  }
  function walk(dx, dy) {
    const { tall, wide } = shape();
    const [row, column] = cursor ? [cursor.row, cursor.column] : model.get("cell");
    const to = (at, step, cell, n) => clamp((Math.floor(at / cell) + step) * cell, 0, Math.floor((n - 1) / cell) * cell);
    const moved = cursor ? [to(row, dy, tall, size.rows), to(column, dx, wide, size.columns)] : [row, column];
    if (cursor && !dx) moved[1] = column;
    if (cursor && !dy) moved[0] = row;
    goTo(moved[0], moved[1], pane, true);
    reveal(moved[0], moved[1]);
  }
  canvas.addEventListener("keydown", safe((event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const about = () => (cursor ? [clamp((cursor.column + 0.5 - view.x) / view.sx, 0, W), clamp((cursor.row + 0.5 - view.y) / view.sy, 0, H)] : []);
    if (way && event.shiftKey) pan((way[0] * W) / 4, (way[1] * H) / 4);
    else if (way) walk(...way);
    else if (event.key === "+" || event.key === "=") zoom(0.5, ...about());
    else if (event.key === "-") zoom(2, ...about());
    else if (event.key === "0" || event.key === "Home") fit();
    else if (event.key === "Enter" || event.key === " ") pick();
    else return;
    event.preventDefault();
  }));
  canvas.addEventListener("focus", safe(() => { if (canvas.matches(":focus-visible") && !cursor && size.rows) walk(0, 0); }));

  // -- what changes

  function measure() {
    const n = spec.sides().length, strips = errors ? 2 : 1;
    full = canvas.clientWidth;
    W = Math.max(40, (full - LEFT - strips * (STRIP + 8) - n * GAP) / n);
    H = Math.max(40, canvas.clientHeight - TOP - 4);
    if (!canvas.clientWidth) W = 0;
  }
  function resize() {
    const keep = fitted;
    measure();
    if (!W || !size.rows) return;
    if (keep) fit(); else { settle(); change(); }
  }
  function enter() {
    const facts = model.get("facts");
    size = facts.problem ? { rows: 0, columns: 0, block: 1 } : { rows: facts.n_rows, columns: facts.n_columns, block: facts.block_size };
    pic = base = cursor = null; asked = ""; fitted = true;
    errors = facts.compared ? new Float32Array(0) : null;
    norms = new Float32Array(0);
    put(canvas, { "aria-label": `Picture of ${facts.label}, ${facts.shape}. Arrow keys walk, plus and minus zoom, Shift and arrow keys move the picture, 0 shows all, Enter selects a weight.` });
    canvas.dataset.painted = "waiting";
    resize();
    rows();
  }
  function rows() {
    const all = typed(Float32Array, model.get("row_curves")), n = errors ? all.length / 2 : all.length;
    norms = all.subarray(0, n);
    if (errors) errors = all.subarray(n);
    repaint();
  }
  leave(onSize(canvas, safe(resize)));
  leave(onTheme(canvas, safe(() => { colours = null; if (pic) { colour(); paint(); spec.drawn(pic); } })));
  on("facts", enter);
  on("row_curves summary", rows);
  on("limit", () => { if (pic) { colour(); paint(); spec.drawn(pic); } });
  on("pooling", () => { asked = ""; change(); peek(); });
  on("cell", () => { if (size.rows && W) reveal(...model.get("cell")); });
  enter();
  return {
    canvas, fit, zoom, pan, reveal, again: () => { asked = ""; change(); },
    sides: () => { asked = ""; pane = 0; resize(); },
  };
}
