"""The name of a tokenizer's pre-tokenizer: by its fingerprint, or by what it consists of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ...errors import UnsupportedError
from .fingerprints import FINGERPRINTS, TEXT, fingerprint
from .normalizing import parts_of
from .pre_tokenizers import PRE_TOKENIZERS

if TYPE_CHECKING:
    from .source import Source

__all__ = ["pre_tokenizer_name"]

_NAMES = {*PRE_TOKENIZERS, *FINGERPRINTS.values()}


def pre_tokenizer_name(source: Source, given: str | None) -> str:
    """Return what `tokenizer.ggml.pre` should say.

    The converter knows vocabularies by fingerprint. One that it has not met is told by its parts:
    if it cuts text exactly as a definition does, it has that definition's name.

    Parameters
    ----------
    source : Source
        The tokenizer.
    given : str, optional
        The name, for a tokenizer that cannot be recognized.

    Raises
    ------
    UnsupportedError
        If neither tells the name, or the given one is unknown to llama.cpp.
    """
    if given is not None:
        if given not in _NAMES:
            raise UnsupportedError(
                f"llama.cpp has no pre-tokenizer '{given}'. Known are {', '.join(sorted(_NAMES))}."
            )
        return given
    found = fingerprint(source.tokenizer.encode(TEXT, verbose=False))
    if found in FINGERPRINTS:
        return FINGERPRINTS[found]
    name = _by_parts(source)
    if name is None:
        raise UnsupportedError(
            f"The pre-tokenizer in {source.folder} is not one that llama.cpp's converter knows (its"
            f" fingerprint is {found}), and none of llama.cpp's cuts text in the same way. If you"
            " know which one suits, name it: metadata={'tokenizer.ggml.pre': 'gpt-2'}, for example."
        )
    return name


def _by_parts(source: Source) -> str | None:
    normalizers = parts_of(source.part("normalizer"))
    patterns = _patterns(parts_of(source.part("pre_tokenizer")))
    ignore_merges = bool(getattr(source.backend_model, "ignore_merges", False))
    nfc = [part.get("type") for part in normalizers] == ["NFC"]
    if patterns is None or (normalizers and not nfc):
        return None
    for name, known in PRE_TOKENIZERS.items():
        if (
            [_plain(p) for p in known.patterns] == patterns
            and (known.ignore_merges, known.nfc, known.add_sep) == (ignore_merges, nfc, False)
            and not known.raw
        ):
            return name
    return None


def _patterns(parts: list[dict[str, Any]]) -> list[str] | None:
    """Return the patterns that a pre-tokenizer consists of, or None if there is something else."""
    if "ByteLevel" not in {part.get("type") for part in parts}:
        return None
    patterns = []
    for place, part in enumerate(parts):
        kind = part.get("type")
        if place and parts[place - 1].get("type") == "ByteLevel" and not _cuts_digits(part):
            return None  # of what bytes are written as, a pattern finds something else
        if kind == "ByteLevel" and not part.get("add_prefix_space", True):
            if part.get("use_regex", True):
                patterns.append(_plain(PRE_TOKENIZERS["gpt-2"].patterns[0]))
        elif kind == "Split" and (pattern := _split(part)) is not None:
            patterns.append(_plain(pattern))
        elif kind == "Digits":
            patterns.append(r"\p{N}" if part.get("individual_digits") else r"\p{N}+")
        elif kind == "Punctuation" and part.get("behavior") == "Contiguous":
            patterns.append(PRE_TOKENIZERS["falcon"].patterns[0])
        else:
            return None
    return patterns


def _cuts_digits(part: dict[str, Any]) -> bool:
    """Whether a part looks for nothing but ASCII digits, which are written as themselves."""
    pattern = str((part.get("pattern") or {}).get("Regex"))
    return re.fullmatch(r"(\[0-9\])+", pattern) is not None


def _split(part: dict[str, Any]) -> str | None:
    pattern = part.get("pattern", {})
    text: str | None = pattern.get("Regex")
    if text is None and isinstance(pattern.get("String"), str):
        text = re.escape(pattern["String"])
    if text is None:
        return None
    if part.get("behavior") == "Isolated" and not part.get("invert"):
        return text
    # To keep the matches alone is the same if a pattern matches everything.
    whole = part.get("behavior") == "Removed" and part.get("invert") and text.endswith(r"|\s+")
    return text if whole else None


def _plain(pattern: str) -> str:
    r"""Write a pattern in one way. What lies between matches is a piece, so `|\s+` adds nothing."""
    spelt = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
    return pattern.replace(spelt, "(?i:'s|'t|'re|'ve|'m|'ll|'d)").removesuffix(r"|\s+")
