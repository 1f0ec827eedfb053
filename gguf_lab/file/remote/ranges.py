"""Ranges of one file on a server: asked for, checked, and refused if the file is another one."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from .deadline import Transient, looks, persist
from .login import is_hub
from .refusals import changed, no_ranges, refused, wrong_answer
from .request import Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .address import Address
    from .options import RemoteOptions
    from .request import Answer

__all__ = ["LATER", "Identity", "RangeReader"]

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", re.ASCII)
LATER = {408, 425, 429, 500, 502, 503, 504}
_EXPIRED = {401, 403, 404, 410}


@dataclass(frozen=True, slots=True)
class Identity:
    """What a file is told from a changed one by.

    Attributes
    ----------
    size : int
        Bytes in all.
    etag : str
        Of the server that gives the bytes; empty if it gives none.
    modified : str
        ``Last-Modified``, where there is no ETag.
    linked : str
        Hash of the content, of the hub that redirected; empty if there was none.
    """

    size: int
    etag: str
    modified: str
    linked: str

    @property
    def certain(self) -> str:
        """What is equal only if all bytes are: the hub's hash or a strong ETag; else empty."""
        return self.linked or ("" if self.etag.startswith("W/") else self.etag)


class RangeReader:
    """Reads ranges of one file, all of the same version of it. For any number of threads.

    Parameters
    ----------
    address : Address
    options : RemoteOptions

    Attributes
    ----------
    address : Address
        With the commit that the hub named, once it is open: a branch that moves does no harm.
    identity : Identity
        Once it is open.
    fetched : int
        Bytes that came, also those of attempts that failed.
    """

    def __init__(self, address: Address, options: RemoteOptions) -> None:
        self.address = address
        self.identity: Identity | None = None
        self.fetched = 0
        self._name = str(address)
        self._options = options
        self._lock = threading.Lock()
        self._target = ""  # where redirects have led
        self._slots = _slots(options.connections)

    def open(self, n: int) -> bytes:
        """Read the first `n` bytes or the whole file, and keep in mind which file it is."""
        return self.read(0, n)

    def read(self, start: int, stop: int) -> bytes:
        """Read the bytes [start, stop).

        Raises
        ------
        RemoteError
            If they cannot be had, are not exactly those, or are of a file that has changed.
        """
        what = f"{self._name}, bytes {start:,} to {stop:,},"
        with _slot(self._slots):
            return persist(what, partial(self._attempt, start, stop), self._options)

    def _attempt(self, start: int, stop: int, end: float) -> bytes:
        target, known = self._target, self.identity
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        # Before a redirect is known again, the ETag of where it will lead is not known either.
        direct = bool(target) or (known is not None and not known.linked)
        # What is not ASCII may be in an ETag, but not in what a client sends.
        etag = known.etag if direct and known else ""
        if etag and etag.isascii() and not etag.startswith("W/"):
            headers["If-Range"] = etag
        n = 0

        def accept(status: int, found: Mapping[str, str]) -> int:
            nonlocal n
            n = self._length(found, start, stop) if status == 206 else 0
            return n

        request = Request(headers, accept, end, self._options, self._count)
        try:
            answer = request.follow(target or self.address.url)
        except Transient:
            self._target = ""  # perhaps another of the servers that hold it can be reached
            raise
        if answer.status != 206:
            return self._refuse(answer, target)
        if len(answer.body) < n:
            raise Transient(f"only {len(answer.body):,} of {n:,} bytes came")
        if len(answer.body) > n:
            raise wrong_answer(self._name, f"sends more than the {n:,} bytes that were asked")
        found = _identity(answer, request.hub.etag)
        if known is None:
            self.identity = found
            if request.hub.commit and self.address.repository:
                self.address = self.address.at(request.hub.commit)
        else:
            self._compare(known, found)
        self._target = "" if is_hub(answer.url) else answer.url
        return answer.body

    def _length(self, headers: Mapping[str, str], start: int, stop: int) -> int:
        """Check what the headers of a part say, before its bytes are read; return their number."""
        if (encoding := headers.get("content-encoding", "identity")) not in {"", "identity"}:
            raise wrong_answer(self._name, f"sends the encoding {encoding[:40]!r} for the bytes")
        stated = headers.get("content-range", "")
        match = _CONTENT_RANGE.fullmatch(stated)
        if match is None:
            raise wrong_answer(self._name, f"sends the Content-Range {stated[:80]!r}")
        first, last, total = map(int, match.groups())
        if self.identity is None:
            stop = min(stop, total)
        elif total != self.identity.size:
            raise changed(self._name, f"it had {self.identity.size:,} bytes and now has {total:,}")
        if (first, last + 1) != (start, stop):
            raise wrong_answer(
                self._name, f"was asked for bytes {start:,} to {stop:,} and sends {stated[:80]!r}"
            )
        length = headers.get("content-length")
        if length is not None and length != str(stop - start):
            raise wrong_answer(
                self._name, f"sends {length[:40]!r} bytes for a range of {stop - start:,}"
            )
        return stop - start

    def _compare(self, known: Identity, found: Identity) -> None:
        """Refuse bytes of another version. Sizes were compared before."""
        if known.linked and found.linked:
            same = known.linked == found.linked
        elif known.etag or found.etag:
            same = known.etag == found.etag
        else:
            same = known.modified == found.modified
        if not same:
            raise changed(self._name, "its ETag or date is another one")
        if known.etag != found.etag:  # another server of the hub, the same content
            self.identity = Identity(known.size, found.etag, found.modified, known.linked)

    def _refuse(self, answer: Answer, target: str) -> bytes:
        """Say why there are no bytes; for an empty file, that there are none."""
        status, known = answer.status, self.identity
        if target and status in _EXPIRED:
            self._target = ""
            raise Transient(
                f"the address that it redirected to has expired ({status})", at_once=True
            )
        if status in LATER:
            self._target = ""
            raise Transient(f"the server answers {status}", answer.headers.get("retry-after"))
        if status == 416 and known is None:
            if answer.headers.get("content-range") == "bytes */0":
                self.identity = Identity(0, "", "", "")
                return b""
            raise no_ranges(self.address, status)
        if known is not None and status in {200, 412, 416}:
            etag = answer.headers.get("etag", "")
            if status == 200 and etag == known.etag:
                raise no_ranges(self.address, status)
            raise changed(self._name, "the server no longer has the version that was opened")
        if status == 200:
            raise no_ranges(self.address, status)
        raise refused(self.address, answer)

    def _count(self, n: int) -> None:
        with self._lock:
            self.fetched += n


def _identity(answer: Answer, linked: str) -> Identity:
    total = answer.headers["content-range"].rpartition("/")[2]
    etag = answer.headers.get("etag", "")
    modified = "" if etag else answer.headers.get("last-modified", "")
    return Identity(int(total), etag, modified, linked)


_limits: dict[int, threading.BoundedSemaphore] = {}


def _slots(connections: int) -> threading.BoundedSemaphore:
    """Return what limits the ranges on their way, over all files of the process."""
    return _limits.setdefault(connections, threading.BoundedSemaphore(max(1, connections)))


@contextmanager
def _slot(slots: threading.BoundedSemaphore) -> Iterator[None]:
    """Wait for one of the slots as long as it is wanted, and give it back."""
    any(slots.acquire(timeout=pause) for pause in looks())
    try:
        yield
    finally:
        slots.release()
