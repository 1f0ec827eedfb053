"""Names, tokens, redirects, the cache on disk, lists of files: what a hub asks of its readers."""

from __future__ import annotations

import json
import logging
import os
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gguf_lab.errors import GGUFLabError, RemoteError
from gguf_lab.file.remote import (
    RemoteFile,
    RemoteOptions,
    location,
    parse_address,
    read_repository,
    read_small,
)
from gguf_lab.file.remote.login import find_token

from .server import COMMIT, Handler, Server, serving
from .test_remote_file import (
    BLOCK,
    CONTENT,
    QUICK,
    TOKEN,
    always,
    everything,
    nothing_secret_is_logged,
    once,
    server,
    with_,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["nothing_secret_is_logged", "server"]  # fixtures

SIGNATURE = "X-Signature=signatureThatNobodyMaySee"


@pytest.fixture
def cdn() -> Iterator[Server]:
    with serving() as second:
        second.files["/blob"] = CONTENT
        yield second


def tokens(server: Server) -> list[str | None]:
    return [headers.get("Authorization") for _, headers in server.requests]


def redirecting(target: Server, **headers: str) -> Any:
    def trick(handler: Handler) -> bool:
        if "/resolve/" not in handler.path:
            return False
        handler.answer(302, b"", Location=f"{target.url}/blob?{SIGNATURE}", **headers)
        return True

    return trick


# Names.


@pytest.mark.parametrize(
    ("name", "url", "last"),
    [
        ("hf://o/r/a/b c.gguf", "/o/r/resolve/main/a/b%20c.gguf", "b c.gguf"),
        ("hf://o/r@v1/x%2F?#.gguf", "/o/r/resolve/v1/x%252F%3F%23.gguf", "x%2F?#.gguf"),
        ("hf://o/r@refs/pr/3/x", "/o/r/resolve/refs%2Fpr%2F3/x", "x"),
        ("hf://o/r@refs%2Fpr%2F3/x", "/o/r/resolve/refs%2Fpr%2F3/x", "x"),
        ("hf://o/r@feature%2Fa/x", "/o/r/resolve/feature%2Fa/x", "x"),
        ("HF://o/r.v-1_2/x.gguf", "/o/r.v-1_2/resolve/main/x.gguf", "x.gguf"),
    ],
)
def test_names_of_a_hub(server: Server, name: str, url: str, last: str) -> None:
    address = parse_address(name)
    assert address.url == server.url + url
    assert address.name == last
    assert parse_address(str(address)) == address
    assert parse_address(address) is address


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("/o/r/blob/main/a/m-Q8_0.gguf", "hf://o/r@main/a/m-Q8_0.gguf"),
        ("/o/r/blob/main/a%20b.gguf?download=true#top", "hf://o/r@main/a b.gguf"),
        ("/o/r/blob/refs%2Fpr%2F3/m.gguf", "hf://o/r@refs/pr/3/m.gguf"),
        ("/o/r/tree/v1/", "hf://o/r@v1"),
        ("/o/r/tree/main/a", "hf://o/r@main/a"),
    ],
)
def test_the_page_of_a_file_on_the_hub_stands_for_the_file(
    page: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an address bar shows: the hub would answer with a page for people."""
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert parse_address(f"https://huggingface.co{page}") == parse_address(name)
    elsewhere = f"https://huggingface.example{page}".partition("#")[0]
    assert parse_address(elsewhere).url == elsewhere


def test_parts_of_a_name(server: Server) -> None:
    address = parse_address("hf://o/r@v1/a/model-00001-of-00002.gguf")
    assert (address.stem, address.suffix) == ("model-00001-of-00002", ".gguf")
    assert str(address.parent.child("x y")) == "hf://o/r@v1/a/x y"
    assert str(address.whole) == "hf://o/r@v1"
    assert address.whole.name == "r"
    assert address.at(COMMIT).url == f"{server.url}/o/r/resolve/{COMMIT}/{address.path}"
    url = parse_address("https://host:1/a/b%20c.gguf?Revision=x#y")
    assert (url.name, url.url) == ("b c.gguf", "https://host:1/a/b%20c.gguf?Revision=x")
    assert str(url) == "https://host:1/a/b c.gguf"


def test_where_something_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    address = location("https://h/f")
    assert str(address) == "https://h/f"
    assert location(address) is address
    for name in ("folder/f.gguf", "folder/hf:/x", "~no-such-user/x", "~x.gguf"):
        assert location(name) == Path(name)
    assert location("~/f.gguf") == Path("/home/someone/f.gguf")


@pytest.mark.parametrize(
    "name",
    [
        *("hf://", "hf://o", "hf://o/", "hf:///r/x", "hf://o/r//x", "hf://o/r/../x", "hf://o/r@/x"),
        *("hf://o/r@../x", "hf://o/r/a\nb", "hf://o o/r/x", "hf://datasets/o/r/x", "hf://o/..r/x"),
        *("https://", "https:///x", "http://h:port/x", "https://h/a b", "https://h/\x1b[2J"),
        *("https://user:hunter2@h/x", "https://[/x", "https://" + "x" * 10_000),
    ],
)
def test_what_is_no_name(server: Server, name: str) -> None:
    with pytest.raises(RemoteError) as refused:
        parse_address(name)
    assert str(refused.value).isprintable()
    assert "hunter2" not in str(refused.value)
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize(
    "url", ["ftp://hub", "hub", "https://", "https://u:hunter2@hub", "http://h:x"]
)
def test_a_wrong_endpoint(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", url)
    with pytest.raises(RemoteError, match="HF_ENDPOINT") as refused:
        parse_address("hf://o/r/x")
    assert "hunter2" not in str(refused.value)


def test_offline_is_respected(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(RemoteError, match="HF_HUB_OFFLINE"):
        RemoteFile("hf://o/r/f.bin", QUICK)
    assert not server.requests


# Tokens.


def test_the_token_is_found_where_the_hub_leaves_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert find_token() is None
    path = tmp_path / "huggingface" / "token"
    path.parent.mkdir()
    path.write_text("hf_a\n")
    assert find_token().header() == "Bearer hf_a"
    (tmp_path / "token").write_text("hf_b")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert find_token().header() == "Bearer hf_b"
    monkeypatch.setenv("HF_TOKEN_PATH", str(path))
    assert find_token().header() == "Bearer hf_a"
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    assert find_token() is None
    monkeypatch.setenv("HF_TOKEN", " hf_c ")
    token = find_token()
    assert token.header() == "Bearer hf_c"
    assert "hf_c" not in f"{token!r}{token!s}"


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container without HOME for a user without a name."""
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", os.fspath)


@pytest.mark.usefixtures("homeless")
def test_who_has_no_home_is_not_logged_in() -> None:
    assert find_token() is None


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize(
    "use", [location, lambda name: RemoteOptions(cache=name)], ids=["to read", "cache"]
)
def test_a_home_that_nobody_knows_is_no_folder(use: Callable[[str], object]) -> None:
    with pytest.raises(GGUFLabError, match=r"~/x: this user has no home .*HOME"):
        use("~/x")


@pytest.mark.parametrize(
    "secret", ["hf_Secret\nX-Evil: 1", "hf_Secrét", "hf_Secret two", "hf_S" * 5000]
)
def test_a_token_that_is_none_is_not_repeated(
    server: Server, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", secret)
    with pytest.raises(RemoteError, match="does not hold a token") as refused:
        RemoteFile("hf://o/r/f.bin", QUICK)
    assert "hf_S" not in "".join(traceback.format_exception(refused.value))
    assert not server.requests


def test_the_token_goes_to_the_hub_alone(server: Server, cdn: Server) -> None:
    server.tricks.append(redirecting(cdn))
    with RemoteFile("hf://o/r/f.bin", QUICK) as file:
        assert everything(file) == CONTENT
    assert set(tokens(server)) == {f"Bearer {TOKEN}"}
    assert set(tokens(cdn)) == {None}
    assert len(server.requests) == 1  # where the bytes are is asked once
    with RemoteFile(f"{cdn.url}/blob", QUICK):
        assert set(tokens(cdn)) == {None}
    RemoteFile(f"{server.url}/f.bin", QUICK).close()  # the same host as the hub
    assert tokens(server)[-1] == f"Bearer {TOKEN}"


def test_a_redirect_to_the_same_host_keeps_the_token(server: Server) -> None:
    server.tricks.append(
        lambda h: "/resolve/" in h.path and h.answer(307, b"", Location="/f.bin") is None
    )
    with RemoteFile("hf://o/r/f.bin", QUICK) as file:
        assert everything(file) == CONTENT
    assert set(tokens(server)) == {f"Bearer {TOKEN}"}


def test_nothing_secret_is_shown(
    server: Server, cdn: Server, caplog: pytest.LogCaptureFixture
) -> None:
    shown: list[str] = []
    server.tricks.append(redirecting(cdn))
    for status in (401, 403, 404, 410, 418, 200):
        cdn.tricks[:] = [always(lambda h, s=status: h.answer(s, TOKEN.encode()))]
        for name in ("hf://o/r/f.bin", f"{cdn.url}/blob?{SIGNATURE}"):
            with pytest.raises(RemoteError) as refused:
                RemoteFile(name, QUICK)
            shown += traceback.format_exception(refused.value)
    cdn.tricks.clear()
    for name in ("hf://o/r/f.bin", f"{cdn.url}/blob?{SIGNATURE}"):
        file = RemoteFile(name, QUICK)
        shown += [repr(file), file.name, repr(file.path), str(file.pinned), repr(file._reader)]
        cdn.tricks.append(always(lambda h: setattr(h, "close_connection", True)))
        with pytest.raises(RemoteError) as refused:
            everything(file)
        shown += traceback.format_exception(refused.value)
        cdn.tricks.clear()
    text = "".join(shown) + caplog.text
    assert "127.0.0.1" in text
    assert "ThatNobodyMaySee" not in text


def test_the_log_of_others_is_left_alone(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    import httpx

    RemoteFile("hf://o/r/f.bin", QUICK).close()
    caplog.set_level(logging.INFO)
    assert "HTTP Request" not in caplog.text
    with httpx.Client() as client:
        client.get(f"{server.url}/f.bin")
    assert "HTTP Request" in caplog.text


# Redirects.


def test_an_expired_redirect_is_renewed(server: Server, cdn: Server) -> None:
    server.tricks.append(redirecting(cdn))
    with RemoteFile("hf://o/r/f.bin", QUICK) as file:
        cdn.tricks.append(once(lambda h: h.answer(403, b"<Error>expired</Error>")))
        assert file.read(3500, 10).tobytes() == CONTENT[3500:3510]
    assert [path.partition("?")[0] for path, _ in cdn.requests] == ["/blob"] * 3
    assert len(server.requests) == 2


def test_a_redirect_that_stays_expired_is_an_error(server: Server, cdn: Server) -> None:
    server.tricks.append(redirecting(cdn))
    with RemoteFile("hf://o/r/f.bin", QUICK) as file:
        cdn.tricks.append(always(lambda h: h.answer(403, b"")))
        with pytest.raises(RemoteError, match="answers 403"):
            file.read(3500, 10)
        assert len(cdn.requests) == 3


def test_another_server_may_have_another_etag_if_the_hub_says_it_is_the_same(
    server: Server, cdn: Server
) -> None:
    linked = {"X-Linked-Etag": '"hash"', "X-Repo-Commit": COMMIT}
    server.tricks.append(redirecting(cdn, **linked))
    with RemoteFile("hf://o/r/f.bin", QUICK) as file:
        cdn.tricks.append(once(lambda h: h.answer(403, b"")))
        cdn.tricks.append(always(lambda h: h.part(CONTENT, ETag='"of this server"')))
        assert file.read(3500, 10).tobytes() == CONTENT[3500:3510]
        assert f"/resolve/{COMMIT}/" in server.requests[-1][0]
        server.tricks[:] = [redirecting(cdn, **{"X-Linked-Etag": '"other"'})]
        cdn.tricks[:] = [once(lambda h: h.answer(403, b""))]
        with pytest.raises(RemoteError, match="has changed"):
            file.read(8500, 10)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/o/r/resolve/main/f.bin", "more than 5 redirects"),
        ("file:///etc/passwd", "not a URL"),
        ("http://[", "not a URL"),
        ("", "more than 5 redirects"),
        ("https://u:hunter2@h/", "not a URL"),
    ],
)
def test_redirects_that_lead_nowhere(server: Server, target: str, message: str) -> None:
    server.tricks.append(always(lambda h: h.answer(302, b"", Location=target)))
    with pytest.raises(RemoteError, match=message) as refused:
        RemoteFile("hf://o/r/f.bin", QUICK)
    assert "hunter2" not in str(refused.value)


def test_an_encrypted_connection_is_not_given_up() -> None:
    from gguf_lab.file.remote.urls import redirected

    assert redirected("https://a/b/c", "../d#e") == "https://a/d"
    with pytest.raises(RemoteError, match="not encrypted"):
        redirected("https://a/b", "http://a/b")


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "HF_TOKEN to a token that may"), (403, "licence"), (404, "does not exist")],
)
def test_the_hub_refuses(server: Server, status: int, message: str) -> None:
    server.tricks.append(always(lambda h: h.answer(status, b"")))
    with pytest.raises(RemoteError, match=message):
        RemoteFile("hf://o/r/f.bin", QUICK)
    assert len(server.requests) == 1


