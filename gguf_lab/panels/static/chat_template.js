/**
 * A chat template in colours, beside that of the reference; under it a conversation to edit and the
 * prompt that the template makes of it, in its tokens.
 *
 * @typedef {[string, string]} Piece text and kind
 * @typedef {{spans: [string, number[], boolean][], tokens: [number, Piece[], boolean][],
 *   characters: number, n_tokens: number|null, n_special: number, reason: string, cut: boolean}} Rendered
 */

const ROLES = ["system", "user", "assistant", "tool"];

export default panel("chat", ({ model, root, on, save, safe, say }) => {
  const id = uid("chat");
  const names = h("select", { "aria-label": "Which of the file's templates" });
  const verdict = h("span", { class: "gl-verdict-words gl-muted" });
  const jump = h("button", { class: "gl-button", type: "button" }, "Next difference");
  const source = h("div", { class: "gl-chat-source", tabindex: 0, role: "group", "aria-label": "Text of the template" });
  const turns = h("div", { class: "gl-turns", role: "group", "aria-label": "Messages" });
  const add = h("button", { class: "gl-button", type: "button" }, "Add message");
  const asks = h("input", { type: "checkbox", id: `${id}-ask` });
  const busy = h("span", { class: "gl-muted", hidden: "" }, "rendering\u2026");
  const count = h("span", { class: "gl-count" });
  const view = h("span", { class: "gl-seg", role: "group", "aria-label": "How the prompt is shown" });
  const refusal = h("div", { class: "gl-refusal", role: "status", hidden: "" });
  const text = h("pre", { class: "gl-prompt gl-code", tabindex: 0, "aria-label": "The prompt" });
  const tokens = h("div", { class: "gl-prompt gl-tokens", tabindex: 0, role: "listbox", "aria-label": "Tokens of the prompt. Arrow keys walk through them." });
  const roles = h("datalist", { id: `${id}-roles` }, ...ROLES.map((role) => h("option", { value: role })));
  let shown = "text";
  let at = 0;
  for (const [value, title] of [["text", "The prompt as a text; colours alternate from token to token"], ["tokens", "Each token with its id"]]) {
    const button = h("button", { class: "gl-button", type: "button", title }, value);
    button.addEventListener("click", safe(() => { shown = value; prompt(); }));
    button.value_ = value;
    view.append(button);
  }
  root.append(
    h("div", { class: "gl-bar" }, h("h3", { class: "gl-title" }, "Chat template"), names, verdict, jump),
    source,
    h("div", { class: "gl-chat-halves" },
      h("div", { class: "gl-chat-half" },
        h("div", { class: "gl-bar" }, h("h4", { class: "gl-title" }, "Messages"), add,
          h("label", { class: "gl-check", for: `${id}-ask` }, asks, "add_generation_prompt")), turns),
      h("div", { class: "gl-chat-half" },
        h("div", { class: "gl-bar" }, h("h4", { class: "gl-title" }, "Prompt"), view, busy, count), refusal, text, tokens)),
    roles);

  // -- the template

  const MARKS = { changed: "\u2260", ours: "\u2212", theirs: "+" };
  const WORDS = { changed: "differs", ours: "only in the file", theirs: "only in the reference" };
  function side(pieces, number, mark) {
    const box = h("div", { class: `gl-line${pieces ? "" : " gl-line-none"}` },
      h("span", { class: "gl-line-number", "aria-hidden": "true" }, pieces ? integer(number) : ""),
      h("span", { class: "gl-line-mark", title: mark ? WORDS[mark] : null, "aria-label": mark ? WORDS[mark] : null, role: mark ? "img" : null }, mark ? MARKS[mark] : ""));
    const words = h("span", { class: "gl-line-text" });
    for (const [piece, kind] of pieces ?? []) {
      const name = kind.replace("!", "");
      words.append(h("span", { class: `${name ? `gl-j-${name}` : ""}${kind.endsWith("!") ? " gl-differs" : ""}` }, piece));
    }
    box.append(words);
    return box;
  }
  function template() {
    const lines = model.get("lines"), two = model.get("compared");
    const all = model.get("names");
    names.replaceChildren(...all.map((name) => h("option", { value: name }, name)));
    names.value = model.get("name");
    names.hidden = all.length < 2;
    verdict.textContent = model.get("verdict");
    source.hidden = !lines.length;
    source.classList.toggle("gl-two", two);
    let mine = 0, yours = 0;
    const nodes = [];
    if (two) nodes.push(h("div", { class: "gl-line-pair gl-line-head" }, h("div", {}, "in the file"), h("div", {}, "in the reference")));
    for (const [ours, theirs, same] of lines) {
      const mark = same ? "" : !ours ? "theirs" : !theirs ? "ours" : "changed";
      const pair = h("div", { class: `gl-line-pair${mark ? ` gl-line-${mark}` : ""}` }, side(ours, ours ? ++mine : 0, mark === "theirs" ? "" : mark));
      if (two) pair.append(side(theirs, theirs ? ++yours : 0, mark === "ours" ? "" : mark));
      nodes.push(pair);
    }
    source.replaceChildren(...nodes);
    jump.hidden = !two;
  }
  jump.addEventListener("click", safe(() => {
    const differing = [...source.querySelectorAll(".gl-line-changed, .gl-line-ours, .gl-line-theirs")];
    const next = differing.findIndex((node) => node.classList.contains("gl-line-at")) + 1;
    const node = differing[next % differing.length];
    source.querySelector(".gl-line-at")?.classList.remove("gl-line-at");
    node.classList.add("gl-line-at");
    source.scrollTop = node.offsetTop - source.offsetTop - 40;
    say(`difference ${(next % differing.length) + 1} of ${differing.length}`);
  }));
  names.addEventListener("change", safe(() => save({ name: names.value })));

  // -- the conversation

  const plain = (message) => typeof message.content === "string" && typeof message.role === "string";
  /** What the editors hold now. */
  const written = () => [...turns.children].map((turn) => (turn.fixed_ ? turn.message_
    : { ...turn.message_, role: turn.role_.value, content: turn.content_.value }));
  const send = debounced(safe(() => save({ messages: written() })), 180);
  const fit = (area) => { area.rows = clamp(area.value.split("\n").length, 1, 8); };
  function turn(message, n) {
    const role = h("input", { type: "text", list: `${id}-roles`, "aria-label": `Role of message ${n + 1}`, spellcheck: "false" });
    const content = h("textarea", { "aria-label": `Message ${n + 1}`, rows: 1, spellcheck: "false" });
    const remove = h("button", { class: "gl-button", type: "button", "aria-label": `Remove message ${n + 1}`, title: "Remove" }, "\u00d7");
    const row = h("div", { class: "gl-turn" }, role, content, remove);
    Object.assign(row, { message_: message, role_: role, content_: content, fixed_: !plain(message) });
    role.value = typeof message.role === "string" ? message.role : "";
    content.value = row.fixed_ ? JSON.stringify(message, null, 1) : message.content;
    role.readOnly = content.readOnly = row.fixed_;
    if (row.fixed_) content.title = "This message is more than a text: it can be changed from Python";
    fit(content);
    for (const input of [role, content]) input.addEventListener("input", safe(() => { fit(content); send(); }));
    remove.addEventListener("click", safe(() => {
      const next = row.nextElementSibling ?? row.previousElementSibling;
      row.remove();
      (next?.querySelector("textarea") ?? add).focus();
      save({ messages: written() });
      say("message removed");
    }));
    return row;
  }
  function conversation() {
    if (turns.children.length && JSON.stringify(written()) === JSON.stringify(model.get("messages"))) return;
    turns.replaceChildren(...model.get("messages").map(turn));
    asks.checked = model.get("add_generation_prompt");
  }
  add.addEventListener("click", safe(() => {
    const last = written().at(-1)?.role;
    turns.append(turn({ role: last === "user" ? "assistant" : "user", content: "" }, turns.children.length));
    turns.lastElementChild.querySelector("textarea").focus();
    save({ messages: written() });
  }));
  asks.addEventListener("change", safe(() => save({ add_generation_prompt: asks.checked })));

  // -- the prompt

  function prompt() {
    /** @type {Rendered} */
    const r = model.get("rendered");
    const words = model.get("refusal");
    const there = Boolean(r.spans);
    for (const b of view.children) put(b, { "aria-pressed": b.value_ === shown });
    refusal.textContent = words || (there && r.reason ? `No tokens: ${r.reason}` : "") || (there && r.cut ? "Only the beginning is shown; panel.prompt has all of it." : "");
    refusal.hidden = !refusal.textContent;
    refusal.classList.toggle("gl-refused", Boolean(words));
    text.hidden = !there || shown !== "text";
    tokens.hidden = !there || shown !== "tokens";
    view.hidden = !there;
    count.textContent = there ? `${integer(r.characters)} characters${r.n_tokens === null ? "" : ` \u00b7 ${integer(r.n_tokens)} tokens, ${integer(r.n_special)} special`}` : "";
    if (!there) { text.replaceChildren(); tokens.replaceChildren(); return; }
    const label = (n) => `${r.tokens[n][0]}`;
    text.replaceChildren(...r.spans.map(([piece, numbers, special], i) => {
      const span = h("span", { class: numbers.length ? `gl-tok${i % 2 ? " gl-odd" : ""}${special ? " gl-special" : ""}` : "",
        title: numbers.length ? `token ${numbers.map(label).join(", ")}` : null }, piece);
      span.tokens_ = numbers;
      return span;
    }));
    at = clamp(at, 0, Math.max(0, r.tokens.length - 1));
    tokens.replaceChildren(...r.tokens.map(([token, pieces, special], i) => h("span", {
      class: `gl-token${special ? " gl-special" : ""}`, role: "option", id: `${id}-${i}`, "aria-selected": i === at,
      "aria-label": `${pieces.map(([piece]) => piece).join("")}, ${token}${special ? ", special" : ""}`,
    }, h("span", { class: "gl-code" }, ...pieces.map(([piece, kind]) => h("span", { class: kind ? "gl-sign" : "" }, piece))),
    h("span", { class: "gl-token-id" }, token))));
    put(tokens, { "aria-activedescendant": r.tokens.length ? `${id}-${at}` : null });
  }
  function go(i) {
    const list = model.get("rendered").tokens ?? [];
    if (!list.length) return;
    at = clamp(i, 0, list.length - 1);
    [...tokens.children].forEach((node, n) => put(node, { "aria-selected": n === at }));
    put(tokens, { "aria-activedescendant": `${id}-${at}` });
    tokens.children[at].scrollIntoView({ block: "nearest" });
    save({ token: list[at][0] });
  }
  tokens.addEventListener("keydown", safe((event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined) return;
    go(at + step);
    event.preventDefault();
  }));
  tokens.addEventListener("click", safe((event) => {
    const node = event.target.closest("[role=option]");
    if (node) go([...tokens.children].indexOf(node));
  }));
  text.addEventListener("click", safe((event) => {
    const numbers = event.target.tokens_;
    if (numbers?.length) go(numbers[0]);
  }));

  on("lines compared verdict names name", perFrame(safe(template)));
  on("messages", conversation);
  on("add_generation_prompt", () => { asks.checked = model.get("add_generation_prompt"); });
  on("rendered refusal", perFrame(safe(prompt)));
  on("rendering", () => { busy.hidden = !model.get("rendering"); });
  template();
  conversation();
  busy.hidden = !model.get("rendering");
  prompt();
});
