/** What a file is: facts, size by kind and type, bits by layer, findings. */
export default panel("overview", (p) => {
  const { model, root, on, save, safe } = p;
  const named = h("dl", { class: "gl-lines" }), facts = h("dl", { class: "gl-lines" });
  const warnings = h("div");
  const kinds = h("div", { class: "gl-kinds" }), bits = h("div", { class: "gl-bits" });
  const verdict = h("p", { class: "gl-verdict-line", role: "status", "aria-live": "polite" });
  const found = h("ul", { class: "gl-findings" });
  const skipped = h("details", { class: "gl-skipped" });
  const shards = h("details");
  const part = (title, ...nodes) => h("section", { class: "gl-over-part", "aria-label": title }, h("h4", {}, title), ...nodes);
  const byLayer = part("Bits per weight by layer", bits);
  const unusual = part("What is unusual", verdict, found, skipped);
  const body = h("div", { class: "gl-scroll gl-over", tabindex: 0, role: "group", "aria-label": "Overview" },
    warnings, h("div", { class: "gl-over-columns" },
      h("div", {}, part("The file", facts, shards), part("Its name says", named)),
      h("div", {}, unusual, part("Size by kind and type", kinds), byLayer)));
  root.append(h("div", { class: "gl-bar" }, h("h3", { class: "gl-title" }, "Overview")), body);
  const pairs = (rows) => rows.map(([k, v]) => h("div", {}, h("dt", {}, k), h("dd", {}, v)));
  const swatch = (k, n) => h("span", { class: `gl-swatch gl-type-${Math.min(k, n - 1)}`, "aria-hidden": "true" });

  function showSizes() {
    const { types, by_type, rows, colours } = model.get("sizes");
    if (!rows.length) { kinds.replaceChildren("The file has no tensors."); return; }
    const most = Math.max(1, ...rows.map((r) => r.total)), all = Math.max(1, by_type.reduce((a, b) => a + b, 0));
    kinds.replaceChildren(
      h("div", { class: "gl-type-legend" }, ...types.map((t, k) => h("span", {}, swatch(k, colours), `${t} ${bytes(by_type[k])}`))),
      ...rows.map((row) => {
        const told = row.parts.map(([k, size, n]) => `${types[k]} ${bytes(size)} in ${integer(n)} ${n === 1 ? "tensor" : "tensors"}`).join(", ");
        const percent = (100 * row.total) / all, share = `${percent && percent < 0.05 ? "<0.1" : percent.toFixed(1)} %`;
        return h("div", { class: "gl-kind-line", role: "img", "aria-label": `${row.kind}: ${bytes(row.total)}, ${share}: ${told}` },
          h("span", { class: "gl-kind-name gl-code", title: row.kind }, h("span", {}, row.kind.slice(0, -7)), h("span", {}, row.kind.slice(-7))),
          h("span", { class: "gl-kind-bar", title: told }, ...row.parts.filter((x) => x[1]).map(([k, size]) => h("span", { class: `gl-type-${Math.min(k, colours - 1)}`, style: { width: `${(100 * size) / most}%` } }, (100 * size) / most > 16 ? types[k] : ""))),
          h("span", { class: "gl-kind-size" }, `${bytes(row.total)} \u00b7 ${share}`));
      }));
  }
  function showBits() {
    const rows = model.get("layers").filter((r) => r[0] !== null), outside = model.get("layers").find((r) => r[0] === null);
    const parts = [];
    if (outside) parts.push(h("p", { class: "gl-muted" }, `outside the layers: ${outside[1].toFixed(2)} bits per weight, ${bytes(outside[2])}`));
    if (rows.length) {
      const most = Math.max(...rows.map((r) => r[1])), least = Math.min(...rows.map((r) => r[1]));
      const say = ([layer, b, size]) => `layer ${layer}: ${b.toFixed(2)} bits per weight, ${bytes(size)}`;
      const readout = h("div", { class: "gl-muted gl-bits-readout", "aria-live": "polite" });
      const span = [...new Set([least, most].map((b) => b.toFixed(2)))].join(" to ");
      const idle = `layers ${rows[0][0]} to ${rows.at(-1)[0]}: ${span} bits \u00b7 point at one or use the arrow keys`;
      let at = -1;
      const plot = h("div", { class: "gl-bits-plot", tabindex: 0, role: "group", "aria-roledescription": "bar chart", "aria-label": `Bits per weight by layer, ${idle}` },
        ...rows.map((row) => h("span", { title: say(row) }, h("span", { style: { height: `${(100 * row[1]) / most}%` } }))));
      const point = (k) => {
        plot.children[at]?.classList.remove("gl-at");
        at = k;
        plot.children[at]?.classList.add("gl-at");
        readout.textContent = at < 0 ? idle : say(rows[at]);
      };
      plot.addEventListener("pointermove", safe((e) => { const k = [...plot.children].indexOf(e.target.closest(".gl-bits-plot > span")); if (k >= 0) point(k); }));
      plot.addEventListener("pointerleave", safe(() => point(-1)));
      plot.addEventListener("keydown", safe((e) => {
        const step = { ArrowRight: 1, ArrowLeft: -1, Home: -1e9, End: 1e9 }[e.key];
        if (step === undefined) return;
        e.preventDefault();
        point(clamp(at + step, 0, rows.length - 1));
      }));
      point(-1);
      parts.push(h("div", { class: "gl-bits-frame" }, h("span", { class: "gl-bits-top" }, most.toFixed(1)), h("span", { class: "gl-bits-zero" }, "0"), plot), readout);
    }
    bits.replaceChildren(...parts);
    byLayer.hidden = !parts.length;
  }
  let links = [];
  /** In a workbench a link opens another tab; alone it is seen that the tensor is selected. */
  function mark() { for (const [link, tensor] of links) put(link, { "aria-pressed": tensor === model.get("selected")[0] }); }
  function showFindings() {
    links = [];
    verdict.textContent = model.get("verdict");
    unusual.hidden = !model.get("verdict");
    found.replaceChildren(...model.get("findings").map(([severity, rule, where, what, advice, tensor]) => {
      const place = tensor === null ? h("span", { class: "gl-code" }, where) : h("button", { class: "gl-link gl-code", type: "button", title: "Select this tensor" }, where);
      if (tensor !== null) {
        links.push([place, tensor]);
        place.addEventListener("click", safe(() => save({ selected: [tensor], jumps: model.get("jumps") + 1 })));
      }
      return h("li", { class: `gl-finding gl-finding-${severity}` }, h("span", { class: "gl-severity" }, severity), " ", place, " ", h("span", {}, /[.!?]$/.test(what) ? what : `${what}.`), advice ? h("span", { class: "gl-muted" }, ` ${advice}`) : null, h("span", { class: "gl-chip", title: "the rule that found it" }, rule));
    }));
    mark();
    const rules = model.get("skipped");
    skipped.hidden = !rules.length;
    skipped.replaceChildren(h("summary", {}, "Rules not asked, and why"), h("ul", {}, ...rules.map(([rule, why]) => h("li", {}, h("span", { class: "gl-code" }, rule), `: ${why}`))));
  }
  function showFile() {
    facts.replaceChildren(...pairs(model.get("facts")));
    named.replaceChildren(...pairs(model.get("named")));
    warnings.replaceChildren(...model.get("warnings").map((w) => h("p", { class: "gl-warning", role: "note" }, `\u26a0 ${w}`)));
    const files = model.get("shards");
    shards.hidden = !files.length;
    shards.replaceChildren(h("summary", {}, `${files.length} shards`), h("ul", {}, ...files.map(([name, n, size]) => h("li", {}, h("span", { class: "gl-code" }, name), ` ${integer(n)} tensors, ${size}`))));
  }
  on("facts named warnings shards", perFrame(safe(showFile)));
  on("sizes", perFrame(safe(showSizes)));
  on("layers", perFrame(safe(showBits)));
  on("selected", () => mark());
  on("findings verdict skipped", perFrame(safe(showFindings)));
  showFile(); showSizes(); showBits(); showFindings();
});
