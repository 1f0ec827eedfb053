"""A checkpoint's tokenizer as the keys that llama.cpp's converter writes for it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from ...errors import UnsupportedError
from .comparing import check_name, compare_added, compare_spaces, compare_types, settle_ends
from .fingerprints import FINGERPRINTS, TEXT, fingerprint
from .naming import pre_tokenizer_name
from .normalizing import check_wordpiece
from .pieces import merged_metadata, sentencepiece_metadata, unigram_metadata
from .quirks import adjust, looks_special
from .sentencepiece import BPE
from .source import Source, open_source
from .special import special_metadata
from .tokens import Tokens
from .vocabulary import CONTINUES, SPACE, TokenType

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["metadata_of_tokenizer"]


def metadata_of_tokenizer(
    source: object,
    *,
    config: Mapping[str, Any],
    vocabulary: int,
    pre_tokenizer: str | None = None,
    general: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Return the keys `tokenizer.*` of a checkpoint's tokenizer.

    Parameters
    ----------
    source : str, Path or tokenizer of Transformers
        The folder of the checkpoint, or a tokenizer in memory.
    config : mapping
        The contents of `config.json`.
    vocabulary : int
        Rows of the token embedding. Ids without a token get one, "[PAD32001]", of type unused.
    pre_tokenizer : str, optional
        What `tokenizer.ggml.pre` shall say, if a byte-level BPE is not recognized.
    general : mapping, optional
        What else the file says: by its architecture and its name llama.cpp tells which tokens take
        in the spaces beside them.

    Returns
    -------
    dict
        In the converter's order and with its types: numbers of a token in arrays of NumPy.

    Raises
    ------
    CheckpointError
        If a file is missing or malformed, there are more tokens than rows, or two of one text.
    UnsupportedError
        If the kind of tokenizer is unknown, or a byte-level BPE is not recognized; if llama.cpp
        asks for other tokens because of the model's name.

    Warns
    -----
    UserWarning
        If llama.cpp will find other tokens in some texts than Transformers does.

    Notes
    -----
    In two places this is more than the converter does. For a BPE with byte fallback that has merges
    and no scores (`tokenizer.json` without `tokenizer.model`) it writes -1000 for every token, and
    llama.cpp then merges from left to right. Here the scores say the order of the merges. And where
    it says nothing of what a text begins and ends with, and llama.cpp would put a token there that
    Transformers does not, here a key says that none is.
    """
    with open_source(source, config) as opened:
        found = adjust(_metadata(opened, vocabulary, pre_tokenizer), opened, vocabulary)
        check_name(found, general or {})
        settle_ends(found, opened)
        compare_types(found, opened)
        compare_added(found, general or {}, opened)
        compare_spaces(found, opened)
    for note in opened.notes:
        warnings.warn(f"the tokenizer: {note}.", UserWarning, stacklevel=2)
    return found


def _metadata(source: Source, count: int, pre_tokenizer: str | None) -> dict[str, object]:
    kind = source.model.get("type")
    byte_level = kind == "BPE" and not source.model.get("byte_fallback")
    if source.sentencepiece is not None and not byte_level:
        if source.sentencepiece.algorithm == BPE:
            return sentencepiece_metadata(source, count)
        return unigram_metadata(source, count)
    if kind == "Unigram":
        return unigram_metadata(source, count)
    if kind == "BPE" and not byte_level:
        return merged_metadata(source, count)
    if kind in {"BPE", "WordPiece"} or source.json is None:
        return _listed(source, count, pre_tokenizer)
    raise UnsupportedError(
        f"The tokenizer in {source.folder} is a {kind}; BPE, WordPiece and Unigram can be exported."
    )


def _listed(source: Source, count: int, pre_tokenizer: str | None) -> dict[str, object]:
    """Byte-level BPE and WordPiece: the vocabulary as Transformers has it."""
    tokenizer = source.tokenizer
    wordpiece = source.model.get("type") == "WordPiece" or (
        source.json is None and (source.folder / "vocab.txt").is_file()
    )
    added = tokenizer.added_tokens_decoder
    tokens = Tokens.fillers(count)
    for text, place in tokenizer.get_vocab().items():
        kind = TokenType.NORMAL
        shown = text
        if place in added:
            if not (added[place].normalized or wordpiece):
                # As the converter does it; but what a byte-level decoder takes for bytes and
                # cannot read ("Ü") stays.
                decoded = tokenizer.decode(tokenizer.encode(text, add_special_tokens=False))
                shown = text if "\ufffd" in decoded else decoded
            kind = TokenType.CONTROL
            if not (added[place].special or looks_special(shown)):
                kind = TokenType.USER_DEFINED
                shown = shown.replace(SPACE, " ")
        tokens.put(place, shown, 0.0, kind)
    pre = pre_tokenizer_name(source, pre_tokenizer) if not wordpiece else _bert_name(source)
    if not wordpiece:
        found = tokens.metadata("gpt2", pre, scores=False)
        return found | special_metadata(source, tokens, "gpt2", merges=True)
    normalized = check_wordpiece(source)
    for place, text in enumerate(tokens.texts):
        # llama.cpp finds what was added in the text as it stands
        if tokens.types[place] not in {TokenType.CONTROL, TokenType.USER_DEFINED}:
            ahead = text.startswith(CONTINUES)
            tokens.texts[place] = text[len(CONTINUES) :] if ahead else SPACE + text
    found = {"tokenizer.ggml.token_type_count": source.config.get("type_vocab_size", 1)}
    found |= tokens.metadata("bert", pre, scores=False)
    return found | special_metadata(source, tokens, "bert") | normalized


def _bert_name(source: Source) -> str:
    """Return a name for `tokenizer.ggml.pre`, which llama.cpp does not look at for WordPiece."""
    return FINGERPRINTS.get(fingerprint(source.tokenizer.encode(TEXT, verbose=False)), "default")
