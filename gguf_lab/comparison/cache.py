"""Figures on disk, so that a comparison goes on where it was when it was interrupted.

One small file for each tensor, in a folder for each pair of models: a SHA-256 on the first line and
JSON on the second, floats in hexadecimal, so that they come back to the bit. A file is put into its
place at once; a process that is killed leaves whole ones only, and two processes at a time write
the same. What is damaged, or was measured by another version, is measured again, and said.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ComparisonError
from ..file.source import expanded
from ..reference import Checkpoint
from .histogram import BINS
from .statistics import STATISTICS_VERSION, Statistics

if TYPE_CHECKING:
    from ..model import Model, Tensor
    from ..reference import Pair

__all__ = ["ResultCache"]

_LARGEST = 1 << 20  # bytes of a file; one has some 10,000
_FLOATS = ("ee", "rr", "xx", "xr", "abs_e", "peak")
_WHOLE = ("n", "n_nan", "n_inf")


class ResultCache:
    """The part of a folder that is about one pair of models, measured in one way.

    Parameters
    ----------
    folder : str or path
        Made if it is not there.
    model : Model
    reference : Checkpoint or Model
    how : tuple of str, str, int
        Backend, device and weights per chunk: sums in another order are other sums.
    importance : str
        Digest of the weights that errors are multiplied with; empty without.

    Attributes
    ----------
    path : Path or None
        Where the files are; None if nothing is kept.

    Raises
    ------
    ComparisonError
        If the folder cannot be made.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        model: Model,
        reference: Checkpoint | Model,
        how: tuple[str, str, int],
        importance: str = "",
    ) -> None:
        self.path: Path | None = None
        self._reference = reference
        self._problem = ""
        self._unused = {"damaged": 0, "of another version": 0}
        versions = [[s.version for s in side.sources] for side in (model, reference)]
        for side, found in zip((model, reference), versions, strict=True):
            if not all(found):
                self._problem = (
                    f"nothing is kept, because no strong ETag tells {side.path.name} from a changed"
                    " one"
                )
                return
        self._places = {id(source): i for i, source in enumerate(reference.sources)}
        config = reference.config if isinstance(reference, Checkpoint) else {}
        backend, device, chunk = how
        means = [backend, device.partition(":")[0], chunk, *([importance] if importance else [])]
        self.path = expanded(folder) / _digest([*versions, config, means])[:32]
        self._about = {"model": str(model.path), "reference": str(reference.path)}
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise ComparisonError(
                f"the cache {folder} cannot be made: {problem.strerror or problem}. Give a folder "
                "that can be written to."
            ) from None

    def get(self, tensor: Tensor, pair: Pair) -> Statistics | None:
        """Return what was found for a tensor, None if it has to be measured."""
        if self.path is None:
            return None
        try:
            with self._file(tensor.name).open("rb") as file:
                content = file.read(_LARGEST)
        except FileNotFoundError:
            return None
        except OSError as problem:
            self._complain(problem)
            return None
        digest, _, text = content.rstrip(b"\n").partition(b"\n")
        if digest != hashlib.sha256(text).hexdigest().encode():
            self._unused["damaged"] += 1
            return None
        record = json.loads(text)
        if record.get("made of") != self._made_of(tensor, pair):
            self._unused["of another version"] += 1
            return None
        return _statistics(record)

    def put(self, tensor: Tensor, pair: Pair, found: Statistics) -> None:
        """Keep what was found for a tensor; a folder that takes no more is no reason to stop."""
        if self.path is None:
            return
        record = {"tensor": tensor.name, **self._about, "made of": self._made_of(tensor, pair)}
        text = json.dumps(record | _record(found)).encode()
        content = hashlib.sha256(text).hexdigest().encode() + b"\n" + text + b"\n"
        try:
            handle, name = tempfile.mkstemp(prefix=".new-", dir=self.path)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                Path(name).replace(self._file(tensor.name))
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as problem:
            self._complain(problem)

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be used, in words."""
        notes = [
            f"{n} {'entry of the cache was' if n == 1 else 'entries of the cache were'} {why} and"
            " measured again"
            for why, n in self._unused.items()
            if n
        ]
        return (*notes, *([self._problem] if self._problem else []))

    def _complain(self, problem: OSError) -> None:
        self._problem = f"the cache could not be used: {problem.strerror or problem}"

    def _file(self, name: str) -> Path:
        # To be found by eye; names are untrusted, may be alike but for case, and are not unique so.
        plain = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:64]
        return self.path / f"{plain}-{_digest(name)[:16]}.json"  # type: ignore[operator]

    def _made_of(self, tensor: Tensor, pair: Pair) -> dict[str, Any]:
        """Describe what decides the figures beside the files themselves."""
        return {
            "statistics": STATISTICS_VERSION,
            "name": tensor.name,
            "type": tensor.qtype,
            "reference": [self._origin(name) for name in pair.reference_names],
            "transform": pair.transform,
            "reference type": pair.dtype,
        }

    def _origin(self, name: str) -> list[Any]:
        """Say which bytes of the reference are meant: an index names the file of each tensor."""
        if not isinstance(self._reference, Checkpoint):
            return [name]
        tensor = self._reference.tensors[name]
        file = self._places[id(tensor.source)]
        return [name, tensor.dtype, list(tensor.shape), file, tensor.offset]


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _record(found: Statistics) -> dict[str, Any]:
    filled = np.flatnonzero(found.counts)
    first, stop = (int(filled[0]), int(filled[-1]) + 1) if filled.size else (0, 0)
    return {
        **{name: getattr(found, name) for name in _WHOLE},
        **{name: float(getattr(found, name)).hex() for name in _FLOATS},
        "weighted": [w if w is None else float(w).hex() for w in (found.wee, found.wrr)],
        "first bin": first,
        "counts": found.counts[first:stop].tolist(),
    }


def _statistics(record: dict[str, Any]) -> Statistics:
    counts = np.zeros(BINS, np.int64)
    first: int = record["first bin"]
    counts[first : first + len(record["counts"])] = record["counts"]
    floats = {name: float.fromhex(record[name]) for name in _FLOATS}
    n, n_nan, n_inf = (record[name] for name in _WHOLE)
    sums = record.get("weighted", [None, None])  # entries of before have none
    wee, wrr = (w if w is None else float.fromhex(w) for w in sums)
    return Statistics(n=n, n_nan=n_nan, n_inf=n_inf, counts=counts, wee=wee, wrr=wrr, **floats)
