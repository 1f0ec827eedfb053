"""A `tokenizers.Tokenizer` that does what llama.cpp does with the same file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import GGUFError
from .vocabulary import CONTINUES, MATCHED, SPACE, SPECIAL_KEYS, TokenType, Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenizers import Tokenizer

__all__ = ["build", "merges_of_scores"]

_DEEPEST = 2000
_MOST_BEGINNINGS = 100
"""Tokens that a token begins with, on average; in Llama's vocabulary there are 3."""


def build(vocabulary: Vocabulary) -> Tokenizer:
    """Build the tokenizer; bos and eos are not added yet, except those of WordPiece."""
    tokenizer = {
        "llama": _sentencepiece,
        "gpt2": _bpe,
        "gemma4": _bpe,
        "bert": _wordpiece,
        "t5": _unigram,
    }[vocabulary.model](vocabulary)
    added = list(_added_tokens(vocabulary))
    # Each call rebuilds what finds them in a text, so there is one.
    tokenizer.add_tokens(added)
    return tokenizer


def _added_tokens(vocabulary: Vocabulary) -> Iterator[Any]:
    from tokenizers import AddedToken

    for token, kind in zip(vocabulary.tokens, vocabulary.types, strict=True):
        if kind in MATCHED:
            special = kind != TokenType.USER_DEFINED
            yield AddedToken(
                token,
                special=special,
                normalized=False,
                lstrip=token in vocabulary.lstrip,
                rstrip=token in vocabulary.rstrip,
            )
    # A special token is one also where the file has no types, or calls it unused.
    for name in SPECIAL_KEYS:
        place = vocabulary.special.get(name)
        if place is None or not vocabulary.is_named(name):
            continue
        if vocabulary.types[place] not in MATCHED:
            yield AddedToken(vocabulary.tokens[place], special=True, normalized=False)


def _ids(vocabulary: Vocabulary) -> dict[str, int]:
    return {
        token: place
        for place, token in enumerate(vocabulary.tokens)
        if not vocabulary.is_filler(place)
    }


def merges_of_scores(ids: dict[str, int], scores: list[float]) -> list[tuple[str, str]]:
    """Return the pairs that SentencePiece's BPE may merge, those of the best score first.

    It merges any two neighbours that make a token up, and of several the one with the highest
    score; a BPE of `tokenizers` wants to be told each pair.

    Raises
    ------
    GGUFError
        If the tokens begin with each other far more often than words do: "a", "aa", "aaa" and so on
        to a thousand are half a million pairs.
    """
    pairs = []
    left_to_try = _MOST_BEGINNINGS * len(ids)
    # In this order all tokens that one begins with come before it, each the beginning of the next.
    beginnings: list[str] = []
    for token in sorted(ids):
        while beginnings and not token.startswith(beginnings[-1]):
            beginnings.pop()
        left_to_try -= len(beginnings)
        if left_to_try < 0:
            raise GGUFError(
                "tokenizer.ggml.tokens has tokens that begin with each other, on average with more"
                f" than {_MOST_BEGINNINGS}. Expected pieces of words; their merges are too many."
            )
        for left in beginnings:
            right = token[len(left) :]
            if right in ids:
                pairs.append((-scores[ids[token]], len(left), ids[token], left, right))
        beginnings.append(token)
    pairs.sort()
    return [(left, right) for *_, left, right in pairs]


