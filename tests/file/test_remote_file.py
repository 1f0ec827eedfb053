"""Files on a server that keeps to the rules, and on one that breaks each of them."""

from __future__ import annotations

import gzip
import logging
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gguf_lab.errors import RemoteError
from gguf_lab.file.remote import RemoteFile, RemoteOptions
from gguf_lab.file.remote.blocks import Blocks
from gguf_lab.file.remote.deadline import within

from .server import COMMIT, Handler, Server, etag_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TOKEN = "hf_tokenThatNobodyMaySee"
BLOCK = 1000
CONTENT = np.random.default_rng(1).integers(0, 256, 25_300, np.uint8).tobytes()
QUICK = RemoteOptions(
    connect_timeout=5,
    read_timeout=5,
    total_timeout=15,
    attempts=3,
    pause=0.01,
    longest_pause=0.5,
    block_bytes=BLOCK,
    memory_bytes=10 * BLOCK,
)


@pytest.fixture
def server(hub: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.files["/f.bin"] = CONTENT
    hub.add_repository("o/r", {"f.bin": CONTENT})
    return hub


@pytest.fixture(autouse=True)
def nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert "ThatNobodyMaySee" not in caplog.text


def opened(server: Server, path: str = "/f.bin", **changes: Any) -> RemoteFile:
    return RemoteFile(server.url + path, with_(**changes))


def with_(**changes: Any) -> RemoteOptions:
    from dataclasses import replace

    return replace(QUICK, **changes)


def everything(file: RemoteFile) -> bytes:
    return file.read(0, file.size).tobytes()


def once(answer: Any, times: int = 1, *, after: int = 0) -> Any:
    """Make a trick of some requests: after so many, so many times."""
    left = [after, times]

    def trick(handler: Handler) -> bool:
        if left[0]:
            left[0] -= 1
            return False
        if not left[1]:
            return False
        left[1] -= 1
        return answer(handler) is not False

    return trick


def always(answer: Any, *, after: int = 0) -> Any:
    return once(answer, 10**9, after=after)


def test_reads_are_the_bytes_and_read_only(server: Server) -> None:
    with opened(server) as file:
        assert (file.size, file.name) == (len(CONTENT), f"{server.url}/f.bin")
        assert everything(file) == CONTENT
        part = file.read(999, 2)
        assert part.dtype == np.uint8
        assert not part.flags.writeable
        assert part.tobytes() == CONTENT[999:1001]
        assert file.read(len(CONTENT), 0).size == 0
        for offset, n in ((-1, 2), (0, len(CONTENT) + 1), (len(CONTENT), 1), (2**70, 1), (5, -1)):
            with pytest.raises(RemoteError, match="the file has 25300 bytes"):
                file.read(offset, n)
    assert file.closed
    assert part.tobytes() == CONTENT[999:1001]
    with pytest.raises(RemoteError, match="is closed"):
        file.read(0, 1)


def test_nothing_is_fetched_twice_or_without_need(server: Server) -> None:
    with opened(server) as file:
        assert file.fetched == BLOCK
        file.read(3500, 100)
        file.read(3000, 1000)
        assert file.fetched == 2 * BLOCK
        file.read(3999, 2)
        assert file.fetched == 3 * BLOCK
        assert file.fetched == server.sent
        assert [h.get("If-Range") for _, h in server.requests] == [None, *[etag_of(CONTENT)] * 2]
        assert f"{file.fetched:,} fetched" in repr(file)


@given(spans=st.lists(st.tuples(st.integers(0, 25_300), st.integers(0, 9000)), max_size=12))
@settings(max_examples=60)
@pytest.mark.parametrize("budget", [0, 3])
def test_blocks_give_the_bytes_of_the_file(budget: int, spans: list[tuple[int, int]]) -> None:
    asked: list[tuple[int, int]] = []

    def fetch(start: int, stop: int) -> bytes:
        asked.append((start, stop))
        return CONTENT[start:stop]

    blocks = Blocks(len(CONTENT), BLOCK, budget * BLOCK, fetch)
    for offset, most in spans:
        n = min(most, len(CONTENT) - offset)
        assert blocks.read(offset, n).tobytes() == CONTENT[offset : offset + n]
        assert len(blocks._kept) <= budget
    assert all(start % BLOCK == 0 and start < stop for start, stop in asked)


def test_blocks_that_are_used_stay_in_memory() -> None:
    asked: list[int] = []

    def fetch(start: int, stop: int) -> bytes:
        asked.append(start // BLOCK)
        return CONTENT[start:stop]

    blocks = Blocks(len(CONTENT), BLOCK, 3 * BLOCK, fetch)
    for index in (0, 1, 2, 0, 3, 0, 1):
        blocks.read(index * BLOCK, 1)
    assert asked == [0, 1, 2, 3, 1]


def test_many_threads_share_what_they_fetch(server: Server) -> None:
    failures: list[object] = []

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(10):
            start = int(rng.integers(0, len(CONTENT) - 5000))
            if file.read(start, 5000).tobytes() != CONTENT[start : start + 5000]:
                failures.append((seed, start))

    with opened(server, memory_bytes=1 << 20) as file:
        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert file.fetched <= len(CONTENT)


def test_a_long_read_is_several_requests_at_once(server: Server) -> None:
    content = bytes(range(256)) * (9 << 12)  # 9 MiB
    server.files["/long"] = content
    together = threading.Barrier(2, timeout=5)

    def trick(handler: Handler) -> bool:
        if handler.span[0]:
            together.wait()  # nobody is answered before both have asked
        return False

    with opened(server, "/long", block_bytes=1 << 20, read_timeout=5, total_timeout=9) as file:
        server.tricks.append(trick)
        assert file.read(1 << 20, 8 << 20).tobytes() == content[1 << 20 :]
        assert len(server.requests) == 3


def test_empty_and_missing_files(server: Server) -> None:
    server.files["/empty"] = b""
    with opened(server, "/empty") as file:
        assert file.size == 0
        assert file.head(0).size == 0
    with pytest.raises(RemoteError, match="does not exist"):
        opened(server, "/gone")


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1])
def test_the_head_grows(server: Server, size: int) -> None:
    server.files["/s"] = CONTENT[:size]
    with opened(server, "/s") as file:
        assert file.head(size).tobytes() == CONTENT[:size]
        assert file.fetched == size


