"""What a comparison found: rows of tensors, their histograms, summaries and pictures."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

from ..errors import ComparisonError
from ..file.called import called
from ..file.text import preview, printable
from ..markup import Html, card, grid, more, note
from ..model.words import bytes_in_words
from .beside import Beside, beside, place_of
from .metadata import MetadataDifference
from .named import ByName
from .pool import pools
from .row import COLUMNS, TensorComparison, worst_first

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure

    from ..file import Address
    from ..model import Model
    from ..reference import Checkpoint
    from .histogram import Histogram

__all__ = ["Comparison", "check_is_of"]

_POOLED = ("rmse", "relative_rmse", "sqnr_db", "cosine", "max_abs_error", "n_nan")
_WORST = 10  # tensors listed in a notebook
_KEYS = 20  # of metadata, there


@dataclass(frozen=True, slots=True)
class Comparison(ByName[TensorComparison]):
    """A GGUF file against its original weights, or against another GGUF file.

    Attributes
    ----------
    rows : tuple of TensorComparison
        The tensors of the file in file order, then what only the reference has.
    model_path, reference_path : Path or Address
        What was compared.
    backend, device : str
        What did the arithmetic.
    seconds : float
        How long the pass took.
    complete : bool
        False if it was cancelled: the rows are those that were finished.
    metadata : tuple of MetadataDifference
        Where the metadata of two GGUF files differ; see `metadata_differences`.
    model_fetched, reference_fetched : int
        Bytes that came over a network for it, of each side; 0 where files are of this machine.
    cached : int
        Rows whose figures are from the cache.
    cache_notes : tuple of str
        What of the cache could not be used, and why; empty if nothing is to be said.
    """

    rows: tuple[TensorComparison, ...] = field(repr=False)
    model_path: Path | Address
    reference_path: Path | Address
    backend: str
    device: str
    seconds: float
    complete: bool
    metadata: tuple[MetadataDifference, ...] = field(default=(), repr=False)
    model_fetched: int = 0
    reference_fetched: int = 0
    cached: int = 0
    cache_notes: tuple[str, ...] = ()

    @property
    def metadata_differences(self) -> pd.DataFrame:
        """What differs between two GGUF files in metadata, tokenizer and chat template.

        One row per key with the columns `key`, `ours`, `theirs` (what stands there, shortened and
        on one line, empty where there is nothing) and `kind` (what the difference is, in words).
        Empty if the reference is a checkpoint.
        """
        import pandas as pd

        columns = [f.name for f in fields(MetadataDifference)]
        return pd.DataFrame(
            [[getattr(found, name) for name in columns] for found in self.metadata],
            columns=columns,
            dtype=object,
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per tensor, with the columns of ``COLUMNS``.

        Figures are NaN (counts NA) in rows that were not measured; `name` is None in those that
        only the reference has. Leave out what is "unverified" when you average. If errors were
        weighted by an importance matrix, `weighted_relative_rmse` is the last column.
        """
        import pandas as pd

        frame = pd.DataFrame(
            {column: [getattr(row, column) for row in self.rows] for column in COLUMNS}
        )
        for column in ("layer", "n_elements", "n_nan", "n_inf"):
            frame[column] = frame[column].astype("Int64")
        for column in COLUMNS[COLUMNS.index("bits_per_weight") : COLUMNS.index("n_nan")]:
            frame[column] = frame[column].astype("float64")
        weighted = [row.weighted_relative_rmse for row in self.rows]
        if any(figure is not None for figure in weighted):
            frame["weighted_relative_rmse"] = pd.Series(weighted, dtype="float64")
        return frame

    def histogram(self, name: str) -> Histogram:
        """Return the error histogram of a tensor; its edges are the same for all of them.

        Raises
        ------
        KeyError
            If there is no such tensor.
        ComparisonError
            If it was not measured.
        """
        row = self[name]
        if row.statistics is None:
            raise ComparisonError(f"{name} was not compared: {row.reason or row.status}")
        return row.statistics.histogram

    def layers(self) -> pd.DataFrame:
        """Return one row per layer: the figures of all its compared weights taken together.

        Sums are pooled, so large tensors weigh more; tensors outside the layers are left out.
        """
        import pandas as pd

        rows = [
            {
                "layer": layer,
                "n_tensors": pool.n_tensors,
                "n_elements": pool.statistics.n,
                "bits_per_weight": pool.bits_per_weight,
                **{name: getattr(pool.statistics, name) for name in _POOLED},
            }
            for layer, pool in sorted(pools(self.compared, lambda row: row.layer).items())
        ]
        columns = ["layer", "n_tensors", "n_elements", "bits_per_weight", *_POOLED]
        return pd.DataFrame(rows, columns=columns)

    def beside(self, other: Comparison) -> Beside:
        """Put this comparison (A) beside another (B) with the same reference: who is better where.

        Raises
        ------
        ComparisonError
            If they were made with different references, or `other` is no comparison.
        """
        return beside(self, other)

    def plot_layers(self, statistic: str = "relative_rmse") -> Figure:
        """Draw a statistic against depth: each kind of tensor, and the layer as a whole."""
        from ..plots import plot_layers

        return plot_layers(self.to_frame(), self.layers(), statistic, title=self.model_path.name)

    def plot_heatmap(self, statistic: str = "relative_rmse") -> Figure:
        """Draw a statistic as layer x kind."""
        from ..plots import plot_heatmap

        return plot_heatmap(self.to_frame(), statistic, title=self.model_path.name)

    def plot_histogram(self, name: str) -> Figure:
        """Draw the error histogram of one tensor."""
        from ..plots import plot_histogram

        row, histogram = self[name], self.histogram(name)
        # Without a range that four RMSE could give, the whole grid is drawn.
        part = histogram.coarsen(4 * row.rmse) if 0 < row.rmse < math.inf else histogram
        title = f"{name} (unverified)" if row.status == "unverified" else name
        return plot_histogram(part.edges, part.density(), title=title, rmse=row.rmse or 0.0)

    @property
    def compared_with(self) -> str:
        """What to call the reference in a sentence: any GGUF file is no original."""
        return "the reference" if self.reference_path.suffix == ".gguf" else "the original"

    @property
    def summary(self) -> str:
        """What was compared and what was not, in one sentence."""
        status = Counter(row.status for row in self.rows if row.name is not None)
        only = sum(row.name is None for row in self.rows)
        weighted = sum(row.weighted_relative_rmse is not None for row in self.compared)
        parts = [
            f"{status['compared']} of {sum(status.values()) - status['scale']} tensors compared"
        ]
        parts += [f"{weighted} of them weighted by importance"] if weighted else []
        if status["unverified"]:
            parts.append(f"{status['unverified']} unverified (only name and shape agree)")
        n = status["scale"]
        parts += [f"{n} {'scale' if n == 1 else 'scales'} beside them"] if n else []
        parts += [f"{status[s]} {s}" for s in ("unmatched", "unsupported") if status[s]]
        parts += [f"{only} only in the reference"] if only else []
        n = len(self.metadata)
        parts += [f"{n} metadata {'key differs' if n == 1 else 'keys differ'}"] if n else []
        parts += [] if self.complete else ["cancelled before the end"]
        if self.model_fetched or self.reference_fetched:
            sides = (self.model_fetched, "model"), (self.reference_fetched, "reference")
            words = " and ".join(f"{bytes_in_words(n)} of the {side}" for n, side in sides)
            parts.append(f"fetched {words}")
        parts += [f"{self.cached} from the cache"] if self.cached else []
        parts += self.cache_notes
        return ", ".join(parts)

    def __repr__(self) -> str:
        sides = f"{self.model_path.name} with {called(self.reference_path)}"
        how = f"{self.seconds:.2f} s, {self.backend} on {self.device}"
        return f"Comparison of {sides}: {self.summary} ({how})"

    def _repr_html_(self) -> str:
        return card(
            f"{printable(self.model_path.name)} against {printable(called(self.reference_path))}",
            *self._worst("compared", "The tensors with the largest relative weight-space error:"),
            *self._worst(
                "unverified",
                "\u26a0 Unverified: only name and shape say that these belong to their "
                "reference, and what the converter did is not undone. No summary counts them.",
            ),
            *self._differing_metadata(),
            note=self.summary,
        )

    def _worst(self, status: str, title: str) -> tuple[Html, ...]:
        rows = [row for row in self.rows if row.status == status]
        if not rows and status != "compared":
            return ()
        columns = [
            *("name", "qtype", "reference_qtype", "bits_per_weight"),
            *("relative_rmse", "sqnr_db", "cosine"),
        ]
        worst = replace(self, rows=tuple(worst_first(rows, "relative_rmse")[:_WORST]))
        return note(title), _table(worst.to_frame()[columns])

    def _differing_metadata(self) -> tuple[Html, ...]:
        frame = self.metadata_differences
        if frame.empty:
            return ()
        return (
            note("What differs in metadata, tokenizer and chat template:"),
            _table(frame.head(_KEYS)),
            more(len(frame), _KEYS, "in metadata_differences"),
        )


