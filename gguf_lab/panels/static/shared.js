/**
 * Helpers shared by every panel. This text is put in front of each panel's own script: there is no
 * module loader, no build step and no network. Text reaches the page through `textContent` only.
 *
 * @typedef {{get: (name: string) => any, set: (name: string, value: any) => void,
 *   save_changes: () => void, on: Function, off: Function, send: Function}} Model
 */

// Every widget of a page has a module, and so a count, of its own: what they count needs a name.
const glModule = Math.random().toString(36).slice(2);
let glSerial = 0;

/** A unique id for ARIA references. @param {string} stem */
const uid = (stem) => `gl-${stem}-${glModule}-${++glSerial}`;

/**
 * An element. `on` holds listeners, `style` custom properties; other entries are attributes.
 * @param {string} tag @param {Record<string, any>} [attrs] @param {...(Node|string|null)} children
 */
function h(tag, attrs = {}, ...children) {
  const space = /^(svg|path|line|text|rect|circle|g|title)$/.test(tag) && attrs.svg !== false;
  const node = space
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attrs)) {
    if (name === "on") for (const [type, f] of Object.entries(value)) node.addEventListener(type, f);
    else if (name === "style") for (const [k, v] of Object.entries(value)) node.style.setProperty(k, v);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, String(value));
  }
  for (const child of children) if (child !== null) node.append(child);
  return node;
}

/** Sets attributes, dropping those that are null. @param {Element} node @param {object} attrs */
function put(node, attrs) {
  for (const [name, value] of Object.entries(attrs)) {
    if (value === null) node.removeAttribute(name);
    else node.setAttribute(name, String(value));
  }
}

const clamp = (x, low, high) => Math.max(low, Math.min(high, x));
const MINUS = "\u2212";

/** Fixed decimals, without a sign of what is rounded to zero; what is not finite, in words. @param {number} x @param {number} n */
const fixed = (x, n) => (!Number.isFinite(x) ? figure(x) : Number(x.toFixed(n)) === 0 ? (0).toFixed(n) : x.toFixed(n).replace("-", MINUS));

/** @param {number} n */
const integer = (n) => Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, ",").replace("-", MINUS);

/** A number as JavaScript writes it with the signs of print: 1e-7 as 1e\u22127, 1e+30 as 1e30. @param {string} text */
const printed = (text) => text.replace("e+", "e").replaceAll("-", MINUS);

/** Three significant digits, powers of ten beyond the readable range. @param {number} x */
function figure(x) {
  if (x === null || x === undefined) return "";
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "\u221e" : `${MINUS}\u221e`;
  if (x === 0) return "0";
  const size = Math.abs(x);
  return printed(size >= 1e5 || size < 1e-3 ? x.toExponential(2).replace(/\.?0*e/, "e") : String(Number(x.toPrecision(3))));
}

/** The same with its zeros at the end, so that a column of them lines up. @param {number} x */
const aligned = (x) => (x && Math.abs(x) >= 1e-3 && Math.abs(x) < 999.5 ? x.toPrecision(3).replace("-", MINUS) : figure(x));

/** A size of files and tensors with a decimal unit: `bytes_in_words` of Python. @param {number} n */
function bytes(n) {
  const units = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"];
  let power = 0;
  while (n >= 999.5 && power < units.length - 1) { n /= 1000; power += 1; }
  return `${power ? n.toFixed(n < 99.95 ? 1 : 0) : n} ${units[power]}`;
}

/** A relative error as a percentage with fixed decimals, so that a column of them lines up. */
const percent = (x) => (!Number.isFinite(x) ? figure(x) : x === 0 ? "0 %" : x < 0.00005 ? "<0.01 %" : `${(100 * x).toFixed(2)} %`);