def test_no_ranges_offers_a_download(server: Server) -> None:
    server.tricks.append(always(lambda h: h.answer(200, CONTENT)))
    with pytest.raises(RemoteError, match=r"hf download o/r f\.bin$"):
        RemoteFile("hf://o/r/f.bin", QUICK)


# The cache on disk.


def cached(tmp_path: Path, **changes: Any) -> RemoteOptions:
    return with_(cache=tmp_path / "cache", **changes)


def test_blocks_are_kept_on_disk(server: Server, tmp_path: Path) -> None:
    with RemoteFile("hf://o/r/f.bin", cached(tmp_path)) as file:
        everything(file)
    sent = server.sent
    with RemoteFile("hf://o/r/f.bin", cached(tmp_path)) as file:
        assert everything(file) == CONTENT
        assert file.fetched == BLOCK  # with which it was asked whether it is the same file
    assert server.sent == sent + BLOCK
    server.files["/o/r/resolve/main/f.bin"] = changed = CONTENT[::-1]
    with RemoteFile("hf://o/r/f.bin", cached(tmp_path)) as file:
        assert everything(file) == changed
    assert {p.stat().st_mode & 0o077 for p in (tmp_path / "cache").rglob("*.block")} == {0}


@pytest.mark.parametrize("damage", ["flip", "cut", "long", "swap"])
def test_a_damaged_block_is_fetched_again(server: Server, tmp_path: Path, damage: str) -> None:
    with RemoteFile("hf://o/r/f.bin", cached(tmp_path)) as file:
        everything(file)
    one, two = sorted((tmp_path / "cache").rglob("*.block"))[:2]
    content = one.read_bytes()
    if damage == "flip":
        one.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "cut":
        one.write_bytes(content[:-1])
    elif damage == "long":
        one.write_bytes(content + b"x")
    else:
        one.write_bytes(two.read_bytes())
    with RemoteFile("hf://o/r/f.bin", cached(tmp_path)) as file:
        with pytest.warns(UserWarning, match="is damaged; it is fetched again"):
            assert everything(file) == CONTENT
        assert file.fetched == 2 * BLOCK
    assert one.read_bytes() == content


