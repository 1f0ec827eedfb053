"""What a file says about its tokenizer: the keys `tokenizer.*`, read once and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import GGUFError, UnsupportedError
from ...file.text import preview, quoted
from .charsmap import read_charsmap
from .checked import get, numbers, strings
from .forced import forced_types
from .pre_tokenizers import PRE_TOKENIZERS, PreTokenizer
from .token_types import MATCHED, TokenType

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CONTINUES",
    "MATCHED",
    "OF_PHI3",
    "SPACE",
    "SPECIAL_KEYS",
    "TokenType",
    "Vocabulary",
    "has_tokenizer",
    "is_called_phi3",
    "read_special",
    "read_templates",
    "read_vocabulary",
    "stripping",
]


SPACE = "\u2581"
"""SentencePiece's sign for a space: "▁"."""

CONTINUES = "##"
"""What Transformers writes before a piece of WordPiece that continues a word."""

# What Transformers calls a special token, and its key. "seperator" is how the key is spelt.
SPECIAL_KEYS = {
    "bos": "tokenizer.ggml.bos_token_id",
    "eos": "tokenizer.ggml.eos_token_id",
    "unk": "tokenizer.ggml.unknown_token_id",
    "sep": "tokenizer.ggml.seperator_token_id",
    "pad": "tokenizer.ggml.padding_token_id",
    "cls": "tokenizer.ggml.cls_token_id",
    "mask": "tokenizer.ggml.mask_token_id",
}

# Ids that llama.cpp takes where the file names none (`llama_vocab::impl::load`). Its 11 for the
# beginning and end in a byte-level BPE is Falcon's and says nothing about other vocabularies.
_DEFAULT_IDS = {
    "llama": {"bos": 1, "eos": 2, "unk": 0},
    "bert": {"cls": 101, "unk": 100, "sep": 102, "pad": 0, "mask": 103},
    "t5": {"eos": 1, "unk": 2, "pad": 0},
}