def _sentencepiece(vocabulary: Vocabulary) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers

    if not vocabulary.scores:
        raise GGUFError("tokenizer.ggml.scores is missing; a SentencePiece vocabulary needs it.")
    ids = _ids(vocabulary)
    tokenizer = Tokenizer(
        models.BPE(
            ids,
            merges_of_scores(ids, vocabulary.scores),
            unk_token=vocabulary.special_token("unk"),
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    # llama.cpp puts the space before every stretch of text between special tokens.
    prefix = [normalizers.Prepend(SPACE)] if vocabulary.add_space_prefix else []
    strip = [decoders.Strip(" ", 1, 0)] if vocabulary.add_space_prefix else []
    tokenizer.normalizer = normalizers.Sequence([*prefix, normalizers.Replace(" ", SPACE)])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    return tokenizer


def _bpe(vocabulary: Vocabulary) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    pre = vocabulary.pre
    assert pre is not None
    tokenizer = Tokenizer(
        models.BPE(
            _ids(vocabulary),
            vocabulary.merges,
            unk_token=vocabulary.special_token("unk") if pre.raw else None,
            fuse_unk=pre.raw,
            byte_fallback=pre.raw,
            ignore_merges=pre.ignore_merges,
        )
    )
    steps: list[Any] = [
        pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in pre.patterns
    ]
    if pre.raw:
        tokenizer.normalizer = normalizers.Replace(" ", SPACE)
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
        )
    else:
        if pre.nfc:
            tokenizer.normalizer = normalizers.NFC()
        steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
        tokenizer.decoder = decoders.ByteLevel()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    return tokenizer


def _wordpiece(vocabulary: Vocabulary) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    unknown = vocabulary.special_token("unk")
    if unknown is None:
        raise GGUFError(f"{SPECIAL_KEYS['unk']} is missing; a WordPiece vocabulary needs it.")
    tokenizer = Tokenizer(models.WordPiece(_ids(vocabulary), unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=True,
        strip_accents=vocabulary.strip_accents,
        lowercase=vocabulary.lowercase,
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=CONTINUES)
    first, last = vocabulary.special_token("cls"), vocabulary.special_token("sep")
    if first is not None and last is not None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{first}:0 $A:0 {last}:0",
            pair=f"{first}:0 $A:0 {last}:0 $B:1 {last}:1",
            special_tokens=[
                (first, vocabulary.special["cls"]),
                (last, vocabulary.special["sep"]),
            ],
        )
    return tokenizer


def _check_depth(tokens: list[str]) -> None:
    """Refuse what the library, which walks its tree by calling itself, would end the process for.

    A thread with a small stack has room for some 5000 bytes; tokens of real models have 300.
    """
    for place, token in enumerate(tokens):
        if len(token) * 4 > _DEEPEST and len(token.encode(errors="replace")) > _DEEPEST:
            raise GGUFError(
                f"tokenizer.ggml.tokens[{place}] has {len(token):,} characters. Expected at most"
                f" {_DEEPEST:,} bytes: longer tokens would exhaust the stack."
            )


def _unigram(vocabulary: Vocabulary) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    if not vocabulary.scores:
        raise GGUFError("tokenizer.ggml.scores is missing; a Unigram vocabulary needs it.")
    if "unk" not in vocabulary.special:  # any character that no token has would be an exception
        raise GGUFError(f"{SPECIAL_KEYS['unk']} is missing; a Unigram vocabulary needs it.")
    count = len(vocabulary.tokens)
    while count and vocabulary.is_filler(count - 1):
        count -= 1
    _check_depth(vocabulary.tokens[:count])
    # What the user defined wins over everything else.
    pieces = [
        (token, 0.0 if kind == TokenType.USER_DEFINED else score)
        for token, kind, score in zip(
            vocabulary.tokens[:count], vocabulary.types, vocabulary.scores, strict=False
        )
    ]
    tokenizer = Tokenizer(models.Unigram(pieces, vocabulary.special["unk"], False))
    steps: list[Any] = []
    if vocabulary.charsmap:
        try:
            steps.append(normalizers.Precompiled(vocabulary.charsmap))
        except Exception as error:  # noqa: BLE001 - `tokenizers` has no class of its own
            raise GGUFError(
                f"tokenizer.ggml.precompiled_charsmap cannot be read: {error}."
            ) from None
    # SentencePiece looks at a text as a whole: no splitting into words. A text begins with a space
    # where it says so, and also where it merges spaces, as llama.cpp does it.
    if vocabulary.remove_extra_whitespaces:
        steps += [
            normalizers.Replace(Regex(r"\A +| +\z"), ""),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    if vocabulary.add_space_prefix or vocabulary.remove_extra_whitespaces:
        steps.append(normalizers.Prepend(" "))
        # but not if there is nothing else
        steps.append(normalizers.Replace(Regex(r"\A (?= *\z)"), ""))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, "never", split=False)
    tokenizer.decoder = decoders.Metaspace(SPACE, "always")
    return tokenizer
