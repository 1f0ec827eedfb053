"""Takes the table of an architecture away: as if nobody had written it yet."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from gguf_lab.reference import alignment
from gguf_lab.reference.architectures import family_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["without_table"]


@contextmanager
def without_table(architecture: str) -> Iterator[None]:
    """Line up as if there were no table for this architecture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            alignment,
            "family_of",
            lambda name, metadata: None if name == architecture else family_of(name, metadata),
        )
        yield
