/** The picture of a tensor, with tools above it and the numbers behind below. */
export default panel("tensor-view", (p) => {
  const { model, root, on, ask, save, safe } = p;
  const sides = () => {
    const { compared } = model.get("facts"), show = model.get("show");
    return !compared ? ["quantized"] : show === "all" ? ["quantized", "original", "difference"] : [show];
  };
  const remark = h("div", { class: "gl-note gl-remark" }), empty = h("div", { class: "gl-empty" });
  const readout = h("div", { class: "gl-readout" }), state = h("span", { class: "gl-coarse" });
  const again = h("button", { class: "gl-button", type: "button" }, "Read all rows");
  const scale = h("canvas", { width: 200, height: 12, class: "gl-scale", "aria-hidden": "true" }), ends = h("span", {}), legend = h("div", { class: "gl-legend" }, scale, ends);
  const picture = h("div", { class: "gl-picture" });
  const body = h("div", { class: "gl-view-body" }, picture), parts = h("div", { class: "gl-parts" });
  const hint = "Point at a cell, or walk with the arrow keys";

  function drawn(pic) {
    const [, , , , tall, wide] = pic.region, first = pic.parts.find((q) => q.side !== "difference"), last = pic.parts.find((q) => q.side === "difference");
    const cell = tall * wide === 1 ? "one cell is one weight" : `one cell is ${integer(tall)} \u00d7 ${integer(wide)} weights (${pic.how === "mean" ? "their mean" : "the largest magnitude"})`;
    state.textContent = pic.sampled ? `\u26a0 coarse: one row read of every ${integer(tall)}` : cell;
    state.classList.toggle("gl-warned", pic.sampled);
    again.hidden = true;
    if (pic.sampled || stopped()) waiting();
    const tell = (part, words) => {
      let beyond = 0;
      for (const v of part.cells) if (Math.abs(v) > part.limit) beyond++;
      if (!part.cells.some(Number.isFinite)) return `${words}: no finite value`;
      const share = beyond ? `, ${figure((100 * beyond) / part.cells.length)} % of the cells beyond` : "";
      return part.limit ? `${words} ${figure(-part.limit)} \u2026 0 \u2026 +${figure(part.limit)}${share}` : `${words}: all 0`;
    };
    const odd = MARK_WORDS.filter((_, k) => pic.parts.some((part) => part.marks.some((m) => m & (1 << k))));
    ends.textContent = [first && tell(first, "value"), last && tell(last, "difference"), ...odd].filter(Boolean).join(" \u00b7 ");
    const pen = scale.getContext("2d"), colours = ramp(root);
    for (let x = 0; x < 200; x++) { pen.fillStyle = colours.css(x / 99.5 - 1); pen.fillRect(x, 0, 1, 12); }
    if (!limit.matches(":focus")) limit.value = model.get("limit") || "";
    limit.placeholder = first?.limit ? `auto ${figure(first.limit)}` : "auto";
    limit.title = `End of the colour scale: ${first?.limit || "automatic"}`;
  }
  const warned = () => state.classList.contains("gl-warned"), stopped = () => Boolean(model.get("summary").stopped);
  /** A picture that is coarse or old because its reading was stopped, and what needs all rows, can be asked for again. */
  const waiting = () => { again.hidden = Boolean(model.get("progress").words) || !(warned() || stopped()); };
  on("progress summary", debounced(waiting, 400));

  /** The reading was cancelled, or failed. */
  function unread() {
    state.textContent = "\u26a0 not read";
    state.classList.add("gl-warned");
    waiting();
  }
  const heat = heatmap(p, { sides, drawn, unread, peek: (words) => { readout.textContent = words; } });
  again.addEventListener("click", safe(() => {
    if (stopped()) ask({ ask: "survey" });
    if (warned()) heat.again();
  }));
  const button = (text, title, f) => h("button", { class: "gl-button", type: "button", title, "aria-label": title, on: { click: safe(f) } }, text);
  const limit = h("input", { type: "number", min: 0, step: "any", class: "gl-limit", "aria-label": "End of the colour scale, empty for automatic" });
  limit.addEventListener("change", safe(() => {
    save({ limit: Math.max(0, Number(limit.value) || 0) });
    limit.value = model.get("limit") || "";
  }));
  const { called } = model.get("facts"); // which reference it is stays as it is
  const show = choice(p, "show", "Which values", [
    ["quantized", "quantized", "What the file stores"], ["original", called, `The weights of the ${called}`],
    ["difference", "difference", `Quantized minus ${called}`], ["all", "side by side", "All three"]]);
  root.append(
    h("div", { class: "gl-bar" }, tensorChoice(p), cellChoice(p), show,
      choice(p, "pooling", "A cell of several weights shows", [["extreme", "max |w|", "The weight of the largest magnitude, with its sign"], ["mean", "mean", "The mean of the weights"]]),
      h("span", { class: "gl-seg" }, button("+", "Zoom in", () => heat.zoom(0.5)), button(MINUS, "Zoom out", () => heat.zoom(2)), button("all", "Show the whole tensor", heat.fit), button("1:1", "Zoom to the selected weight", () => heat.reveal(...model.get("cell"), true))),
      progressLine(p)),
    empty, body, remark);
  picture.append(heat.canvas);
  body.append(h("div", { class: "gl-under" }, readout, h("div", { class: "gl-state" }, legend, h("label", { class: "gl-muted" }, "\u00b1 ", limit), state, again)), parts);
  const part = (cls, fill) => { const box = h("div", { class: `gl-part ${cls}` }); parts.append(box); fill(p, box); };
  part("gl-part-corner", cornerTable);
  part("gl-part-values", valueHistogram);
  part("gl-part-worst", worstRows);

  function enter() {
    const facts = model.get("facts");
    empty.hidden = !facts.problem;
    body.hidden = Boolean(facts.problem);
    empty.textContent = facts.problem;
    show.hidden = !facts.compared;
    readout.textContent = hint;
    state.textContent = "reading \u2026";
    ends.textContent = "";
    again.hidden = true;
    remark.textContent = facts.problem ? "" : [`${facts.label}: ${facts.shape}, ${facts.qtype}`, facts.compared ? `${facts.called} ${facts.original}${facts.transform ? ` (${facts.transform})` : ""}` : "", facts.remark].filter(Boolean).join(" \u00b7 ");
    remark.hidden = !remark.textContent;
    remark.title = remark.textContent; // in a narrow panel its end is cut
  }
  on("facts", safe(enter));
  on("show", heat.sides);
  enter();
});
