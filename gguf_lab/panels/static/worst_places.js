/** Where the errors of a tensor are: rows and blocks, each with a jump. */
export default panel("worst-places", (p) => {
  const { model, root, on, save, safe, say } = p;
  const name = h("span", { class: "gl-code gl-worst-name" });
  const verdict = h("p", { class: "gl-worst-verdict", role: "status", "aria-live": "polite" });
  const rows = h("div", {}), blocks = h("div", {});
  const why = h("p", { class: "gl-muted" }, model.get("why"));
  root.append(h("div", { class: "gl-bar" }, h("h3", { class: "gl-title" }, "Worst rows and blocks"), name, progressLine(p)),
    h("div", { class: "gl-scroll gl-worst-body", tabindex: 0, role: "group", "aria-label": "Worst places" }, verdict, h("div", { class: "gl-worst-two" }, rows, blocks), why));
  function table(title, data, columns) {
    const show = (row) => columns.map((k) => row[k]);
    const heads = ["row", "columns", "share of error", "relative error", "crest"];
    return h("table", { class: "gl-places-table" }, h("caption", {}, title),
      h("thead", {}, h("tr", {}, ...columns.map((k) => h("th", { scope: "col" }, heads[k])), h("th", { scope: "col" }, h("span", { class: "gl-live" }, "jump")))),
      h("tbody", {}, ...data.map((row) => {
        const jump = h("button", { class: "gl-button gl-jump", type: "button", "aria-label": `Show row ${row[0]}, column ${integer(row[6])}` }, "show");
        const line = h("tr", {}, ...show(row).map((text) => h("td", {}, text)), h("td", {}, jump));
        jump.addEventListener("click", safe(() => { save({ cell: [row[5], row[6]], jumps: model.get("jumps") + 1 }); say(`row ${row[0]}, column ${row[6]} selected`); }));
        return line;
      })));
  }
  function show() {
    name.textContent = model.get("facts").label ?? "";
    verdict.textContent = model.get("verdict") || "Reading the tensor \u2026";
    const r = model.get("rows"), b = model.get("blocks");
    rows.replaceChildren(...(r.length ? [table("Rows, by share of error", r, [0, 2, 3, 4])] : []));
    blocks.replaceChildren(...(b.length ? [table("Blocks, by share of error", b, [0, 1, 2, 3, 4])] : []));
    why.hidden = !r.length;
  }
  on("facts verdict rows blocks", perFrame(safe(show)));
  show();
});
