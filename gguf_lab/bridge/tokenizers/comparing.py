"""What llama.cpp does with an exported tokenizer, and Transformers does otherwise.

What a key can say is said by one. The rest is noted, for the export to warn of.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal
from unicodedata import is_normalized

import numpy as np

from ...errors import CheckpointError, UnsupportedError
from ...file.text import few, preview, quoted
from .added import flags_of
from .forced import ends_of, forced_types
from .normalizing import parts_of
from .pre_tokenizers import PRE_TOKENIZERS
from .token_types import MATCHED, TokenType
from .vocabulary import OF_PHI3, is_called_phi3, read_special, stripping

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .source import Source

__all__ = [
    "check_name",
    "compare_added",
    "compare_spaces",
    "compare_types",
    "settle_ends",
    "unknown_ends",
]


_COMPOSED: dict[str, Literal["NFC", "NFKC"]] = {"NFC": "NFC", "Precompiled": "NFKC"}


def check_name(found: Mapping[str, object], general: Mapping[str, object]) -> None:
    """Refuse a name by which llama.cpp looks for tokens that are not there, and ends.

    Raises
    ------
    UnsupportedError
        If it does.
    """
    whole = {**found, **general}
    tokens, _ = _tokens(found)
    absent = [token for token in OF_PHI3 if token not in tokens]
    if absent and is_called_phi3(whole):
        raise UnsupportedError(
            f"llama.cpp takes a model called {preview(whole['general.name'])} for a Phi-3, and"
            f" loads none without the tokens {', '.join(map(quoted, absent))}. Give it another"
            " name: metadata={'general.name': ...}, or that of the checkpoint's folder."
        )


def compare_added(
    found: Mapping[str, object], general: Mapping[str, object], source: Source
) -> None:
    """Note which tokens llama.cpp finds in other places of a text than Transformers does.

    It looks for each as it stands. No key says that a token takes in the spaces beside it: that
    llama.cpp goes by names.
    """
    tokens, types = _tokens(found)
    here = {token for token, kind in zip(tokens, types, strict=True) if kind in MATCHED}
    if (mask := read_special(found).get("mask")) is not None:
        here.discard(tokens[mask])  # there is nothing in llama.cpp that fills it in
    flagged = {flag: [t for t in texts if t in here] for flag, texts in flags_of(source).items()}
    notes = source.notes
    if found["tokenizer.ggml.model"] != "bert":  # where no space is a token
        taken = stripping({**found, **general}, tokens, types)
        for side, flag, theirs in zip(
            ("before", "behind"), ("lstrip", "rstrip"), taken, strict=True
        ):
            kept = [t for t in flagged[flag] if t not in theirs]
            more = [t for t in tokens if t in theirs and t in here and t not in flagged[flag]]
            if kept:
                hint = flag == "rstrip" and {*OF_PHI3} <= {*tokens}
                notes.append(
                    f"llama.cpp keeps spaces {side} {few(map(quoted, kept))}, which Transformers"
                    f" takes in ({flag})"
                    + (": it takes them in with 'phi-3' in general.name" if hint else "")
                )
            if more:
                notes.append(
                    f"llama.cpp takes in spaces {side} {few(map(quoted, more))}, by the name of the"
                    " model; Transformers keeps them"
                )
    if words := flagged["single_word"]:
        notes.append(
            f"llama.cpp finds {few(map(quoted, words))} within words too, Transformers does not"
            " (single_word)"
        )
    normalizers = parts_of(source.part("normalizer"))
    if changed := [t for t in flagged["normalized"] if _is_normalized(t, normalizers)]:
        notes.append(
            f"llama.cpp finds {few(map(quoted, changed))} in a text as it stands, Transformers in"
            " what its normalizer makes of the text (normalized)"
        )


def _is_normalized(token: str, normalizers: Iterable[Mapping[str, Any]]) -> bool:
    """Whether Transformers finds a token elsewhere because it normalizes the text first.

    To compose characters, which llama.cpp does of no text, changes nothing for one that is composed
    itself, and neither does writing spaces as "▁".
    """
    for part in normalizers:
        kind, form = part.get("type"), _COMPOSED.get(str(part.get("type")))
        if form is not None and is_normalized(form, token):
            continue
        if kind == "BertNormalizer" and not (part.get("lowercase") or part.get("strip_accents")):
            continue
        if kind not in {"Replace", "Strip"}:
            return True
    return False


def unknown_ends(found: Mapping[str, object], ends: object) -> str:
    """Say which tokens end a reply by a generation_config and not in llama.cpp; "" if none."""
    listed = ends if isinstance(ends, list) else [ends]
    tokens = found.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list):
        return ""
    known = ends_of(found, tokens)
    lost = [
        end for end in listed if type(end) is int and 0 <= end < len(tokens) and end not in known
    ]
    if not lost:
        return ""
    key = "tokenizer.ggml.eot_token_id"
    ways = f"; metadata={{{key!r}: {lost[0]}}} would say it" if key not in found else ""
    names = few(f"{end} ({quoted(tokens[end])})" for end in lost)
    return f"{names} ends a reply in generation_config, and not in llama.cpp{ways}"


def compare_spaces(found: Mapping[str, object], source: Source) -> None:
    """Note if llama.cpp puts a space behind special tokens, too, and Transformers does not."""
    model = found["tokenizer.ggml.model"]
    if model not in {"llama", "t5"}:
        return
    if not found.get("tokenizer.ggml.add_space_prefix", model == "llama"):
        return
    if source.json is None and not source.is_loaded:
        once = (source.settings or {}).get("legacy") is False
    else:
        once = any(
            part.get("type") == "Metaspace" and part.get("prepend_scheme") == "first"
            for part in parts_of(source.part("pre_tokenizer"))
        )
    tokens, types = _tokens(found)
    named = {*read_special(found).values()}
    others = [t for i, t in enumerate(tokens) if types[i] in MATCHED and i not in named]
    if once and others:
        source.notes.append(
            f"llama.cpp puts a space before the text behind {few(map(quoted, others))}, too;"
            " Transformers does so at the beginning alone"
        )


def compare_types(found: Mapping[str, object], source: Source) -> None:
    """Note which tokens llama.cpp takes for control tokens by their text alone."""
    tokens, types = _tokens(found)
    forced = [
        token
        for token, told, taken in zip(
            tokens, types, forced_types(found, tokens, types), strict=True
        )
        if taken == TokenType.CONTROL and told in {TokenType.NORMAL, TokenType.USER_DEFINED}
    ]
    if forced:
        source.notes.append(
            f"llama.cpp takes {few(map(quoted, forced))} for control tokens by the text alone: it"
            " hides them in what is generated, and finds them in a text only if told to"
        )


def settle_ends(found: dict[str, object], source: Source) -> None:
    """Let texts begin and end as Transformers has it, or note that llama.cpp does otherwise.

    Keys tell only what a tokenizer adds. Where they are silent, llama.cpp goes by the kind of
    vocabulary: it begins the texts of most with bos.
    """
    around = _around(found)
    silent = [_key(n) for n in around if n in {"bos", "eos"} and _key(n) not in found]
    if not _is_loaded(source, wanted=bool(silent)):
        return
    added = source.tokenizer.added_tokens_decoder
    theirs = [token for token in source.tokenizer("")["input_ids"] if token in added]
    special = read_special(found)
    ours = [special.get(name) for name in around]
    if ours == theirs:
        return
    without = found | dict.fromkeys(silent, False)
    if [special.get(name) for name in _around(without)] == theirs:
        found.update(without)
        return
    texts, _ = _tokens(found)
    mine, other = ([None if i is None else texts[i] for i in ids] for ids in (ours, theirs))
    source.notes.append(f"llama.cpp puts {mine} around a text, Transformers {other}")


def _around(found: Mapping[str, object]) -> list[str]:
    """Name what llama.cpp puts around a text, by the keys and where they are silent by itself."""
    model = str(found["tokenizer.ggml.model"])
    if model == "bert":  # whatever the keys say
        return ["cls", "sep"]
    pre = PRE_TOKENIZERS.get(str(found.get("tokenizer.ggml.pre"))) if model == "gpt2" else None
    adds = {"bos": pre.add_bos if pre else model == "llama", "eos": model == "t5"}
    told = {name: found.get(_key(name), add) for name, add in adds.items()}
    told["bos"] = told["bos"] or model == "gemma4" or (pre is not None and pre.raw)
    return [name for name, add in told.items() if add]


def _key(name: str) -> str:
    return f"tokenizer.ggml.add_{name}_token"


def _is_loaded(source: Source, *, wanted: bool) -> bool:
    """Whether Transformers can be asked; it is loaded for it if that needs no other library."""
    if wanted and not source.is_loaded and source.json is not None:
        with suppress(CheckpointError):  # it is written without, as the converter does it
            _ = source.tokenizer
    return source.is_loaded


def _tokens(found: Mapping[str, object]) -> tuple[list[str], Sequence[int]]:
    """Return the texts and the types of all tokens."""
    tokens, types = found["tokenizer.ggml.tokens"], found["tokenizer.ggml.token_type"]
    assert isinstance(tokens, list)
    assert isinstance(types, np.ndarray)
    return tokens, types.tolist()
