/** Will it run: settings, the answer in words, bars against what there is, tables, formulas. */

export default panel("running", (p) => {
  const { model, root, on, save, safe } = p;
  const wrong = new Map(); // field -> what is wrong with what stands in it
  const judge = (input, words) => {
    put(input, { "aria-invalid": words ? true : null });
    if (words) wrong.set(input, words);
    else wrong.delete(input);
  };
  const number = (trait, label, attrs, text = label) => {
    const input = h("input", { type: "number", "aria-label": label, ...attrs });
    const back = () => { input.value = model.get(trait); judge(input, ""); };
    input.addEventListener("change", safe(() => {
      const value = Number(input.value);
      if (input.value === "" || !Number.isFinite(value) || value < attrs.min) back();
      else if (value > attrs.max) judge(input, `${label}: ${input.value} is too much, at most ${integer(attrs.max)} can be counted.`);
      else { judge(input, ""); save({ [trait]: attrs.step === "any" ? value : Math.round(value) }); }
      show();
    }));
    on(trait, back);
    back();
    return h("label", { class: "gl-setting" }, text, input);
  };
  const list = uid("contexts"), choices = model.get("choices");
  const context = number("context", "Tokens of context", { min: 1, max: choices.most, step: 1, list }, "context (tokens)");
  context.append(h("datalist", { id: list }, ...choices.contexts.map((n) => h("option", { value: n }))));
  const kind = h("select", { "aria-label": "Type of keys and values" });
  kind.append(...choices.types.map((t) => h("option", { value: t }, t)));
  kind.addEventListener("change", safe(() => save({ kv_type: kind.value })));
  const showKind = () => { kind.value = model.get("kv_type"); };
  on("kv_type", showKind);
  showKind();
  const gpus = h("input", { type: "text", class: "gl-gpus", placeholder: "none", "aria-label": "Memory of each GPU in GiB, separated by commas and spaces; empty: no GPU" });
  gpus.addEventListener("change", safe(() => {
    // A comma alone may be the decimal sign of another country: it is not guessed.
    const sizes = gpus.value.split(/;|,?\s+/).filter(Boolean).map(Number);
    const bad = sizes.some((s) => !(s > 0 && s < 1e6)) || sizes.length > 16;
    judge(gpus, bad ? `\u201c${gpus.value}\u201d is no memory of GPUs: give the GiB of each, such as 24, or 24, 12 (with a space), or 23.5 (with a point), of 16 at most; nothing for no GPU.` : "");
    if (!bad) save({ gpus: sizes });
    show();
  }));
  const layers = number("gpu_layers", "Layers on GPUs", { min: 0, max: 1e6, step: 1 }, "layers on GPUs");
  const showGpus = () => { gpus.value = model.get("gpus").join(", "); layers.hidden = !model.get("gpus").length; };
  on("gpus", showGpus);
  showGpus();
  const form = h("div", { class: "gl-settings", role: "group", "aria-label": "Settings" }, context,
    h("label", { class: "gl-setting" }, "cache", kind),
    number("parallel", "Sequences at the same time", { min: 1, max: 256, step: 1 }, "sequences"),
    number("capacity", "Memory of the machine in GiB", { min: 0, max: 1e6, step: "any" }, "memory (GiB)"),
    h("label", { class: "gl-setting" }, "GPUs (GiB each)", gpus), layers);
  const answer = h("div", { class: "gl-answer", role: "status", "aria-live": "polite" });
  const bars = h("div", { class: "gl-devices" });
  const left = h("div"), right = h("div");
  const below = h("div", { class: "gl-run-tables" }, left, right);
  const body = h("div", { class: "gl-scroll gl-run-body", tabindex: 0, role: "group", "aria-label": "The count" }, answer, bars, below);
  root.append(h("div", { class: "gl-bar" }, h("h3", { class: "gl-title" }, "Will it run"), form), body);

  const table = (caption, head, rows) => h("table", { class: "gl-plain" }, h("caption", {}, caption),
    h("thead", {}, h("tr", {}, ...head.map((t) => h("th", { scope: "col" }, t)))),
    h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map((cell, k) => (k ? h("td", { class: cell.bad ? "gl-toobig" : null }, cell.text ?? cell) : h("th", { scope: "row" }, cell)))))));

  function device(d) {
    const most = Math.max(d.room, d.total, 1);
    const bar = h("div", { class: "gl-stack", role: "img", "aria-label": `${d.name}: ${d.words}: ${d.parts.map(([, l, , t]) => `${l} ${t}`).join(", ")}` });
    d.parts.forEach(([key, label, size, text]) => {
      if (size) bar.append(h("span", { class: `gl-bar-part gl-part-${key}`, title: `${label}: ${text}`, style: { width: `${(100 * size) / most}%` } }));
    });
    bar.append(h("span", { class: "gl-bar-limit", title: "what there is", style: { left: `${(100 * d.room) / most}%` } }));
    return h("div", { class: "gl-device" },
      h("div", { class: "gl-device-head" }, h("b", {}, d.name), h("span", {}, `${d.total <= d.room ? "\u2713 fits" : "\u2717 too much"}: ${d.words}`)), bar,
      h("ul", { class: "gl-parts" }, ...d.parts.flatMap(([key, label, size, text]) => (size ? [h("li", {}, h("span", { class: `gl-swatch gl-part-${key}`, "aria-hidden": "true" }), `${label} ${text}`)] : []))));
  }
  function show() {
    const r = model.get("result");
    const bad = [...wrong.values()][0] || r.problem; // an answer to what stood there before is none
    answer.textContent = bad ? bad : `${r.answer} ${r.most}`.trim();
    answer.classList.toggle("gl-no", Boolean(bad || !r.fits));
    bars.hidden = below.hidden = Boolean(bad);
    if (bad) return;
    bars.replaceChildren(...r.devices.map(device));
    const facts = h("dl", { class: "gl-lines" }, ...r.facts.map(([k, v]) => h("div", {}, h("dt", {}, k), h("dd", {}, v))));
    const c = r.contexts;
    left.replaceChildren(facts, h("h4", {}, "How it is counted"), h("ul", { class: "gl-formulas" }, ...r.formulas.map((f) => h("li", {}, f))));
    const tables = [];
    if (c.types?.length) tables.push(table("Total by context and type of the cache", ["context", ...c.types], c.rows.map(([n, cells]) => [integer(n), ...cells.map(([t, ok]) => ({ text: `${ok ? "\u2713" : "\u2717"} ${t}`, bad: !ok }))])));
    const heads = ["machine", "memory", "model", "bandwidth"];
    if (r.generates) heads.push("tokens/s at most, empty", "full context");
    tables.push(table(r.generates ? "Known machines: bandwidth / bytes read for a token" : "Known machines", heads, r.machines.map((row) => row.slice(0, heads.length).map((cell, k) => (k === 2 ? { text: `${cell === "fits" ? "\u2713" : "\u2717"} ${cell}`, bad: cell !== "fits" } : cell)))));
    right.replaceChildren(...tables);
  }
  on("result", perFrame(safe(show)));
  show();
});
