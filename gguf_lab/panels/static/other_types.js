/** What another type would change: a table with bars. */
export default panel("other-types", (p) => {
  const { model, root, on, safe } = p;
  const name = h("span", { class: "gl-code gl-worst-name" });
  const verdict = h("p", { class: "gl-worst-verdict", role: "status", "aria-live": "polite" });
  const box = h("div", {});
  root.append(h("div", { class: "gl-bar" }, h("h3", { class: "gl-title" }, "Another type"), name, progressLine(p)),
    h("div", { class: "gl-scroll gl-worst-body", tabindex: 0, role: "group", "aria-label": "Other types" }, verdict, box));
  const heads = () => ["type", "bits/weight", "size", "change", model.get("error_head"), "SQNR, dB"];
  function show() {
    name.textContent = model.get("facts").label ?? "";
    verdict.textContent = model.get("verdict") || "Reading the tensor \u2026";
    const rows = model.get("rows");
    if (!rows.length) { box.replaceChildren(); return; }
    box.replaceChildren(h("table", { class: "gl-places-table gl-types" }, h("caption", { class: "gl-live" }, "The stored type and its neighbours"),
      h("thead", {}, h("tr", {}, ...heads().map((t) => h("th", { scope: "col" }, t)), h("th", { "aria-hidden": "true" }))),
      h("tbody", {}, ...rows.map(([role, ...cells]) => h("tr", { class: role === "stored" ? "gl-stored" : null },
        h("th", { scope: "row" }, cells[0], h("span", { class: "gl-chip" }, role)), ...cells.slice(1, 6).map((t) => h("td", {}, t)),
        h("td", { class: "gl-type-bar", "aria-hidden": "true" }, h("span", { style: { width: `${100 * cells[6]}%` } })))))));
  }
  on("facts verdict rows error_head", perFrame(safe(show)));
  show();
});
