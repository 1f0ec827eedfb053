/** What the file is: a title and facts. */
export default panel("headline", ({ model, root, on }) => {
  const title = h("div", { class: "gl-headline-title" });
  const kicker = h("div", { class: "gl-headline-kicker" });
  const facts = h("dl", { class: "gl-facts" });
  root.append(h("div", { class: "gl-headline-box" }, h("div", { class: "gl-headline-names" }, title, kicker), facts));
  function show() {
    title.textContent = model.get("title");
    title.title = model.get("title");
    kicker.textContent = model.get("subtitle");
    facts.replaceChildren(...model.get("facts").map(([name, text, words]) => h("div", { title: words || null }, h("dt", {}, name), h("dd", {}, text))));
  }
  on("title subtitle facts", show);
  show();
});
