/** Everything about the selected tensor: what it is, what it was compared with, its errors. */
export default panel("detail", (p) => {
  const { model, root, on } = p;
  const name = h("div", { class: "gl-detail-name gl-code" });
  const facts = h("dl", { class: "gl-detail-facts" });
  const scroll = h("div", { class: "gl-detail-scroll" });
  const empty = h("div", { class: "gl-empty" });
  const hint = h("div", { class: "gl-hint" });
  root.append(h("div", { class: "gl-bar" }, h("h3", { class: "gl-title" }, "Selected tensor")), empty, scroll);
  scroll.append(name, facts);
  const chart = h("div", { class: "gl-detail-chart" });
  scroll.append(chart, hint);
  largeChart(p, chart, { mode: true });
  function show() {
    const rows = model.get("facts");
    empty.hidden = rows.length > 0;
    empty.textContent = model.get("idle");
    scroll.hidden = !rows.length;
    name.textContent = model.get("title");
    facts.replaceChildren(...rows.map(([key, text]) => h("div", {}, h("dt", {}, key), h("dd", {}, text))));
    hint.textContent = model.get("hint");
    hint.hidden = !model.get("hint");
    chart.hidden = !(model.get("chart").label);
  }
  on("facts title hint chart", perFrame(show));
  show();
});
