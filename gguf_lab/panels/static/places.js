/**
 * Where one is in a model: a list of tensors, and row and column of the selected weight as numbers.
 * The traits: `choices`, `selected`, `cell`, `facts`; `progress` is a line with a button to cancel.
 */

/** The list of tensors. @param {any} p what `panel` gives */
function tensorChoice({ model, on, save, safe }) {
  const list = h("select", { class: "gl-tensor", "aria-label": "Tensor" });
  list.addEventListener("change", safe(() => save({ selected: [list.value] })));
  function fill() {
    list.replaceChildren(...model.get("choices").map(([name, words]) => h("option", { value: name }, words)));
    show();
  }
  function show() {
    const name = model.get("selected")[0];
    const known = model.get("choices").some((c) => c[0] === name);
    if (name !== undefined && !known) list.append(h("option", { value: name }, model.get("facts").label ?? ""));
    if (name === undefined) list.selectedIndex = -1;
    else list.value = name;
  }
  on("choices", fill);
  on("selected facts", perFrame(show));
  fill();
  return list;
}

/** Row and column as numbers that can be typed. */
function cellChoice({ model, on, save, safe }) {
  const inputs = ["row", "column"].map((word) => h("input", { type: "number", min: 0, step: 1, class: "gl-place", "aria-label": `Go to ${word}` }));
  inputs.forEach((input, k) => input.addEventListener("change", safe(() => {
    const most = model.get("facts")[k ? "n_columns" : "n_rows"] - 1;
    const cell = [...model.get("cell")];
    cell[k] = clamp(Math.round(Number(input.value)) || 0, 0, most);
    input.value = cell[k];
    save({ cell });
  })));
  const show = () => inputs.forEach((input, k) => {
    put(input, { max: (model.get("facts")[k ? "n_columns" : "n_rows"] ?? 1) - 1 });
    input.value = model.get("cell")[k];
  });
  on("cell facts", perFrame(show));
  show();
  return h("span", { class: "gl-places" }, h("label", {}, "row ", inputs[0]), h("label", {}, "column ", inputs[1]));
}

/** What takes long. */
function progressLine({ model, on, ask, safe }) {
  const fill = h("div", { class: "gl-share-fill" }), words = h("span", {});
  const bar = h("div", { class: "gl-share", role: "progressbar", "aria-label": "Reading", "aria-valuemin": 0, "aria-valuemax": 100 }, fill);
  const stop = h("button", { class: "gl-button", type: "button" }, "Cancel");
  stop.addEventListener("click", safe(() => ask({ ask: "cancel" })));
  const line = h("div", { class: "gl-work" }, bar, words, stop);
  const show = () => {
    const { words: text, share } = model.get("progress");
    line.style.visibility = text ? "visible" : "hidden";
    words.textContent = text ? `${text}: ${Math.floor(100 * share)} %` : "";
    put(bar, { "aria-valuenow": Math.floor(100 * (share ?? 0)) });
    fill.style.width = `${100 * (share ?? 0)}%`;
  };
  on("progress", show);
  show();
  return line;
}

/** Blue, ground, red: the colours of values around 0 for a theme, as bytes. */
function ramp(node) {
  const ground = getComputedStyle(node).backgroundColor;
  const [r, g, b] = ground.match(/[\d.]+/g).map((x) => Number(x) * (ground.startsWith("color(") ? 255 : 1));
  const dark = 0.3 * r + 0.59 * g + 0.11 * b < 128;
  const ends = dark ? [[96, 176, 255], [24, 24, 26], [255, 112, 96]] : [[20, 88, 166], [252, 252, 252], [178, 20, 40]];
  const table = new Uint8ClampedArray(3 * 513);
  for (let k = 0; k <= 512; k++) {
    const t = (k - 256) / 256, end = t < 0 ? ends[0] : ends[2], part = Math.abs(t) ** 0.8;
    for (let c = 0; c < 3; c++) table[3 * k + c] = ends[1][c] + part * (end[c] - ends[1][c]);
  }
  const at = (t) => { const k = 3 * (256 + Math.round(256 * clamp(t, -1, 1))); return table.subarray(k, k + 3); };
  return { table, dark, css: (t) => `rgb(${at(t)})`, ink: (t) => inkOn(at(t)) };
}

const NAN = 1, MARKS = { dark: [[255, 0, 255], [0, 255, 120]], light: [[214, 0, 214], [0, 140, 60]] };

/** The colour of what is no finite number. @param {number} mark NAN, or any other for infinities */
const markColour = (mark, { dark }) => MARKS[dark ? "dark" : "light"][mark & NAN ? 0 : 1];
const MARK_WORDS = ["magenta: NaN", "green: inf"];

/** Calls `f` when the theme of the page, or of the system, has changed and the node can be seen. */
function onTheme(node, f) {
  const changed = whenSeen(node, f), watch = new MutationObserver(changed);
  watch.observe(document.body, { attributes: true, attributeFilter: ["class", "data-jp-theme-light", "data-jp-theme-name"] });
  const system = ["(forced-colors: active)", "(prefers-color-scheme: dark)"].map((query) => matchMedia(query));
  for (const query of system) query.addEventListener("change", changed);
  return () => { watch.disconnect(); for (const query of system) query.removeEventListener("change", changed); };
}

/** A number as brief as four digits allow, for tables. */
const brief = (x) => (Number.isFinite(x) && x !== 0 ? printed(Math.abs(x) < 1e-4 || Math.abs(x) >= 1e5 ? x.toExponential(2) : String(Number(x.toPrecision(4)))) : figure(x));

/** A float32 in as few digits as tell it from all others. */
function single(x) {
  for (let digits = 6; digits < 10; digits++) {
    const text = x.toPrecision(digits);
    if (Math.fround(Number(text)) === x) return printed(String(Number(text)));
  }
  return figure(x);
}
