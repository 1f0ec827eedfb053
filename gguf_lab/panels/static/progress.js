/** How far a run is, with a button that stops it. */
export default panel("progress", ({ model, root, on, ask, safe, leave }) => {
  const fill = h("div", { class: "gl-progress-fill" });
  const bar = h("div", { class: "gl-progress-bar", role: "progressbar", "aria-label": "Comparison", "aria-valuemin": 0 }, fill);
  const words = h("span", { class: "gl-progress-words" });
  const what = h("span", { class: "gl-progress-what gl-code gl-muted" });
  const cancel = h("button", { class: "gl-button", type: "button" }, "Cancel");
  root.append(h("div", { class: "gl-progress-line" }, bar, words, what, cancel));
  cancel.addEventListener("click", safe(() => { cancel.disabled = true; cancel.textContent = "Stopping\u2026"; ask({ ask: "cancel" }); }));
  const scaled = (n) => {
    const units = ["", " k", " M", " G", " T"];
    let power = 0;
    while (n >= 1000 && power < 4) { n /= 1000; power += 1; }
    return `${n.toFixed(power && n < 100 ? 1 : 0)}${units[power]}`;
  };
  function show() {
    const state = model.get("state"), done = model.get("done"), total = model.get("total");
    const seconds = model.get("seconds"), running = state === "running";
    const part = total ? clamp(done / total, 0, 1) : 0;
    root.hidden = !model.get("shown");
    root.parentElement?.classList.toggle("gl-gone", root.hidden);
    put(bar, { "aria-valuemax": total, "aria-valuenow": done, "aria-valuetext": `${Math.floor(100 * part)} %` });
    fill.style.width = `${100 * part}%`;
    root.dataset.state = state;
    const rate = seconds > 0 ? done / seconds : 0;
    const figures = `${scaled(done)} of ${scaled(total)} weights`;
    const speed = rate ? ` \u00b7 ${scaled(rate)} weights/s` : "";
    const left = running && rate && part > 0.02 ? ` \u00b7 ${Math.max(1, Math.ceil((total - done) / rate))} s left` : "";
    words.textContent = {
      running: done ? `Comparing: ${figures}${speed}${left}` : `Preparing to compare ${scaled(total)} weights (a first run compiles its kernels)`,
      done: `Compared ${scaled(done)} weights in ${seconds.toFixed(1)} s${speed}`,
      cancelled: `Stopped after ${figures}: the results so far are kept`,
      failed: `Failed after ${figures}`,
    }[state] ?? "";
    what.textContent = running ? model.get("tensor") : "";
    what.hidden = !running;
    cancel.hidden = !running;
    if (!running) { cancel.disabled = false; cancel.textContent = "Cancel"; }
  }
  on("state done total tensor seconds shown", perFrame(safe(show)));
  show();
  leave(() => {});
});
