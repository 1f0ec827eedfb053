"""What a file is: its name in parts, what it weighs and where, and what is unusual in it."""

from __future__ import annotations

from collections import defaultdict
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import traitlets

from ..errors import GGUFLabError, starting_threads
from ..file.text import printable
from ..footprint import active_parameters
from ..markup import card, fold, grid, more
from ..model.card import facts_of, warnings_of
from ..model.words import bytes_in_words, count_in_words
from .assets import script, style
from .base import Panel
from .selection import Selection

if TYPE_CHECKING:
    from ..checks import Findings
    from ..comparison import Comparison
    from ..model import Model
    from ..reference import Checkpoint
    from .owner import Openable

__all__ = ["Overview"]

_KINDS: Final = 16  # kinds of tensors that the picture has; the rest is one bar
_TYPES: Final = 8  # types that have a colour of their own
_MOST_FINDINGS: Final = 200
_OUTSIDE: Final = "outside the layers"
_LOOKING: Final = "Looking for what is unusual …"
_STORED_EARLY: Final = "What is unusual was not known yet when this was stored."
_NAMED: Final = (
    ("base_name", "model"),
    ("size_label", "size"),
    ("fine_tune", "fine-tuned"),
    ("version", "version"),
    ("encoding", "encoding"),
    ("type", "type"),
)


class Overview(Selection, Panel):
    """What a file is, at a glance.

    Its name taken apart, the facts of its metadata, size by kind and type as a picture, bits per
    weight by layer, its shards, and what is unusual: the findings of `check`, made off the kernel's
    thread. A finding about a tensor selects it.

    Parameters
    ----------
    model : Model, path or Address
        A model, or any file of one: what is given as a path is closed with the panel.
    check : bool
        Look for what is unusual at once.
    height : int
        Height in CSS pixels; 0 leaves it to the content.
    """

    _esm = script("overview")
    _css = style("lines", "overview")

    facts = traitlets.List(traitlets.List(), help="[name, text] of the file").tag(sync=True)
    named = traitlets.List(traitlets.List(), help="[part, text] of the file's name").tag(sync=True)
    shards = traitlets.List(traitlets.List(), help="[file, tensors, size] of a set").tag(sync=True)
    warnings = traitlets.List(traitlets.Unicode(), help="What is wrong with the file").tag(
        sync=True
    )
    sizes = traitlets.Dict(help="Bytes by kind and type").tag(sync=True)
    layers = traitlets.List(
        traitlets.List(), help="[layer, bits per weight, bytes, weights]; layer null: outside"
    ).tag(sync=True)
    findings = traitlets.List(
        traitlets.List(), help="[severity, rule, where, what, advice, tensor or null]"
    ).tag(sync=True)
    skipped = traitlets.List(traitlets.List(), help="[rule, why] of rules that were not asked").tag(
        sync=True
    )
    verdict = traitlets.Unicode("", help="The findings in a few words").tag(sync=True)
    jumps = traitlets.Int(0, help="How often the tensor of a finding was asked for").tag(sync=True)

    def __init__(self, model: Openable, *, check: bool = True, height: int = 0) -> None:
        self._thread: Thread | None = None
        self._model = model = self._model_of(model)
        self.found: Findings | None = None
        super().__init__(height=height, label="Overview of the file")
        self.facts = _facts(model)
        self.named = _named(model)
        self.shards = _shards(model)
        self.warnings = warnings_of(model)
        self.sizes = _sizes(model)
        self.layers = _layers(model)
        if check:
            self.check()

    def check(
        self,
        reference: Checkpoint | Model | None = None,
        comparison: Comparison | None = None,
    ) -> None:
        """Look for what is unusual, in a thread; the values of the weights are not read.

        Parameters
        ----------
        reference : Checkpoint or Model, optional
            The original.
        comparison : Comparison, optional
            What was found for the two.
        """
        from ..checks import check

        def work() -> None:
            try:
                found = check(
                    self._model, reference, deep=False, comparison=comparison, progress=False
                )
                self._show(found)
            except Exception as error:  # noqa: BLE001 - whatever it is, the user must see it
                fail(error)

        def fail(error: Exception) -> None:
            self._fail(error)
            self.verdict = "The check failed."

        self.wait()
        self.verdict = _LOOKING
        thread = Thread(target=work, name="gguf-lab-check", daemon=True)
        try:
            with starting_threads():
                thread.start()
            self._thread = thread
        except GGUFLabError as error:
            fail(error)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the check; False if `timeout` seconds were not enough."""
        if self._thread is not None:
            self._thread.join(timeout)
            return not self._thread.is_alive()
        return True

    def _show(self, found: Findings) -> None:
        rows = []
        for finding in found[:_MOST_FINDINGS]:
            texts = (finding.severity, finding.code, finding.where)
            words = (printable(finding.message, 1000), printable(finding.what_to_do, 1000))
            name = finding.where if finding.where in self._model.tensors else None
            rows.append([*(printable(text, 200) for text in texts), *words, name])
        with self.hold_sync():
            self.found = found
            self.findings = rows
            self.skipped = [[rule, printable(why, 300)] for rule, why in found.skipped.items()]
            left = more_words(len(found), len(rows))
            self.verdict = printable(f"{found.summary}{left}", 400)

    @property
    def names(self) -> list[str]:
        """Names that can be selected."""
        return list(self._model.tensors)

    def _has(self, name: str) -> bool:
        return name in self._model.tensors

    def close(self) -> None:
        """Close the panel; a check that is under way ends by itself."""
        self.wait(10)
        super().close()

    def __repr__(self) -> str:
        return f"<Overview: {printable(self._model.name, 80)}, {self.verdict or 'not checked'}>"

    def _static(self, limit: int | None) -> str:
        found = [row[:5] for row in self.findings[:limit]]
        kinds = [
            (row["kind"], bytes_in_words(row["total"]), _mix(row, self.sizes["types"]))
            for row in self.sizes["rows"]
        ]
        layers = [
            (_OUTSIDE if layer is None else str(layer), f"{bits:.2f}", bytes_in_words(size))
            for layer, bits, size, _ in self.layers[:limit]
        ]
        parts = [grid(("", ""), [*self.named, *self.facts])]
        if found:
            parts.append(grid(("severity", "rule", "where", "what", "what to do"), found))
            parts.append(more(len(self.findings), len(found), "findings"))
        if self.skipped:
            parts.append(fold("Rules not asked", grid(("rule", "why"), self.skipped)))
        if kinds:
            table = grid(("kind", "size", "types"), kinds, (1,))
            parts.append(fold("Size by kind and type", table))
        if layers:
            table = grid(("layer", "bits", "size"), layers, (1, 2))
            rest = more(len(self.layers), len(layers), "lines")
            parts.append(fold("Bits per weight by layer", table, rest))
        verdict = _STORED_EARLY if self.verdict == _LOOKING else self.verdict
        return card("Overview", *parts, note=verdict, warnings=self.warnings)


def more_words(total: int, shown: int) -> str:
    """Say how many were left out."""
    return f"; the first {shown:,} of {total:,} are listed" if shown < total else ""


def _facts(model: Model) -> list[list[str]]:
    facts = [[label, printable(text, 200)] for label, text in facts_of(model)]
    active = active_parameters(model) if model.architecture else None
    if active is not None:
        share = 100 * active / max(1, model.n_parameters)
        words = f"{count_in_words(active)} ({active:,}), {share:.0f} %: of experts those in use"
        at = next((k for k, fact in enumerate(facts) if fact[0] == "parameters"), -1)
        facts.insert(at + 1, ["active parameters", words])
    return facts


def _named(model: Model) -> list[list[str]]:
    """Return the parts of the file's name by the naming convention."""
    name = model.file_name
    if name is None:
        return [["name", "does not follow the naming convention"]]
    said = {key: getattr(name, key) for key, _ in _NAMED}
    if name.version not in model.path.name:
        said["version"] = None  # the convention implies it
    parts = [[label, str(said[key])] for key, label in _NAMED if said[key]]
    if name.shard_count is not None:
        parts.append(["shard", f"{name.shard} of {name.shard_count}"])
    return [[label, printable(text, 160)] for label, text in parts]


