/** Axes with round numbers, and groups of buttons of which one is pressed. */
/** Round positions between two numbers. @param {number} low @param {number} high @param {number} about */
function ticks(low, high, about) {
  const rough = (high - low) / Math.max(1, about);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const out = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) out.push(k === 0 ? 0 : k * step);
  return out;
}

/** Numbers of one axis with the same decimals, and the power of ten they share. */
function axis(values) {
  const most = Math.max(...values.map(Math.abs));
  const power = most >= 1e4 || (most && most < 1e-2) ? 3 * Math.floor(Math.log10(most) / 3) : 0;
  const scaled = values.map((v) => v / 10 ** power);
  const decimals = clamp(Math.max(...scaled.map((v) => (String(Number(v.toPrecision(6))).split(".")[1] ?? "").length)), 0, 4);
  return { labels: scaled.map((v) => v.toFixed(decimals).replace("-", MINUS)), power };
}
const superscript = (n) => String(n).replace(/[-\d]/g, (c) => (c === "-" ? "\u207b" : "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"[Number(c)]));
const unitOf = (power) => (power ? ` (\u00d7 10${superscript(power)})` : "");

/** A group of buttons of which one is pressed. */
function choice({ model, save, on, safe }, trait, label, options) {
  const group = h("span", { class: "gl-seg", role: "group", "aria-label": label });
  for (const [value, text, title] of options) {
    const button = h("button", { class: "gl-button", type: "button", title }, text);
    button.addEventListener("click", safe(() => save({ [trait]: value })));
    button.value_ = value;
    group.append(button);
  }
  const show = () => { for (const b of group.children) put(b, { "aria-pressed": b.value_ === model.get(trait) }); };
  on(trait, show);
  show();
  return group;
}