_TOKENS = "tokenizer.ggml.tokens"
_TYPES = "tokenizer.ggml.token_type"
_SCORES = "tokenizer.ggml.scores"
_MERGES = "tokenizer.ggml.merges"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A tokenizer as a file describes it.

    Attributes
    ----------
    model : str
        "llama" (SentencePiece's BPE), "gpt2" (byte-level BPE), "bert" (WordPiece), "t5" (Unigram),
        "gemma4" (BPE over text, with merges).
    pre : PreTokenizer or None
        How a BPE cuts text into words.
    tokens : list of str
        The text of each id; pieces of words as Transformers writes them.
    types : list of int
        A `TokenType` for each id, as llama.cpp has them; undefined where the file has none.
    scores : list of float
        A score for each id, or nothing.
    merges : list of (str, str)
        The pairs that a BPE merges, the first first.
    special : dict of str to int
        Ids of the special tokens, by the names of `SPECIAL_KEYS`.
    add_bos, add_eos : bool
        Which of them an encoded text begins and ends with.
    add_space_prefix, remove_extra_whitespaces : bool
        What SentencePiece does with a text first.
    charsmap : bytes
        SentencePiece's precompiled normalization, or nothing.
    lowercase, strip_accents : bool
        What WordPiece does with a text first.
    templates : dict of str to str
        Chat templates; the one without a name is "default".
    lstrip, rstrip : set of str
        Special tokens that take in the space before or after them.
    length : int or None
        Context length of the model.
    """

    model: str
    pre: PreTokenizer | None
    tokens: list[str]
    types: list[int]
    scores: list[float]
    merges: list[tuple[str, str]]
    special: dict[str, int]
    add_bos: bool
    add_eos: bool
    add_space_prefix: bool
    remove_extra_whitespaces: bool
    charsmap: bytes
    lowercase: bool
    strip_accents: bool
    templates: dict[str, str]
    lstrip: frozenset[str]
    rstrip: frozenset[str]
    length: int | None

    def special_token(self, name: str) -> str | None:
        """Return the text of a special token, or None if there is none."""
        token = self.special.get(name)
        return None if token is None else self.tokens[token]

    def is_named(self, name: str) -> bool:
        """Whether Transformers may have a special token by this name.

        It finds those in a text and hides them. An ordinary word is none, though a file may name
        one (for padding, say), unless texts are to begin or end with it.
        """
        added = {"bos": self.add_bos, "eos": self.add_eos}
        token = self.special.get(name)
        return token is not None and (
            added.get(name, False) or self.types[token] not in {TokenType.NORMAL, TokenType.BYTE}
        )

    def is_filler(self, token: int) -> bool:
        """Whether a converter made up this token, to have one for each row of the embedding."""
        # our own export tells one apart from a token of the same text by "_" at the end
        text = self.tokens[token].rstrip("_")
        return self.types[token] == TokenType.UNUSED and text == f"[PAD{token}]"


def has_tokenizer(metadata: Mapping[str, object]) -> bool:
    """Whether a file has a tokenizer of its own (an adapter or a projector has none).

    Parameters
    ----------
    metadata : mapping
        The file's metadata, for example ``model.metadata``.
    """
    return metadata.get("tokenizer.ggml.model") not in (None, "none", "no_vocab") and (
        _TOKENS in metadata
    )


def read_vocabulary(metadata: Mapping[str, object]) -> Vocabulary:
    """Read a tokenizer's metadata, with llama.cpp's defaults for what the file leaves out.

    Raises
    ------
    GGUFError
        If the file has no tokenizer, or one of its keys does not fit the others; names the key.
    UnsupportedError
        If the kind of tokenizer or its pre-tokenizer is unknown.
    """
    if not has_tokenizer(metadata):
        raise GGUFError(
            "The file has no tokenizer: tokenizer.ggml.model and tokenizer.ggml.tokens are not both"
            " there. Take the tokenizer of the original model, or of a file of the same model."
        )
    model = get(metadata, "tokenizer.ggml.model", str, "")
    if model not in {"llama", "gpt2", "bert", "t5", "gemma4"}:
        raise UnsupportedError(
            f"tokenizer.ggml.model is {preview(model)}; tokenizers exist for llama, gpt2, bert, t5"
            " and gemma4."
        )
    tokens = strings(metadata, _TOKENS)
    n = len(tokens)
    types = [int(t) for t in numbers(metadata, _TYPES, n, "iu")] or [int(TokenType.UNDEFINED)] * n
    types = forced_types(metadata, tokens, types)
    if model == "bert":
        tokens, types = _word_pieces(tokens, types)
    tokens = _distinct(tokens)
    pre = _read_pre(metadata, model)
    special = read_special(metadata, beyond=True)
    add_bos = {"llama": True, "bert": True, "t5": False, "gemma4": True}.get(model, False)
    add_bos = get(metadata, "tokenizer.ggml.add_bos_token", bool, pre.add_bos if pre else add_bos)
    add_bos = add_bos or (pre is not None and pre.patterns == PRE_TOKENIZERS["gemma4"].patterns)
    add_eos = get(metadata, "tokenizer.ggml.add_eos_token", bool, model == "t5")
    for name, wanted in (("bos", add_bos and model != "bert"), ("eos", add_eos)):
        if wanted and name not in special:
            raise GGUFError(
                f"{SPECIAL_KEYS[name]} is missing, but texts are to be encoded with that token"
                f" (tokenizer.ggml.add_{name}_token, or the default of this kind)."
            )
    lstrip, rstrip = stripping(metadata, tokens, types)
    lowercase = get(metadata, "tokenizer.ggml.normalizer.lowercase", bool, default=True)
    return Vocabulary(
        model=model,
        pre=pre,
        tokens=tokens,
        types=types,
        scores=[float(s) for s in numbers(metadata, _SCORES, n, "iuf")],
        merges=_read_merges(metadata, tokens) if model in {"gpt2", "gemma4"} else [],
        special=special,
        add_bos=add_bos,
        add_eos=add_eos,
        add_space_prefix=get(metadata, "tokenizer.ggml.add_space_prefix", bool, model == "llama"),
        remove_extra_whitespaces=get(
            metadata, "tokenizer.ggml.remove_extra_whitespaces", bool, default=False
        ),
        charsmap=read_charsmap(metadata),
        lowercase=lowercase,
        strip_accents=get(metadata, "tokenizer.ggml.normalizer.strip_accents", bool, lowercase),
        templates=read_templates(metadata),
        lstrip=lstrip,
        rstrip=rstrip,
        length=_read_length(metadata),
    )


def _distinct(tokens: list[str]) -> list[str]:
    if not tokens:
        raise GGUFError(f"{_TOKENS} is empty.")
    # llama.cpp gives tokens without text a name, and refuses two tokens of one text.
    tokens = [token or f"[EMPTY_{index}]" for index, token in enumerate(tokens)]
    if len(set(tokens)) < len(tokens):
        first: dict[str, int] = {}
        for index, token in enumerate(tokens):
            if first.setdefault(token, index) != index:
                raise GGUFError(
                    f"{_TOKENS} has {preview(token)} twice, at {first[token]} and at {index};"
                    " expected a different text for each token."
                )
    return tokens


def _word_pieces(tokens: list[str], types: list[int]) -> tuple[list[str], list[int]]:
    """Return the tokens as Transformers writes them, and their types.

    llama.cpp marks the pieces that begin a word ("▁"), Transformers those that continue one. What
    the user defined llama.cpp finds as it stands, but the converter marks that too: llama.cpp then
    finds it as a word.
    """
    texts, kinds = [], []
    for token, kind in zip(tokens, types, strict=True):
        if kind == TokenType.CONTROL or (
            kind == TokenType.USER_DEFINED and not token.startswith(SPACE)
        ):
            texts.append(token)
            kinds.append(kind)
        else:
            ahead = token.startswith(SPACE)
            texts.append(token[len(SPACE) :] if ahead else CONTINUES + token)
            kinds.append(TokenType.NORMAL if kind == TokenType.USER_DEFINED else kind)
    return texts, kinds


def _read_merges(metadata: Mapping[str, object], tokens: list[str]) -> list[tuple[str, str]]:
    if _MERGES not in metadata:
        raise GGUFError(f"{_MERGES} is missing; a BPE vocabulary needs it.")
    known = set(tokens)
    merges = []
    for index, text in enumerate(strings(metadata, _MERGES)):
        # The separator is the first space that is not the first character.
        cut = text.find(" ", 1)
        left, right = text[:cut], text[cut + 1 :]
        if cut < 0 or left not in known or right not in known or left + right not in known:
            raise GGUFError(
                f"{_MERGES}[{index}] is {preview(text)}; expected two tokens, with a space between"
                f" them, that make up a third, all of them in {_TOKENS}."
            )
        merges.append((left, right))
    return merges


def _read_pre(metadata: Mapping[str, object], model: str) -> PreTokenizer | None:
    if model == "gemma4":
        return PRE_TOKENIZERS["gemma4"]
    if model != "gpt2":
        return None
    key = "tokenizer.ggml.pre"
    name = get(metadata, key, str, "") or "default"
    if name not in PRE_TOKENIZERS:
        raise UnsupportedError(
            f"{key} is {quoted(name)}, which no pre-tokenizer is known for. Known are"
            f" {', '.join(PRE_TOKENIZERS)}."
        )
    return PRE_TOKENIZERS[name]


def read_special(metadata: Mapping[str, object], *, beyond: bool = False) -> dict[str, int]:
    """Return the ids of a file's special tokens, by the names of `SPECIAL_KEYS`.

    Parameters
    ----------
    metadata : mapping
    beyond : bool
        Pass over ids beyond the vocabulary, as llama.cpp does: it goes on with its defaults.
    """
    model = metadata.get("tokenizer.ggml.model")
    tokens = metadata.get(_TOKENS)
    count = len(tokens) if isinstance(tokens, Sequence) else 0
    types = numbers(metadata, _TYPES, count, "iu")
    special = {
        name: token
        for name, token in _DEFAULT_IDS.get(str(model), {}).items()
        if token < count and (not types or types[token] in MATCHED)
    }
    for name, key in SPECIAL_KEYS.items():
        if key in metadata:
            token = get(metadata, key, int, 0)
            if 0 <= token < count:
                special[name] = token
            elif token < 0 or not beyond:
                raise GGUFError(f"{key} is {token}; expected an id of one of {count} tokens.")
    if model == "bert" and "bos" in special:
        special["cls"] = special["bos"]
    return special


def read_templates(metadata: Mapping[str, object]) -> dict[str, str]:
    """Return the chat templates of a file by name; the one without a name is "default"."""
    key = "tokenizer.chat_template"
    templates = {"default": get(metadata, key, str, "")} if key in metadata else {}
    names = strings(metadata, f"{key}s") if f"{key}s" in metadata else []
    for name in names:
        templates[name] = get(metadata, f"{key}.{name}", str, None)
    return templates


def stripping(
    metadata: Mapping[str, object], tokens: Sequence[str], types: Sequence[int]
) -> tuple[frozenset[str], frozenset[str]]:
    """Return the tokens that strip spaces before and after them.

    No key says so; like llama.cpp, this goes by names that stand elsewhere.
    """
    if _masks(metadata):
        return frozenset(["<mask>"]), frozenset()
    if is_called_phi3(metadata):
        matched = {t for t, kind in zip(tokens, types, strict=True) if kind in MATCHED}
        return frozenset(), frozenset(matched - {"<unk>", "<s>", "<|endoftext|>"})
    name = str(metadata.get("general.name")).lower()
    return frozenset(["[MASK]"] if "modern-bert" in name else []), frozenset()


def _masks(metadata: Mapping[str, object]) -> bool:
    pre = str(metadata.get("tokenizer.ggml.pre"))
    architecture = str(metadata.get("general.architecture"))
    return any(part in pre for part in ("jina-v2-de", "jina-v2-es", "jina-v2-code")) or any(
        part in architecture for part in ("nomic-bert-moe", "jina-bert-v3")
    )


OF_PHI3 = ("</s>", "<unk>", "<s>", "<|endoftext|>")
"""Tokens without which llama.cpp loads no vocabulary of a model that is called Phi-3."""


def is_called_phi3(metadata: Mapping[str, object]) -> bool:
    """Whether llama.cpp takes a model for a Phi-3, by its name alone."""
    name = str(metadata.get("general.name")).lower()
    return ("phi-3" in name or "phi3" in name) and not _masks(metadata)


def _read_length(metadata: Mapping[str, object]) -> int | None:
    length = metadata.get(f"{metadata.get('general.architecture')}.context_length")
    return length if isinstance(length, int) and not isinstance(length, bool) and length else None