def test_a_head_without_end_is_refused(server: Server) -> None:
    with opened(server, head_bytes=8000) as file:
        assert file.head(8000).size >= 8000
        with pytest.raises(RemoteError, match="head goes on after 8,000 bytes"):
            file.head(len(CONTENT))


# What a server may get wrong for good: the error says it, at once, and nothing is kept.

WRONG = {
    "no ranges": (
        lambda h: h.answer(200, CONTENT, ETag=etag_of(CONTENT)),
        "only be had whole.*curl",
    ),
    "wrong Content-Range": (
        lambda h: h.part(CONTENT, **{"Content-Range": f"bytes 7-1006/{len(CONTENT)}"}),
        "was asked for bytes 3,000 to 4,000",
    ),
    "no Content-Range": (lambda h: h.part(CONTENT, **{"Content-Range": ""}), "Content-Range ''"),
    "odd Content-Range": (
        lambda h: h.part(CONTENT, **{"Content-Range": "bytes 3000-3999/*"}),
        r"Content-Range 'bytes 3000-3999/\*'",
    ),
    "wrong total": (
        lambda h: h.part(CONTENT, **{"Content-Range": "bytes 3000-3999/99999"}),
        "it had 25,300 bytes and now has 99,999",
    ),
    "wrong length": (
        lambda h: h.part(CONTENT, **{"Content-Length": "17"}),
        "'17' bytes for a range of 1,000",
    ),
    "gzip": (
        lambda h: h.part(CONTENT, **{"Content-Encoding": "gzip"}),
        "encoding 'gzip'",
    ),
    "changed ETag": (lambda h: h.part(CONTENT, ETag='"other"'), "has changed"),
    "lost ETag": (lambda h: h.part(CONTENT, ETag=""), "has changed"),
    "changed content": (lambda h: h.answer(200, b"new", ETag='"other"'), "has changed"),
    "shorter": (lambda h: h.answer(416, b"", **{"Content-Range": "bytes */10"}), "has changed"),
    "condition": (lambda h: h.answer(412, b""), "has changed"),
    "status": (lambda h: h.answer(418, b"teapot"), "answers 418"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_answers_are_refused_and_not_kept(server: Server, case: str, tmp_path: Path) -> None:
    answer, message = WRONG[case]
    with opened(server, cache=tmp_path / "cache") as file:
        server.tricks.append(always(answer))
        with pytest.raises(RemoteError, match=message):
            file.read(3500, 10)
        assert len(server.requests) == 2
        assert not [p for p in tmp_path.rglob("*") if p.is_file()]
        server.tricks.clear()
        assert file.read(3500, 10).tobytes() == CONTENT[3500:3510]


@pytest.mark.parametrize("case", ["no ranges", "no Content-Range", "odd Content-Range", "gzip"])
def test_wrong_answers_when_it_is_opened(server: Server, case: str) -> None:
    answer, message = WRONG[case]
    server.tricks.append(always(answer))
    with pytest.raises(RemoteError, match=message):
        opened(server)


def test_compressed_bytes_are_not_taken_for_the_file(server: Server) -> None:
    packed = gzip.compress(CONTENT)
    server.tricks.append(
        always(lambda h: h.answer(200, packed, **{"Content-Encoding": "gzip", "ETag": '"x"'}))
    )
    with pytest.raises(RemoteError, match="can only be had whole"):
        opened(server)
    assert server.requests[0][1]["Accept-Encoding"] == "identity"


# What may go well the next time.


def cut(handler: Handler) -> None:
    """Send half of what was promised, then the connection ends."""
    start, stop = handler.span
    handler.send_response(206)
    handler.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(CONTENT)}")
    handler.send_header("Content-Length", str(stop - start))
    handler.send_header("ETag", etag_of(CONTENT))
    handler.end_headers()
    handler.wfile.write(CONTENT[start : start + (stop - start) // 2])
    handler.close_connection = True


def reset(handler: Handler) -> None:
    cut(handler)
    handler.wfile.flush()
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()


def chunked_short(handler: Handler) -> None:
    """Fewer bytes than the range has, well-formed: no length was promised."""
    start, stop = handler.span
    handler.send_response(206)
    handler.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(CONTENT)}")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.send_header("ETag", etag_of(CONTENT))
    handler.end_headers()
    handler.wfile.write(b"3\r\n" + CONTENT[start : start + 3] + b"\r\n0\r\n\r\n")


def silent(handler: Handler) -> None:
    handler.server.owner.ended.wait(3)
    handler.close_connection = True


FAILURES = {
    "short body": (cut, "broke off"),
    "reset": (reset, "broke off"),
    "chunked and short": (chunked_short, "only 3 of 1,000 bytes came"),
    "silence": (silent, r"sent nothing for 0\.3 seconds"),
    "500": (lambda h: h.answer(500, b"oops"), "answers 500"),
    "503": (lambda h: h.answer(503, b""), "answers 503"),
    "429": (lambda h: h.answer(429, b"", **{"Retry-After": "0"}), "answers 429"),
}


def patience(case: str) -> dict[str, float]:
    return {"read_timeout": 0.3} if case == "silence" else {}


@pytest.mark.parametrize("case", FAILURES)
def test_failures_are_tried_again(server: Server, case: str) -> None:
    failure, _ = FAILURES[case]
    with opened(server, **patience(case)) as file:
        server.tricks.append(once(failure, 2))
        assert file.read(3500, 10).tobytes() == CONTENT[3500:3510]
        assert len(server.requests) == 4


@pytest.mark.parametrize("case", FAILURES)
def test_failures_without_end_are_an_error(server: Server, case: str, tmp_path: Path) -> None:
    failure, message = FAILURES[case]
    with opened(server, cache=tmp_path / "cache", **patience(case)) as file:
        server.tricks.append(always(failure))
        started = time.monotonic()
        with pytest.raises(RemoteError, match=rf"bytes 3,000 to 4,000.*{message}.*tried 3 times"):
            file.read(3500, 10)
        assert time.monotonic() - started < 3  # three times 0.3 seconds of silence at most
        assert not [p for p in tmp_path.rglob("*") if p.is_file()]
        server.tricks.clear()
        assert file.read(3500, 10).tobytes() == CONTENT[3500:3510]


def test_retry_after_is_waited_for(server: Server) -> None:
    with opened(server, longest_pause=2, total_timeout=5) as file:
        server.tricks.append(once(lambda h: h.answer(429, b"", **{"Retry-After": "1"})))
        started = time.monotonic()
        assert file.read(3500, 10).tobytes() == CONTENT[3500:3510]
        assert time.monotonic() - started >= 1


@pytest.mark.parametrize("wait", ["3600", "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_a_long_retry_after_is_not_waited_for(server: Server, wait: str) -> None:
    with opened(server) as file:
        server.tricks.append(always(lambda h: h.answer(429, b"", **{"Retry-After": wait})))
        with pytest.raises(RemoteError, match=r"asks to come back in [0-9,]{5,} seconds"):
            file.read(3500, 10)
        assert len(server.requests) == 2


def test_more_patience_than_is_allowed_is_not_waited_for(server: Server) -> None:
    with opened(server, longest_pause=0.1, total_timeout=9) as file:
        server.tricks.append(once(lambda h: h.answer(429, b"", **{"Retry-After": "3"})))
        with pytest.raises(RemoteError, match="asks to come back in 3 seconds"):
            file.read(3500, 10)


def drip(part: bytes) -> Any:
    """Send one byte now and then: no time-out between two bytes ever ends it."""

    def trick(handler: Handler) -> None:
        handler.wfile.write(part)
        try:
            while not handler.server.owner.ended.wait(0.05):
                handler.wfile.write(b"x")
                handler.wfile.flush()
        except OSError:
            pass
        handler.close_connection = True

    return trick


HEAD = b"HTTP/1.1 206 Partial Content\r\nETag: %s\r\n" % etag_of(CONTENT).encode()
SLOW = {
    "body": HEAD + b"Content-Length: 1000\r\nContent-Range: bytes 3000-3999/25300\r\n\r\n",
    "head": HEAD + b"X-Endless: ",
}


@pytest.mark.parametrize("case", SLOW)
def test_a_slow_drip_ends_with_the_time(server: Server, case: str) -> None:
    with opened(server, total_timeout=0.6) as file:
        server.tricks.append(always(drip(SLOW[case])))
        started = time.monotonic()
        with pytest.raises(RemoteError, match=r"did not come within 0\.6 seconds"):
            file.read(3500, 10)
        assert time.monotonic() - started < 2


def test_an_endless_body_is_cut_off(server: Server) -> None:
    def endless(handler: Handler) -> None:
        head = HEAD + b"Content-Range: bytes 3000-3999/25300\r\n\r\n"
        handler.close_connection = True
        try:
            handler.wfile.write(head)
            while not handler.server.owner.ended.is_set():
                handler.wfile.write(bytes(1 << 16))
        except OSError:
            pass

    with opened(server) as file:
        server.tricks.append(always(endless))
        with pytest.raises(RemoteError, match="sends more than the 1,000 bytes"):
            file.read(3500, 10)
        assert file.fetched < 1 << 20


@pytest.mark.parametrize("most", [0, 1])
def test_a_long_read_says_that_there_can_be_no_thread_and_can_be_done_later(
    most: int, allow_threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gguf_lab.file.remote.blocks._REQUEST", BLOCK)
    blocks = Blocks(len(CONTENT), BLOCK, 0, lambda start, stop: CONTENT[start:stop])
    allow_threads(most)
    with pytest.raises(RemoteError, match="no thread can be started"):
        blocks.read(0, len(CONTENT))
    monkeypatch.undo()
    assert blocks.read(0, len(CONTENT)).tobytes() == CONTENT


def test_a_request_needs_a_thread(allow_threads: Callable[[int], None]) -> None:
    allow_threads(0)
    with pytest.raises(RemoteError, match=r"no thread can be started .*ulimit -u"):
        within(1, lambda: None)


def test_no_server_at_all() -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(RemoteError, match=r"no connection to 127\.0\.0\.1"):
            RemoteFile(f"http://127.0.0.1:{taken.getsockname()[1]}/f", QUICK)


@pytest.mark.parametrize(
    ("headers", "later"),
    [
        (
            {"ETag": "", "Last-Modified": "Sat, 01 Jan 2000 00:00:00 GMT"},
            {"Last-Modified": "Sun, 02 Jan 2000 00:00:00 GMT"},
        ),
        ({"ETag": '"vérsion"'}, {"ETag": '"vérsión"'}),  # RFC 9110: obs-text, no client sends it
    ],
    ids=["a date without an ETag", "an ETag beyond ASCII"],
)
def test_another_version_is_told_by_what_there_is(
    server: Server, headers: dict[str, str], later: dict[str, str]
) -> None:
    now = dict(headers)
    server.tricks.append(always(lambda h: h.part(CONTENT, **now)))
    with opened(server) as file:
        assert file.read(3500, 10).tobytes() == CONTENT[3500:3510]
        now.update(later)
        with pytest.raises(RemoteError, match="has changed"):
            file.read(8500, 10)


def test_the_commit_is_pinned(server: Server) -> None:
    def trick(handler: Handler) -> bool:
        handler.part(CONTENT, **{"X-Repo-Commit": COMMIT})
        return True

    server.tricks.append(trick)
    with RemoteFile("hf://o/r/f.bin", QUICK) as file:
        file.read(3500, 10)
        assert str(file.path) == file.name == str(file.pinned) == "hf://o/r/f.bin"
    assert [path for path, _ in server.requests] == [
        "/o/r/resolve/main/f.bin",
        f"/o/r/resolve/{COMMIT}/f.bin",
    ]
