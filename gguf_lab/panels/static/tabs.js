/** A row of tabs; arrow keys go from one to the next. */
export default panel("tabs", (p) => {
  const { model, root, on, save, safe } = p;
  const list = h("div", { class: "gl-tablist", role: "tablist", "aria-label": model.get("label") });
  root.append(list);
  const stem = uid("tab");
  function build() {
    list.replaceChildren(...model.get("tabs").map(([name, label]) => {
      const tab = h("button", { class: "gl-tab", type: "button", role: "tab", id: `${stem}-${name}`, "data-name": name }, label);
      tab.addEventListener("click", safe(() => save({ active: name })));
      return tab;
    }));
    show();
  }
  function show() {
    const active = model.get("active");
    for (const tab of list.children) {
      const mine = tab.dataset.name === active;
      put(tab, { "aria-selected": mine, tabindex: mine ? 0 : -1 });
    }
    // What the tab shows is another widget: it is found through the workbench that holds both.
    for (const stage of root.closest(".gl-workbench")?.querySelectorAll(".gl-stage") ?? []) put(stage, { role: "tabpanel", "aria-labelledby": `${stem}-${active}` });
  }
  list.addEventListener("keydown", safe((event) => {
    const tabs = [...list.children], k = tabs.findIndex((t) => t.dataset.name === model.get("active"));
    const next = { ArrowRight: (k + 1) % tabs.length, ArrowLeft: (k + tabs.length - 1) % tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    save({ active: tabs[next].dataset.name });
    tabs[next].focus();
  }));
  on("tabs", safe(build));
  on("active", () => {
    // What is about to be hidden cannot keep the focus; the tab is where its reader goes on.
    const had = root.closest(".gl-workbench")?.querySelector(".gl-stage")?.contains(document.activeElement);
    if (had) [...list.children].find((tab) => tab.dataset.name === model.get("active"))?.focus();
  });
  on("active", perFrame(safe(show)));
  build();
  requestAnimationFrame(safe(show));
});