def test_the_cache_keeps_to_its_budget_and_forgets_what_was_used_longest_ago(
    server: Server, tmp_path: Path
) -> None:
    budget = 8 * (BLOCK + 32)
    with RemoteFile("hf://o/r/f.bin", cached(tmp_path, cache_bytes=budget)) as file:
        for index in range(1, 20):
            file.read(index * BLOCK, BLOCK)
            size = sum(p.stat().st_size for p in (tmp_path / "cache").rglob("*.block"))
            assert size <= budget
    left = {int(p.stem) for p in (tmp_path / "cache").rglob("*.block")}
    assert len(left) >= 6
    assert left == set(range(min(left), 20))


def test_what_was_read_again_stays_in_the_cache(server: Server, tmp_path: Path) -> None:
    options = cached(tmp_path, cache_bytes=8 * (BLOCK + 32))
    with RemoteFile("hf://o/r/f.bin", options) as file:
        for index in range(1, 8):
            file.read(index * BLOCK, 1)
    with RemoteFile("hf://o/r/f.bin", options) as file:
        file.read(BLOCK, 1)
        for index in (8, 9, 10):
            file.read(index * BLOCK, 1)
    left = {int(p.stem) for p in (tmp_path / "cache").rglob("*.block")}
    assert 1 in left
    assert 2 not in left