def _table(frame: pd.DataFrame) -> Html:
    """Show a frame: numbers with six digits, to the right."""
    numeric = [i for i, kind in enumerate(frame.dtypes) if kind.kind in "iuf"]
    rows = [
        [f"{v:.6g}" if i in numeric else str(v) for i, v in enumerate(row)]
        for row in frame.itertuples(index=False)
    ]
    return grid(list(frame.columns), rows, numeric)


def check_is_of(
    comparison: Comparison, model: Model, reference: Checkpoint | Model | None = None
) -> None:
    """Refuse figures that would stand beside another file, or under the name of another reference.

    Raises
    ------
    ComparisonError
        If another file was compared, or with another reference; or if it is no comparison.
    """
    if not isinstance(comparison, Comparison):
        raise ComparisonError(
            f"{preview(comparison)} is no comparison. Give the result of `compare`."
        )
    ours = map(place_of, (model.path, *model.file.paths))
    if place_of(comparison.model_path) not in ours:
        raise ComparisonError(
            f"the comparison is of {comparison.model_path}, not of {model.path}: its figures would"
            " stand beside the tensors of another file. Compare this file, or leave out"
            " comparison=..."
        )
    if reference is not None and not _is_same(comparison.reference_path, reference):
        raise ComparisonError(
            f"the comparison is with {comparison.reference_path}, not with {reference.path}: its"
            " figures are not those of this reference. Leave out one of the two."
        )


def _is_same(path: Path | Address, reference: Checkpoint | Model) -> bool:
    """Whether a path leads to a reference: to what was opened, the folder it is in, or a shard."""
    paths = [reference.path, *(reference.file.paths if hasattr(reference, "file") else ())]
    if not hasattr(reference, "file"):  # a checkpoint: its folder, or the file in it
        paths += [p.parent for p in paths if p.suffix in {".safetensors", ".json"}]
        path = path.parent if path.suffix in {".safetensors", ".json"} else path
    return place_of(path) in map(place_of, paths)
