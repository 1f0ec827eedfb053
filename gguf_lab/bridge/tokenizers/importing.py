"""A file's tokenizer as one of Transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .building import build
from .vocabulary import SPECIAL_KEYS, Vocabulary, read_vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

__all__ = ["to_tokenizer"]


def to_tokenizer(metadata: Mapping[str, object]) -> PreTrainedTokenizerFast:
    """Return the tokenizer that a file's metadata describes.

    Parameters
    ----------
    metadata : mapping
        ``model.metadata``, or any mapping with the keys ``tokenizer.*``.

    Returns
    -------
    transformers.PreTrainedTokenizerFast
        With the special tokens, the chat templates, and whether texts begin with bos and end with
        eos. The tokens that the converter made up for rows of the embedding without a token
        ("[PAD32001]") are left out.

    Raises
    ------
    GGUFError
        If there is no tokenizer, or a key is malformed; names the key.
    UnsupportedError
        If the kind of tokenizer (RWKV and others) or its pre-tokenizer is unknown.
    """
    from transformers import PreTrainedTokenizerFast

    vocabulary = read_vocabulary(metadata)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=_Given(build(vocabulary)), **_settings(vocabulary)
    )


class _Given:
    """A tokenizer to be kept: Transformers copies what it is given, by way of JSON."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def __deepcopy__(self, memo: object) -> Tokenizer:
        return self._tokenizer


def _settings(vocabulary: Vocabulary) -> dict[str, Any]:
    settings: dict[str, Any] = {"clean_up_tokenization_spaces": False}
    for name in SPECIAL_KEYS:
        if vocabulary.is_named(name):
            settings[f"{name}_token"] = vocabulary.special_token(name)
    if vocabulary.model != "bert":
        settings |= {"add_bos_token": vocabulary.add_bos, "add_eos_token": vocabulary.add_eos}
    if vocabulary.length is not None:
        settings["model_max_length"] = vocabulary.length
    if vocabulary.templates:
        alone = vocabulary.templates.keys() == {"default"}
        settings["chat_template"] = (
            vocabulary.templates["default"] if alone else vocabulary.templates
        )
    return settings