def _shards(model: Model) -> list[list[Any]]:
    paths = model.file.paths
    if len(paths) < 2:
        return []
    tensors: dict[int, int] = defaultdict(int)
    size: dict[int, int] = defaultdict(int)
    for info in model.file.tensors:
        tensors[info.shard] += 1
        size[info.shard] += info.nbytes or 0
    return [
        [printable(path.name, 160), tensors[number], bytes_in_words(size[number])]
        for number, path in enumerate(paths[:1000])
    ]


def _sizes(model: Model) -> dict[str, Any]:
    """Return the bytes of each kind of tensor by type, the largest first."""
    by_type: dict[str, int] = defaultdict(int)
    by_kind: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for tensor in model.tensors.values():
        size = tensor.nbytes or 0
        by_type[tensor.qtype] += size
        cell = by_kind[tensor.kind][tensor.qtype]
        cell[0] += size
        cell[1] += 1
    types = sorted(by_type, key=lambda t: (-by_type[t], t))
    kinds = sorted(by_kind, key=lambda k: (-sum(c[0] for c in by_kind[k].values()), k))
    rest: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for kind in kinds[_KINDS:]:
        for qtype, (size, count) in by_kind[kind].items():
            rest[qtype][0] += size
            rest[qtype][1] += count
    named = [(printable(kind, 60), by_kind[kind]) for kind in kinds[:_KINDS]]
    if rest:
        named.append((f"{len(kinds) - _KINDS} other kinds", rest))
    rows = []
    for kind, cells in named:
        parts = [[types.index(qtype), *cells[qtype]] for qtype in sorted(cells, key=types.index)]
        total = sum(part[1] for part in parts)
        rows.append({"kind": kind, "total": total, "parts": parts})
    return {
        "types": [printable(t, 40) for t in types],
        "by_type": [by_type[t] for t in types],
        "rows": rows,
        "colours": _TYPES,
    }


def _mix(row: dict[str, Any], types: list[str]) -> str:
    return ", ".join(f"{types[k]} {bytes_in_words(size)}" for k, size, _ in row["parts"])


def _layers(model: Model) -> list[list[Any]]:
    """Return bits per weight of each layer, and of what is outside of the layers."""
    sums: dict[int | None, list[int]] = defaultdict(lambda: [0, 0])
    for tensor in model.tensors.values():
        if tensor.nbytes is not None and tensor.n_elements:
            cell = sums[tensor.layer]
            cell[0] += tensor.nbytes
            cell[1] += tensor.n_elements
    order = sorted(sums, key=lambda layer: -1 if layer is None else layer)
    return [[layer, 8 * sums[layer][0] / sums[layer][1], *sums[layer]] for layer in order]
