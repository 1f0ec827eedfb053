"""The list of models in the documents is that of the tables."""

from __future__ import annotations

import re
from pathlib import Path

from gguf_lab.bridge.hyperparameters import FAMILIES as HANDED_OVER
from gguf_lab.bridge.hyperparameters import PARTS
from gguf_lab.bridge.projectors import PROJECTORS as WRITTEN
from gguf_lab.bridge.projectors.readings import READINGS
from gguf_lab.reference.architectures import FAMILIES, PROJECTORS

TEXT = (Path(__file__).parents[1] / "docs" / "models.md").read_text(encoding="utf-8")


def test_every_table_is_listed_where_it_belongs() -> None:
    parts = [*re.split(r"^## ", TEXT, flags=re.MULTILINE)]
    names = {part.split("\n")[0]: re.findall(r"`([^`\s]+)`", part) for part in parts}
    there = {name for family in HANDED_OVER for name in family.architectures}
    every = {name for family in FAMILIES for name in family.architectures}
    types = {name for table in PROJECTORS for name in table.projectors}
    assert set(names["Lined up, and handed over to Transformers and back"]) == there & every
    others = [n for n in names["Lined up"] if n != "consolidated.safetensors"]
    assert sorted(others) == sorted(every - there)
    listed = [n for n in names["Encoders of images and sounds"] if not n.startswith("clip")]
    assert sorted(n for n in listed if n != "mmproj-*.gguf") == sorted(types)
    written = {name for table in WRITTEN for name in table.model_types}
    told = {*names["Encoders that are written"]} - {"export", "export_mmproj", "model_type"}
    assert told == written
    read = {reading.model_type for reading in READINGS.values()}
    only = {name for family in PARTS for name in family.architectures} - there
    assert {*names["Two files as one model"]} - {"model_type"} == read | only
