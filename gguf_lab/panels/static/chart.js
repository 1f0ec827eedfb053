/**
 * The large histogram of one tensor: exact bins as steps, axes with units, figures, what lies beyond.
 * It shows the traits `chart` (words, figures) and `chart_bins` (float64: edges, then counts) and sets
 * `mode`, `extent` and `log_density`.
 */

const modeChoice = (p) => choice(p, "mode", "Unit of the error", [
  ["absolute", "absolute", "Error in the unit of the weights"],
  ["relative", "relative", "Error divided by the root mean square of the reference tensor"],
]);

/**
 * @param {any} p what `panel` gives
 * @param {HTMLElement} box where to draw
 * @param {{mode: boolean}} options whether the unit is chosen here too
 */
function largeChart(p, box, options) {
  const { model, on, safe, leave } = p;
  const tools = h("div", { class: "gl-chart-tools" },
    options.mode ? modeChoice(p) : null,
    choice(p, "extent", "Range of the axis", [["common", "common range", "The same range for all tensors"], ["full", "full range", "All errors of this tensor"]]),
    choice(p, "log_density", "Scale of the density", [[false, "linear", "Linear density"], [true, "log", "Logarithmic density: shows the tails"]]));
  const plot = h("div", { class: "gl-plot", tabindex: 0, role: "group", "aria-roledescription": "histogram" });
  const readout = h("div", { class: "gl-readout", "aria-live": "polite" });
  const facts = h("dl", { class: "gl-figures" });
  const reason = h("div", { class: "gl-verdict" });
  box.append(facts, reason, tools, plot, readout);
  let edges = new Float64Array(0), counts = new Float64Array(0), chart = {}, cursor = -1;
  let toX = (v) => v, hover = null;

  function load() {
    chart = model.get("chart"); // as one with its bins: what comes between is drawn when both are there
    const all = typed(Float64Array, model.get("chart_bins"));
    const n = all.length && chart.limit ? (all.length - 1) / 2 : 0;
    edges = all.slice(0, n && n + 1);
    counts = all.slice(n && n + 1, 2 * n + 1);
    cursor = -1;
    facts.replaceChildren(...(chart.figures ?? []).flatMap(([name, text, title]) => [h("div", { title }, h("dt", {}, name), h("dd", {}, text))]));
    reason.textContent = [chart.doubt, chart.verdict].filter(Boolean).join(" \u00b7 ");
    reason.hidden = !reason.textContent;
    reason.classList.toggle("gl-hatch", Boolean(chart.bad));
    facts.hidden = !chart.figures?.length;
    const drawn = n > 0;
    tools.hidden = plot.hidden = readout.hidden = !drawn;
    put(plot, { "aria-label": drawn ? `Weight-space error of ${chart.label}. ${chart.doubt ? `${chart.doubt}. ` : ""}${(chart.figures ?? []).map(([k, v]) => `${k} ${v}`).join(", ")}. Arrow keys walk through the bins.` : "" });
    paint();
  }

  function paint() {
    const wide = plot.clientWidth, tall = plot.clientHeight;
    if (!edges.length || wide < 80 || tall < 60) { plot.replaceChildren(); return; }
    const log = model.get("log_density");
    const m = { left: 58, right: 24, top: 16, bottom: 40 };
    const w = wide - m.left - m.right, t = tall - m.top - m.bottom;
    const limit = chart.limit;
    const inside = (v) => clamp(v, -limit, limit);
    toX = (v) => m.left + ((inside(v) + limit) / (2 * limit)) * w;
    const density = Array.from(counts, (c, i) => c / chart.total / (edges[i + 1] - edges[i]));
    const most = Math.max(...density);
    const positive = density.filter((d) => d > 0);
    const least = Math.min(...positive);
    const high = log ? Math.ceil(Math.log10(most) + 0.05) : most * 1.06;
    const low = log ? Math.min(Math.floor(Math.log10(least)), high - 1) : 0;
    const toY = (d) => {
      const v = log ? (d > 0 ? Math.log10(d) : low) : d;
      return m.top + t * (1 - (Math.max(v, low) - low) / (high - low));
    };
    const base = m.top + t;
    let d = `M${toX(edges[0])},${base}`;
    for (let i = 0; i < counts.length; i++) d += `V${toY(density[i]).toFixed(2)}H${toX(edges[i + 1]).toFixed(2)}`;
    d += `V${base}Z`;
    const svg = h("g");
    const line = (x1, y1, x2, y2, cls) => svg.append(h("line", { x1, y1, x2, y2, class: cls }));
    const text = (x, y, words, anchor, cls) => svg.append(h("text", { x, y, "text-anchor": anchor, class: cls ?? "" }, words));
    const xs = ticks(-limit, limit, w / 80);
    const xa = axis(xs);
    const ys = log ? ticks(low, high, Math.min(t / 26, high - low)).filter(Number.isInteger) : ticks(0, high, t / 34);
    const ya = log ? { labels: ys.map((y) => `10${superscript(y)}`), power: 0 } : axis(ys);
    ys.forEach((y, i) => {
      const at = toY(log ? 10 ** y : y);
      line(m.left, at, wide - m.right, at, "gl-gridline");
      text(m.left - 6, at + 4, ya.labels[i], "end");
    });
    svg.append(h("path", { d, class: "gl-steps" }));
    for (const [v, words] of [[-chart.rmse, `${MINUS}RMSE`], [chart.rmse, "+RMSE"]]) {
      if (!(Math.abs(v) < limit)) continue;
      line(toX(v), m.top, toX(v), base, "gl-rmse");
      if (w * chart.rmse / limit > 60) text(toX(v), m.top - 4, words, "middle", "gl-small");
    }
    line(toX(0), m.top, toX(0), base, "gl-zero");
    line(m.left, base, wide - m.right, base, "gl-axis");
    xs.forEach((x, i) => { line(toX(x), base, toX(x), base + 4, "gl-axis"); text(toX(x), base + 16, xa.labels[i], "middle"); });
    text(m.left + w / 2, tall - 5, chart.axis + unitOf(xa.power), "middle", "gl-axis-label");
    text(-(m.top + t / 2), 12, `density${unitOf(ya.power)}`, "middle", "gl-axis-label gl-turned");
    const share = (n) => `${figure((100 * n) / chart.total)} %`;
    if (chart.below) text(m.left + 4, m.top + 10, `\u25c2 ${share(chart.below)} beyond`, "start", "gl-small");
    if (chart.above) text(wide - m.right - 4, m.top + 10, `${share(chart.above)} beyond \u25b8`, "end", "gl-small");
    hover = h("rect", { class: "gl-hover", y: m.top, height: t, x: -9, width: 0 });
    plot.replaceChildren(h("svg", { width: wide, height: tall, viewBox: `0 0 ${wide} ${tall}`, "aria-hidden": "true" }, svg, hover));
    point(cursor);
  }

  /** Reads out one bin. */
  function point(i) {
    cursor = i;
    if (i < 0 || i >= counts.length) {
      readout.textContent = `${integer(counts.length)} bins with their exact edges \u00b7 point at one or use the arrow keys`;
      if (hover) put(hover, { width: 0 });
      return;
    }
    const left = toX(edges[i]);
    put(hover, { x: left, width: Math.max(1.5, toX(edges[i + 1]) - left) });
    readout.textContent = `${figure(edges[i])} to ${figure(edges[i + 1])}: ${integer(counts[i])} weights, ${figure((100 * counts[i]) / chart.total)} %`;
  }
  plot.addEventListener("pointermove", safe((event) => {
    const x = event.clientX - plot.getBoundingClientRect().left;
    let i = 0;
    while (i < counts.length && toX(edges[i + 1]) < x) i++;
    point(x < toX(edges[0] ?? 0) ? -1 : i);
  }));
  plot.addEventListener("pointerleave", safe(() => point(-1)));
  plot.addEventListener("keydown", safe((event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (step === undefined && event.key !== "Home" && event.key !== "End") return;
    event.preventDefault();
    if (event.key === "Home") point(0);
    else if (event.key === "End") point(counts.length - 1);
    else point(clamp(cursor < 0 ? counts.length >> 1 : cursor + step, 0, counts.length - 1));
  }));
  leave(onSize(plot, safe(paint)));
  on("chart chart_bins", perFrame(safe(load)));
  on("log_density", paint);
  load();
}