/** Black or white, whichever can be read better on a colour: where both are alike, at 0.179, 4.6 to 1 (WCAG). @param {Iterable<number>} rgb */
const inkOn = (rgb) => {
  const [r, g, b] = Array.from(rgb, (v) => (v <= 10 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
};

/** A binary trait as a typed array (views may start at any byte). @param {any} data */
function typed(Type, data) {
  if (!data || !data.byteLength) return new Type(0);
  const view = data.buffer ? data : new DataView(data);
  return new Type(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

/** Calls `f` at most once per frame. @param {() => void} f */
function perFrame(f) {
  let asked = 0;
  return () => {
    if (asked) return;
    asked = requestAnimationFrame(() => { asked = 0; f(); });
  };
}

/**
 * A function that calls `f` in the next frame in which the node has a width. JupyterLab takes its
 * page away for one frame when the theme changes: no ResizeObserver sees that, and what is drawn
 * then has no size. A node that stays away is given up; its observer calls when it is back.
 * @param {Element} node @param {() => void} f
 */
function whenSeen(node, f) {
  let patience = 0;
  const look = perFrame(() => { if (node.clientWidth) f(); else if (patience-- > 0) look(); });
  return () => { patience = 10; look(); };
}

/** Calls `f` when the node has got a size, and whenever that changes; gives the way to stop. */
function onSize(node, f) {
  const watch = new ResizeObserver(whenSeen(node, f));
  watch.observe(node);
  return () => watch.disconnect();
}

/** Calls `f` when the node has got a width, and whenever that changes; gives the way to stop. */
function onWidth(node, f) {
  let wide = 0;
  const watch = new ResizeObserver(() => {
    if (Math.abs(node.clientWidth - wide) < 2) return;
    wide = node.clientWidth;
    f();
  });
  watch.observe(node);
  return () => watch.disconnect();
}

/** Runs `f` after `ms` without another call. @param {(...a: any[]) => void} f @param {number} ms */
function debounced(f, ms) {
  let timer = 0;
  return (...args) => { clearTimeout(timer); timer = setTimeout(() => f(...args), ms); };
}

/**
 * Rows that exist only while they can be seen. Rows are `height` pixels unless `place` and `find`
 * say otherwise.
 * @param {{scroller: HTMLElement, body: HTMLElement, count: () => number, height: number,
 *   draw: (i: number) => HTMLElement, place?: (i: number) => [number, number],
 *   find?: (y: number) => number, top?: () => number}} spec
 */
function virtualList(spec) {
  const { scroller, body, count, height, draw } = spec;
  const place = spec.place ?? ((i) => [i * height, height]);
  const find = spec.find ?? ((y) => Math.floor(y / height));
  const above = spec.top ?? (() => body.offsetTop);
  /** @type {Map<number, HTMLElement>} */
  const alive = new Map();
  const total = () => { const n = count(); return n ? place(n - 1)[0] + place(n - 1)[1] : 0; };
  function paint() {
    if (!scroller.clientWidth) { repaint(); return; }
    const n = count();
    const y = scroller.scrollTop - above();
    const first = n ? clamp(find(Math.max(y, 0)) - 4, 0, n - 1) : 0;
    const last = n ? clamp(find(Math.max(y, 0) + scroller.clientHeight) + 4, 0, n - 1) : -1;
    for (const [i, node] of alive) if (i < first || i > last) { node.remove(); alive.delete(i); }
    for (let i = first; i <= last; i++) {
      if (alive.has(i)) continue;
      const node = draw(i);
      node.style.transform = `translateY(${place(i)[0]}px)`;
      alive.set(i, node);
      body.append(node);
    }
  }
  const repaint = whenSeen(scroller, paint);
  scroller.addEventListener("scroll", repaint, { passive: true });
  const close = onSize(scroller, paint);
  return {
    alive,
    paint,
    /** Draws everything anew. */
    refresh() {
      for (const node of alive.values()) node.remove();
      alive.clear();
      body.style.height = `${total()}px`;
      paint();
    },
    /** @param {number} i @param {number} [under] pixels covered by a sticky header */
    reveal(i, under = 0) {
      if (i < 0 || i >= count()) return;
      const [y, tall] = place(i);
      const top = y + above();
      if (top - under < scroller.scrollTop) scroller.scrollTop = top - under;
      else if (top + tall > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + Math.min(tall, scroller.clientHeight) - scroller.clientHeight;
      paint();
    },
    /** Rows in one page. */
    page: () => Math.max(1, Math.floor(scroller.clientHeight / height) - 2),
    close,
  };
}

/** What the user is told in words, without the name of the panel: nothing is broken. */
class Told extends Error {}

const ZEROS = "not defined: the reference is all zeros";
const GONE = "The kernel that made this panel does not run any more, so it cannot answer. Run its cell again.";

/** Copies a text; a browser gives no clipboard to pages without https. @param {string} instead what else can be done */
async function copyText(text, instead) {
  try { await navigator.clipboard.writeText(text); } catch {
    throw new Told(`Nothing was copied: the browser lets pages copy over https or from localhost only. ${instead}`);
  }
}

/**
 * The frame of a panel: root, one error area, questions to the kernel, cleaning up. Where no kernel
 * runs any more, `ask` and `save` say so: an answer never comes then.
 * @param {string} name
 * @param {(p: {model: Model, root: HTMLElement, viewId: string, ask: (q: object) => Promise<any>,
 *   on: (names: string, f: () => void) => void, save: (v: object) => void,
 *   safe: (f: Function) => any, say: (text: string) => void, leave: (f: () => void) => void}) => void} build
 */
function panel(name, build) {
  function render({ model, el }) {
    const leaving = [];
    const text = h("span", { class: "gl-error-text" });
    const close = h("button", { class: "gl-button", type: "button", "aria-label": "Dismiss the error" }, "Dismiss");
    const area = h("div", { class: "gl-error", role: "alert", hidden: "" }, text, close);
    const live = h("div", { class: "gl-live", role: "status", "aria-live": "polite" });
    const root = h("section", { class: `gl-panel gl-${name}`, "aria-label": model.get("label") || name, "data-lm-suppress-shortcuts": "true" });
    el.replaceChildren(root);
    root.append(area, live);
    const fail = (message) => { text.textContent = message; area.hidden = !message; };
    const report = (error) => {
      fail(error instanceof Told ? error.message : `${name}: ${error}`);
      if (!(error instanceof Told)) console.error(error);
    };
    /** Wraps a handler: what it throws, at once or later, is shown in the error area. */
    const safe = (f) => (...args) => {
      try {
        const made = f(...args);
        return made instanceof Promise ? made.catch(report) : made;
      } catch (error) { report(error); return undefined; }
    };
    close.addEventListener("click", () => { fail(""); model.set("error", ""); model.save_changes(); });
    const on = (names, f) => {
      const guarded = safe(f);
      for (const key of names.split(" ")) {
        model.on(`change:${key}`, guarded);
        leaving.push(() => model.off(`change:${key}`, guarded));
      }
    };
    // What the kernel answers reaches every view of a panel, also those in other windows.
    const viewId = Math.random().toString(36).slice(2);
    const waiting = new Map();
    const receive = (message, buffers) => {
      const done = waiting.get(message?.id);
      if (!done) return;
      waiting.delete(message.id);
      done({ ...message, buffers });
    };
    model.on("msg:custom", receive);
    leaving.push(() => model.off("msg:custom", receive));
    /** Sends a message; without a kernel what is seen is grey from then on. Whether it went. */
    const reached = (message) => {
      let there = true;
      try { model.send(message); } catch { there = false; }
      root.classList.toggle("gl-stale", !there);
      put(root, { title: there ? null : GONE });
      return there;
    };
    const ask = (question) => new Promise((done) => {
      const id = `${viewId}-${uid("ask")}`;
      waiting.set(id, done);
      if (!reached({ ...question, id })) fail(GONE);
    });
    const look = () => reached({});
    model.on("comm_live_update", look); // the word of JupyterLab for a kernel that came or went
    leaving.push(() => model.off("comm_live_update", look));
    /** What is saved goes nowhere without a kernel, and nobody says so: a message does. */
    const verify = debounced(() => { if (!look()) fail(GONE); }, 200);
    const save = (values) => {
      for (const [key, value] of Object.entries(values)) model.set(key, value);
      model.save_changes();
      verify();
    };
    const size = () => {
      const tall = model.get("height");
      if (tall) root.style.setProperty("--gl-height", `${tall}px`);
    };
    on("height", size);
    on("error", () => fail(model.get("error")));
    size();
    fail(model.get("error"));
    // Shortcuts of the notebook (and of the page) must not see the keys of a panel. Notebook 7 sees
    // them before the panel does, and matches what has the focus before it looks further up.
    root.addEventListener("keydown", (event) => event.stopPropagation());
    root.addEventListener("focusin", (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true"));
    safe(() => build({ model, root, viewId, ask, on, save, safe, say: (t) => { live.textContent = t; }, leave: (f) => leaving.push(f) }))();
    return () => leaving.forEach((f) => f());
  }
  return { render };
}
