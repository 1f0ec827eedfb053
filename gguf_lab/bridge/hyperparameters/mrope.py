"""The rotary positions of what sees (M-RoPE): the pairs of a head for time, height and width.

Facts: llama.cpp's converter, ``TextModel.set_gguf_parameters``, and the graphs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .config_side import counted, refuse
from .family import Rule
from .rope import DIMENSION_SECTIONS, ROPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .family import Line
    from .file_side import FileSide

__all__ = ["SECTIONS", "TEXT_ONLY", "interleaved", "with_sections"]


def _sections(config: ConfigSide) -> Mapping[str, object]:
    given = config.rope.get("mrope_section")
    if not isinstance(given, list | tuple) or len(given) != 3:
        raise config.wrong("mrope_section", given, "three numbers: of time, height and width")
    sections = [counted(config, "mrope_section", number) for number in given]
    size = config.head_size()
    if not size // 2 <= sum(sections) <= size:
        raise refuse(
            f"mrope_section {sections} with heads of {size}: llama.cpp turns pairs of no section"
            " otherwise, and ends where the sum is more than the size of a head"
        )
    return {DIMENSION_SECTIONS: [*sections, 0]}


def interleaved(config: ConfigSide, given: Any, turned: int) -> Mapping[str, object]:
    """Write the sections of rotary pairs that take turns: time, height, width and again."""
    if not isinstance(given, list | tuple):
        raise config.wrong("mrope_section", given, "three numbers: of time, height and width")
    sections = [*(counted(config, "mrope_section", number) for number in given), 0, 0, 0][:4]
    size, whole = config.head_size(), sum(sections)
    if not 0 < whole <= size:
        raise refuse(
            f"mrope_section {[*given]} with heads of {size}: llama.cpp ends where the sum of the"
            " sections is more than the size of a head, or nothing"
        )
    of_none = {i % whole for i in range(turned // 2) if i % whole >= 3 * sections[i % whole % 3]}
    if of_none:
        raise refuse(f"mrope_section {[*given]}: llama.cpp turns pairs of no section otherwise")
    return {DIMENSION_SECTIONS: sections}


def with_sections(rope: Line, file: FileSide, **others: object) -> Mapping[str, object]:
    """Read the rotary settings by a line of a table, and the sections."""
    settings: dict[str, Any] = dict(rope.to_config(file)["rope_parameters"])  # type: ignore[call-overload]
    sections = file.counts(DIMENSION_SECTIONS, 4)[:3]
    return {"rope_parameters": {**settings, "mrope_section": sections, **others}}


def _whole_heads(file: FileSide) -> Mapping[str, object]:
    return with_sections(ROPE, file)


SECTIONS = Rule(_sections, _whole_heads)
"""How the pairs of a head are shared out."""


def _text_only(file: FileSide) -> Mapping[str, object]:
    if file.has(DIMENSION_SECTIONS):
        raise file.unsupported("this one sees (M-RoPE), and its other half is in another file")
    return {}


TEXT_ONLY = Rule(to_config=_text_only)
"""Refuses the language model of one that sees, which has another class."""
