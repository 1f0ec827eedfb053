"""What a tokenizer does to a text before it looks for tokens, and whether llama.cpp does the same.

llama.cpp goes by the kind of vocabulary, whatever the tokenizer says. A byte-level BPE is
recognized in `naming`; of the others the parts are known that come to what llama.cpp does, and
with any other part most texts would have other tokens.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ...errors import UnsupportedError
from .vocabulary import CONTINUES, SPACE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .source import Source

__all__ = ["check_merged", "check_unigram", "check_wordpiece", "normalizer_keys", "parts_of"]

_LOWERCASE = "tokenizer.ggml.normalizer.lowercase"
_STRIP = "tokenizer.ggml.normalizer.strip_accents"
# a regular expression in which nothing but spaces stands
_SPACES = r"(?: |[*+^$|]|\\A|\\z|\(\?=|\)|\{[\d,]+\})+"


def parts_of(whole: Any) -> list[dict[str, Any]]:
    """Return the parts that a normalizer or a pre-tokenizer of `tokenizers` consists of."""
    if not isinstance(whole, dict):
        return []
    if whole.get("type") != "Sequence":
        return [whole]
    inner = whole.get("normalizers", whole.get("pretokenizers"))
    return [part for one in inner or [] for part in parts_of(one)]


def normalizer_keys(normalizer: Any) -> dict[str, object]:
    """Return the keys that the converter writes for a normalizer."""
    found: dict[str, object] = {}
    for part in parts_of(normalizer):
        kind = part.get("type")
        if kind == "Lowercase":
            found[_LOWERCASE] = True
        elif kind == "StripAccents":
            found[_STRIP] = True
        elif kind == "BertNormalizer":
            settings = {_LOWERCASE: part.get("lowercase"), _STRIP: part.get("strip_accents")}
            found |= {key: value for key, value in settings.items() if value is not None}
    return found


def check_wordpiece(source: Source) -> dict[str, object]:
    """Refuse a WordPiece of other words; return the keys for what llama.cpp does by itself.

    Raises
    ------
    UnsupportedError
        If llama.cpp cuts texts otherwise.
    """
    normalizers = parts_of(source.part("normalizer"))
    kinds = [part.get("type") for part in normalizers]
    _refuse(
        source, "normalizer", kinds, {"BertNormalizer", "NFC", "NFD", "Lowercase", "StripAccents"}
    )
    words = [part.get("type") for part in parts_of(source.part("pre_tokenizer"))]
    if words != ["BertPreTokenizer"] and {*words} != {"WhitespaceSplit", "Punctuation"}:
        _refuse(source, "pre_tokenizer", words or ["missing"], ())
    prefix = getattr(source.backend_model, "continuing_subword_prefix", CONTINUES)
    if prefix != CONTINUES:
        raise UnsupportedError(
            f"The tokenizer in {source.folder} writes {prefix!r} before pieces that continue a"
            f" word; of a WordPiece only those with {CONTINUES!r} can be exported."
        )
    bert = [part for part in normalizers if part.get("type") == "BertNormalizer"]
    if not all(part.get("handle_chinese_chars", True) for part in bert) or not bert:
        source.notes.append("llama.cpp parts Chinese characters, Transformers does not")
    if bert:
        return {}
    # without a word from the file llama.cpp lowers, and strips accents where it lowers
    return {_LOWERCASE: "Lowercase" in kinds, _STRIP: "StripAccents" in kinds}


def check_merged(source: Source) -> None:
    """Refuse a BPE with byte fallback that does more than to write spaces as "▁".

    Raises
    ------
    UnsupportedError
        If llama.cpp finds other tokens.
    """
    normalizers = parts_of(source.part("normalizer"))
    words = parts_of(source.part("pre_tokenizer"))
    _refuse(
        source,
        "normalizer",
        ["Replace of a text" if _replaces(p) else p.get("type") for p in normalizers],
        {"Prepend", "Replace"},
    )
    # where no space is left nothing is cut at one
    cuts = [p.get("type") for p in words if not _cuts_at_spaces(p)]
    _refuse(source, "pre_tokenizer", cuts, {"Metaspace"})
    if not any(p.get("type") in {"Replace", "Metaspace"} for p in [*normalizers, *words]):
        _refuse(source, "normalizer", ["missing"], ())


def check_unigram(source: Source) -> None:
    """Refuse a Unigram that changes texts in another way than SentencePiece.

    Raises
    ------
    UnsupportedError
        If llama.cpp finds other tokens.
    """
    kinds = [
        "Replace of a text" if _replaces(part, _SPACES) else part.get("type")
        for part in parts_of(source.part("normalizer"))
    ]
    _refuse(source, "normalizer", kinds, {"Precompiled", "Strip", "Replace", "Prepend"})
    words = [part.get("type") for part in parts_of(source.part("pre_tokenizer"))]
    _refuse(source, "pre_tokenizer", words, {"WhitespaceSplit", "Metaspace"})
    if "Metaspace" not in words:
        _refuse(source, "pre_tokenizer", ["missing"], ())


def _replaces(part: dict[str, Any], spaces: str = " ") -> bool:
    """Whether a part replaces something else than spaces, by a space or nothing."""
    patterns = (part.get("pattern") or {}).values()
    return part.get("type") == "Replace" and not (
        all(re.fullmatch(spaces, pattern) for pattern in patterns)
        and part.get("content") in {SPACE, " ", ""}
    )


def _cuts_at_spaces(part: dict[str, Any]) -> bool:
    return part.get("type") == "Split" and part.get("pattern") == {"String": " "}


def _refuse(source: Source, role: str, found: list[Any], known: Iterable[str]) -> None:
    others = [str(kind) for kind in found if kind not in known]
    if others:
        raise UnsupportedError(
            f"The {role} of the tokenizer in {source.folder} is one that llama.cpp does not have"
            f" for such a vocabulary: {', '.join(others)}. It would find other tokens than the"
            " model has learned. tokenizer=False writes a file without a tokenizer."
        )