def test_a_cache_that_cannot_be_written_is_done_without(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with (
        pytest.warns(UserWarning, match="is not used"),
        RemoteFile("hf://o/r/f.bin", cached(tmp_path)) as file,
    ):
        assert everything(file) == CONTENT


def test_without_a_strong_etag_nothing_is_kept_on_disk(server: Server, tmp_path: Path) -> None:
    server.tricks.append(always(lambda h: h.part(CONTENT, ETag='W/"weak"')))
    with RemoteFile("hf://o/r/f.bin", cached(tmp_path)) as file:
        assert everything(file) == CONTENT
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "option",
    [
        *({"attempts": 0}, {"connections": 2.5}, {"block_bytes": 511}, {"memory_bytes": -1}),
        *({"cache_bytes": "1GB"}, {"pause": float("nan")}, {"total_timeout": -1}),
    ],
)
def test_limits_that_make_no_sense(option: dict[str, Any]) -> None:
    with pytest.raises(RemoteError, match=f"{next(iter(option))} is .*Expected"):
        RemoteOptions(**option)


def test_a_cache_is_a_path_of_any_form(tmp_path: Path) -> None:
    assert RemoteOptions(cache=str(tmp_path)) == RemoteOptions(cache=tmp_path)  # type: ignore[arg-type]


