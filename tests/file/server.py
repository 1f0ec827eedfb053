"""A server on this machine that plays a hub, and misbehaves when it is told to."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def etag_of(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


class Handler(BaseHTTPRequestHandler):
    """Serves what its server has; a trick may answer in its place."""

    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, *_: object) -> None:
        pass

    @property
    def span(self) -> tuple[int, int]:
        """The range that was asked, [start, stop)."""
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        assert match, self.headers.get("Range")
        return int(match[1]), int(match[2]) + 1

    def do_GET(self) -> None:
        owner: Server = self.server.owner
        with owner.lock:
            owner.requests.append((self.path, dict(self.headers)))
        for trick in owner.tricks:
            if trick(self):
                return
        self.serve()

    def serve(self) -> None:
        owner: Server = self.server.owner
        content = owner.find(unquote(urlsplit(self.path).path))
        if content is None:
            self.answer(404, b"not here")
        elif "Range" not in self.headers:
            self.answer(200, content, ETag=etag_of(content))
        else:
            self.part(content)

    def part(self, content: bytes, **headers: str) -> None:
        """Answer with the range that was asked, as it should be; `headers` are put in its place."""
        start, stop = self.span
        known = self.headers.get("If-Range")
        if known is not None and known != etag_of(content):
            self.answer(200, content, ETag=etag_of(content))
            return
        if start >= len(content):
            self.answer(416, b"", **{"Content-Range": f"bytes */{len(content)}"})
            return
        stop = min(stop, len(content))
        found = {
            "ETag": etag_of(content),
            "Content-Range": f"bytes {start}-{stop - 1}/{len(content)}",
        }
        self.answer(206, content[start:stop], **(found | headers))

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        """Send an answer; a header of value "" is left out."""
        owner: Server = self.server.owner
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        with owner.lock:
            owner.sent += len(body)
        try:
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # who asked has seen enough


class Threads(ThreadingHTTPServer):
    """A thread for each connection; that a reader leaves in the middle is no news."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*_)


class Server:
    """What is served, what was asked.

    Attributes
    ----------
    url : str
    files : dict
        Path to content.
    tricks : list of callable
        Take the handler; one that returns True has answered.
    requests : list of (path, headers)
    sent : int
        Bytes of bodies.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.tricks: list[Any] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.sent = 0
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self._http = Threads(("127.0.0.1", 0), Handler)
        self._http.owner = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()

    def find(self, path: str) -> bytes | None:
        if path in self.files:
            return self.files[path]
        # A commit is as good as the branch.
        return self.files.get(path.replace(f"/resolve/{COMMIT}/", "/resolve/main/"))

    def add_repository(
        self, name: str, files: dict[str, bytes] | Path, card: object = None
    ) -> None:
        """Play the hub for a repository: its files, their list, its card."""
        if not isinstance(files, dict):
            files = {p.name: p.read_bytes() for p in sorted(files.iterdir()) if p.is_file()}
        for path, content in files.items():
            self.files[f"/{name}/resolve/main/{path}"] = content
        listed = [{"type": "file", "path": p, "size": len(c)} for p, c in files.items()]
        folders = sorted({p.partition("/")[0] for p in files if "/" in p})
        listed += [{"type": "directory", "path": p, "size": 0} for p in folders]
        api = f"/api/models/{name}"
        self.files[f"{api}/revision/main"] = json.dumps({"sha": COMMIT, "cardData": card}).encode()
        self.files[f"{api}/tree/{COMMIT}"] = json.dumps(listed).encode()

    def close(self) -> None:
        self.ended.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        server.close()
