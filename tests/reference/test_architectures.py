"""The tables: patterns, and that no two tables speak of the same architecture."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from gguf_lab.model import open_model
from gguf_lab.reference import align, open_checkpoint
from gguf_lab.reference.architectures import FAMILIES, PROJECTORS, family_of
from gguf_lab.reference.architectures.family import Spelling, number_in, pattern_of
from gguf_lab.reference.architectures.plan import _converter_names
from gguf_lab.reference.architectures.projectors.granite_vision import GRANITE4_VISION
from gguf_lab.reference.facts import Facts

from .support import TABLES

if TYPE_CHECKING:
    from pathlib import Path


def test_every_architecture_and_model_type_has_one_table() -> None:
    for names in ("architectures", "model_types"):
        every = [name for family in FAMILIES for name in getattr(family, names)]
        assert len(every) == len(set(every))
    types = [name for family in PROJECTORS for name in family.projectors]
    assert len(types) == len(set(types))


def test_lines_of_all_tables_can_be_read() -> None:
    for family in (*FAMILIES, *PROJECTORS):
        for line in (*family.left_out, *family.made_up, *family.rows):
            pattern_of(line.pattern)
        for line in (*family.left_out, *family.made_up):
            assert line.reason
        for row in family.rows:
            numbers = pattern_of(row.pattern).groupindex
            assert row.to.format(**dict.fromkeys(numbers, "0")) is not None
            # what is joined needs an order
            assert (row.join is not None) == ("index" in numbers or row.place is not None)


def test_the_names_of_arctic_are_its_own() -> None:
    """Its norms are called otherwise; gguf writes that into what all its maps are made from."""
    name = "model.layers.0.post_attention_layernorm"
    for architecture, meaning in (
        ("llama", "blk.0.ffn_norm"),
        ("arctic", "blk.0.ffn_norm_exps"),
        ("llama", "blk.0.ffn_norm"),
    ):
        _converter_names.cache_clear()
        names = _converter_names(architecture, 1)
        assert names is not None
        assert names.get_name(name) == meaning


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("a.b", "a.b", True),
        ("a.b", "axb", False),
        ("*q.w", "x.q.w", True),
        ("*q.w", "x.q.w.y", False),
        ("l.{layer}.w", "l.12.w", True),
        ("l.{layer}.w", "l.x.w", False),
        ("l.{layer}.w", "l.\u0661.w", False),
        ("*", "any\nthing", True),
    ],
)
def test_patterns(pattern: str, name: str, matches: bool) -> None:
    assert (pattern_of(pattern).fullmatch(name) is not None) is matches


def test_spellings() -> None:
    assert Spelling("bert.", "").apply("bert.bert.w") == "bert.w"
    assert Spelling("bert.", "").apply("albert.w") == "albert.w"
    assert Spelling(".gamma", ".weight", "end").apply("a.gamma.gamma") == "a.gamma.weight"
    assert Spelling("x.", "", "anywhere").apply("a.x.b.x.c") == "a.b.c"


@pytest.mark.parametrize(
    ("name", "number"),
    [("a.7.b.9", 7), ("a7.b", None), ("3", 3), ("a.", None), ("a.12345678901", None)],
)
def test_number_in(name: str, number: int | None) -> None:
    assert number_in(name) == number


@pytest.mark.parametrize(
    ("maps", "numbers"),
    [
        # as published: the later the layer of the encoder, the earlier that of the language model
        ({"deepstack_layer_map": [[-19, 9], [-1, 0]], "spatial_target_layers": [6]}, (2, 0, 1)),
        ({"deepstack_layer_map": [[3, -4], [1, 0]], "spatial_target_layers": []}, (0, 1, None)),
        ({}, (None, None, None)),
        ({"deepstack_layer_map": "ab", "spatial_target_layers": 3}, (None, None, None)),
        ({"deepstack_layer_map": [1, "x"]}, (None, None, None)),
        ({"deepstack_layer_map": [[1, "x"], [2, None]]}, (None, None, None)),
        ({"spatial_target_layers": [{}, 1]}, (None, None, None)),
    ],
)
def test_projectors_of_granite_are_counted_as_the_converter_does(
    maps: dict[str, Any], numbers: tuple[int | None, ...]
) -> None:
    config = {"text_config": {"num_hidden_layers": 10}, **maps}
    facts = Facts.of("clip", {}, config)
    kinds = (("layerwise", 0), ("layerwise", 1), ("spatial", 0))
    names = []
    for kind, n in kinds:
        name = f"model.{kind}_projectors.{n}.query"
        rows = [(pattern_of(row.pattern).fullmatch(name), row) for row in GRANITE4_VISION.rows]
        names += [row.name_for(facts, match.groupdict()) for match, row in rows if match]
    assert names == [f"v.proj_blk.{'?' if n is None else n}.query" for n in numbers]


def test_unknown_architecture_has_no_table() -> None:
    assert family_of("nonesuch") is None


def test_the_room_imports_no_gguf_and_no_torch() -> None:
    code = (
        "import sys, gguf_lab.reference\n"
        "print(sorted({'gguf', 'torch', 'numba', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("value", [None, "0.5", [0.5], True, {}])
def test_a_multiplier_that_is_not_told_leaves_its_weights_unmatched(
    value: Any, tmp_path: Path
) -> None:
    """Falcon-h1: the converter multiplies with what config.json says."""
    folder = TABLES / "falcon-h1"
    config = json.loads((folder / "hf" / "config.json").read_text())
    config["lm_head_multiplier"] = value
    config["mlp_multipliers"] = [1.5, value]
    (tmp_path / "config.json").write_text(json.dumps(config))
    shutil.copy(folder / "hf" / "model.safetensors", tmp_path)
    pairs = align(open_model(folder / "falcon-h1-f32.gguf"), open_checkpoint(tmp_path)).pairs
    assert {p.name: p.reason.split(",")[0] for p in pairs if p.status != "matched"} == {
        "output.weight": "config.json has no lm_head_multiplier",
        **{
            f"blk.{layer}.ffn_{kind}.weight": "config.json has no mlp_multipliers"
            for layer in (0, 1)
            for kind in ("gate", "down")
        },
    }