def test_the_environment_names_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GGUF_LAB_CACHE", str(tmp_path))
    assert RemoteOptions.from_environment() == RemoteOptions(cache=tmp_path)
    monkeypatch.setenv("GGUF_LAB_CACHE_BYTES", "123")
    assert RemoteOptions.from_environment().cache_bytes == 123
    monkeypatch.setenv("GGUF_LAB_CACHE_BYTES", "much")
    with pytest.raises(RemoteError, match="GGUF_LAB_CACHE_BYTES"):
        RemoteOptions.from_environment()


# Small files and lists.


def test_small_files_have_a_limit(server: Server) -> None:
    name = parse_address(f"{server.url}/f.bin")
    assert read_small(name, len(CONTENT), QUICK).body == CONTENT
    with pytest.raises(RemoteError, match="more than the 100 bytes"):
        read_small(name, 100, QUICK)
    server.tricks.append(once(lambda h: h.answer(503, b""), 2))
    assert read_small(name, len(CONTENT), QUICK).body == CONTENT
    server.tricks[:] = [always(lambda h: h.answer(200, b"x", **{"Content-Encoding": "gzip"}))]
    with pytest.raises(RemoteError, match="encoding 'gzip'"):
        read_small(name, 100, QUICK)


def test_a_repository_is_listed_page_by_page(server: Server) -> None:
    pages = [
        [{"type": "file", "path": f"{i}.gguf", "size": i}, {"type": "directory", "path": "d"}]
        for i in range(3)
    ]

    def trick(handler: Handler) -> bool:
        if "/tree/" not in handler.path:
            return False
        number = int(handler.path.partition("cursor=")[2] or 0)
        link = f'<{server.url}/api/models/o/r/tree/x?cursor={number + 1}>; rel="next"'
        body = json.dumps(pages[number]).encode()
        handler.answer(200, body, Link=link if number < 2 else "")
        return True

    server.tricks.append(trick)
    found = read_repository("o/r", QUICK)
    assert [(file.path, file.size) for file in found.files] == [(f"{i}.gguf", i) for i in range(3)]
    assert f"/tree/{COMMIT}?recursive=true" in server.requests[1][0]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("revision/main", b"<html>"),
        ("revision/main", b"[]"),
        ("revision/main", b"[" * 100_000),
        (f"tree/{COMMIT}", b"{}"),
        (f"tree/{COMMIT}", b"[1]"),
        (f"tree/{COMMIT}", b'[{"type": "file", "path": "x", "size": "1"}]'),
        (f"tree/{COMMIT}", b'[{"type": "file", "path": 1, "size": 1}]'),
    ],
)
def test_what_does_not_answer_like_a_hub(server: Server, path: str, body: bytes) -> None:
    server.files[f"/api/models/o/r/{path}"] = body
    with pytest.raises(RemoteError, match="does not answer as one"):
        read_repository("hf://o/r", QUICK)


def test_the_next_page_is_not_followed_to_another_host(server: Server, cdn: Server) -> None:
    server.tricks.append(
        lambda h: (
            "/tree/" in h.path and h.answer(200, b"[]", Link=f'<{cdn.url}/x>; rel="next"') is None
        )
    )
    with pytest.raises(RemoteError, match="on the same host"):
        read_repository("o/r", QUICK)
    assert not cdn.requests


@pytest.mark.parametrize("host", ["a..b", "xn--", "l" * 300])
def test_a_host_that_is_none_is_an_error(server: Server, host: str) -> None:
    def away(handler: Handler) -> bool:
        handler.answer(302, b"", Location=f"http://{host}/x")
        return True

    server.tricks.append(away)
    for url in (f"{server.url}/f.bin", f"http://{host}/f.bin"):
        with pytest.raises(RemoteError):
            RemoteFile(url, QUICK)
