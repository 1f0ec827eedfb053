"""Real panels in a real browser, without Jupyter: Python plays the kernel."""

from __future__ import annotations

import base64
import json
import os
from contextlib import nullcontext
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHROMIUM = "/usr/bin/chromium"

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>harness</title>
<style>body { margin: 12px; font-family: sans-serif; }
body[data-jp-theme-light="false"] { background: #111; color: #eee; }
.widget-box { display: flex; flex-direction: column; }</style></head>
<body data-jp-theme-light="true"><div id="root"></div><script type="module">
const revive = (state) => {
  for (const [key, value] of Object.entries(state)) {
    if (value && value.__bytes__ !== undefined) {
      const raw = atob(value.__bytes__);
      state[key] = new DataView(Uint8Array.from(raw, (c) => c.charCodeAt(0)).buffer);
    }
  }
  return state;
};
window.models = {};
class Model {
  constructor(id, state) { this.id = id; this.state = revive(state); this.dirty = {}; this.f = {}; }
  get(key) { return this.state[key]; }
  set(key, value) { this.dirty[key] = value; this.apply({ [key]: value }); }
  apply(state) {
    const changed = Object.keys(state).filter((k) => this.state[k] !== state[k]);
    Object.assign(this.state, state);
    for (const key of changed) this.emit(`change:${key}`);
  }
  emit(type, ...args) { for (const f of this.f[type] ?? []) f(...args); }
  on(type, f) { (this.f[type] ??= []).push(f); }
  off(type, f) { this.f[type] = (this.f[type] ?? []).filter((g) => g !== f); }
  async save_changes() {
    const state = this.dirty;
    this.dirty = {};
    take(await window.kernel(this.id, JSON.stringify({ state })));
  }
  async send(content) {
    take(await window.kernel(this.id, JSON.stringify({ content })));
  }
}
const take = (text) => {
  const reply = JSON.parse(text);
  for (const [id, state] of Object.entries(reply.states)) window.models[id]?.apply(revive(state));
  for (const { id, content, buffers } of reply.messages) {
    window.models[id]?.emit("msg:custom", content, Object.values(revive({ ...buffers })));
  }
};
window.take = take;
// What the kernel says by itself is fetched: Python cannot call a page from another thread.
const fetchNews = async () => {
  take(await window.kernel("", "{}"));
  setTimeout(fetchNews, 20);
};
window.listen = () => {
  window.listen = () => {};
  fetchNews();
};
const scripts = {};
window.place = async (id, script, css, state, classes, parent) => {
  const style = document.createElement("style");
  style.textContent = css;
  document.head.append(style);
  const module = await import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
  scripts[id] = module.default;
  window.models[id] = new Model(id, state);
  await window.view(id, classes, parent);
};
window.view = async (id, classes, parent) => {
  const el = document.createElement("div");
  el.className = classes;
  document.querySelector(parent).append(el);
  await scripts[id].render({ model: window.models[id], el });
};
window.ready = true;
</script></body></html>"""

# On a busy machine a frame or the kernel's answer comes late. These (milliseconds) make them late
# on any machine: a test that does not wait for what it asserts then fails.
LATE_FRAMES = int(os.environ.get("LATE_FRAMES", "0"))
LATE_KERNEL = int(os.environ.get("LATE_KERNEL", "0"))
LATE = """([frames, answers]) => {
  const soon = window.requestAnimationFrame.bind(window);
  if (frames) window.requestAnimationFrame = (f) => setTimeout(() => soon(f), frames);
  const kernel = window.kernel;
  const late = () => new Promise((done) => setTimeout(done, answers));
  window.kernel = async (...sent) => {
    await late();
    const reply = await kernel(...sent);
    await late();
    return reply;
  };
}"""


def _convert(value: Any) -> Any:
    if isinstance(value, (bytes, memoryview)):
        return {"__bytes__": base64.b64encode(bytes(value)).decode()}
    return value


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state as JSON; NaN and infinities, which Jupyter sends as text, are faults."""
    plain = {key: _convert(value) for key, value in state.items()}
    json.dumps(plain, allow_nan=False)
    return plain


class Harness:
    """A page with panels; what the browser sets or asks reaches them, and back."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.panels: dict[str, Any] = {}
        self._lock = Lock()  # panels that work in a thread send from there
        self._changed: dict[str, dict[str, Any]] = {}
        self._messages: list[Any] = []
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.expose_function("kernel", self._kernel)
        page.set_content(PAGE)
        page.wait_for_function("window.ready")
        if LATE_FRAMES or LATE_KERNEL:
            page.evaluate(LATE, [LATE_FRAMES, LATE_KERNEL])

    def _kernel(self, name: str, text: str) -> str:
        message = json.loads(text)
        if "state" in message:
            self.panels[name].set_state(message["state"])
        elif "content" in message:
            self.panels[name]._handle_custom_msg(message["content"], [])
        return self._drain()

    def _drain(self) -> str:
        with self._lock:
            changed, self._changed = self._changed, {}
            messages, self._messages = self._messages, []
        return json.dumps({"messages": messages, "states": changed}, allow_nan=False)

    def listen(self) -> None:
        """Bring what panels send by themselves to the browser, from now on."""
        self.page.evaluate("() => { window.listen(); }")

    def push(self) -> None:
        """Bring what Python has set to the browser."""
        self.page.evaluate("text => { window.take(text); }", self._drain())

    def add(self, panel: Any, name: str = "panel", classes: str = "", parent: str = "#root") -> Any:
        """Show a panel."""
        with getattr(panel, "_lock", nullcontext()):  # nothing is changed and lost in between
            state = self._follow(panel, name)
        script, css = state.pop("_esm"), state.pop("_css")
        self.page.evaluate(
            "([id, script, css, state, classes, parent]) =>"
            " window.place(id, script, css, state, classes, parent)",
            [name, script, css, state, classes, parent],
        )
        return self.page.locator(".gl-panel").last

    def again(self, name: str = "panel") -> Any:
        """Show a panel in one more place."""
        self.page.evaluate("id => window.view(id, '', '#root')", name)
        return self.page.locator(".gl-panel").last

    def _follow(self, panel: Any, name: str) -> dict[str, Any]:
        """Return the state of a panel, and take note of what it sends from now on."""
        self.panels[name] = panel

        def send_state(key: str | Iterable[str] | None = None) -> None:
            state = _plain(panel.get_state(key))
            with self._lock:
                self._changed.setdefault(name, {}).update(state)

        def send(content: Any, buffers: Any = None) -> None:
            packed = [_convert(buffer) for buffer in buffers or []]
            with self._lock:
                self._messages.append({"id": name, "content": content, "buffers": packed})

        # Keep the base's own filter (what the browser has just set is not sent back).
        panel.send_state = send_state
        panel.send = send
        panel.comm.kernel = True
        return dict(_plain(panel.get_state()))

    def theme(self, light: bool) -> None:
        """Switch as JupyterLab does."""
        self.page.evaluate(
            "light => { document.body.dataset.jpThemeLight = String(light); }", light
        )


def keys(page: Any, *names: str) -> None:
    """Press them one after the other."""
    for name in names:
        page.keyboard.press(name)


def until(page: Any, panel: Any, **traits: Any) -> None:
    """Wait until what the browser has set has reached Python."""
    for _ in range(500):
        if all(getattr(panel, name) == value for name, value in traits.items()):
            return
        page.wait_for_timeout(20)  # the page's own calls of Python are answered meanwhile
    now = {name: getattr(panel, name) for name in traits}
    raise AssertionError(f"Python has {now}, waited for {traits}")


def launch(playwright: Any) -> Any:
    """Start the distribution's Chromium."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
