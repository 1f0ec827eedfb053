r"""How a byte-level BPE cuts text into words before it merges: the names of `tokenizer.ggml.pre`.

A definition is a list of patterns. Each cuts the pieces that the ones before it have left, at both
ends of every match: what is matched and what lies between are pieces. (``Split`` with the behaviour
"isolated" in Hugging Face's `tokenizers`, `unicode_regex_split` in llama.cpp.)

The facts are those of `llama_vocab::impl::load` and `llm_tokenizer_bpe` in llama.cpp's
`src/llama-vocab.cpp`. Where that file rewrites a model's own pattern for the engine of the C++
library, and says so, the model's own stands here.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PRE_TOKENIZERS", "PreTokenizer"]


@dataclass(frozen=True, slots=True)
class PreTokenizer:
    """How text becomes words, and what else llama.cpp concludes from the name.

    Attributes
    ----------
    patterns : tuple of str
        Regular expressions (Oniguruma's syntax), applied one after the other.
    ignore_merges : bool
        A word that is a token is not merged from its parts.
    add_bos, add_sep : bool
        What holds where the file does not say: begin with the token of the beginning; two texts
        are parted as in RoBERTa.
    nfc : bool
        The original tokenizer composes characters first (Unicode's NFC). llama.cpp does not.
    raw : bool
        Words are text in which "▁" stands for a space, not bytes written as characters.
    """

    patterns: tuple[str, ...]
    ignore_merges: bool = False
    add_bos: bool = False
    add_sep: bool = False
    nfc: bool = False
    raw: bool = False


_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACE = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_ASCII = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"
_HAN_KANA = "[一-龥぀-ゟ゠-ヿ]+"


def _llama3(digits: str) -> str:
    return (
        rf"{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_SPACE}"
    )


def _cased(short: str, digits: str) -> str:
    first = r"[^\r\n\p{L}\p{N}]?"
    return (
        rf"{first}{_UPPER}*{_LOWER}+{short}|{first}{_UPPER}+{_LOWER}*{short}|{digits}"
        rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACE}"
    )


def _deepseek3(symbols: str) -> str:
    return (
        rf"{_ASCII}|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+| ?[\p{{P}}\p{{S}}]+{symbols}"
        r"|\s+(?!\S)|\s+"
    )


_GPT_2 = PreTokenizer((_GPT2,))
_ROBERTA = PreTokenizer((_GPT2,), add_sep=True)
_DIGITS = PreTokenizer((r"\p{N}", _GPT2))
_LLAMA3 = PreTokenizer((_llama3(r"\p{N}{1,3}"),))
_LLAMA3_BOS = PreTokenizer(_LLAMA3.patterns, ignore_merges=True, add_bos=True)
_QWEN2 = PreTokenizer((_llama3(r"\p{N}"),))
_GPT4O = PreTokenizer((_cased(f"{_SHORT}?", r"\p{N}{1,3}"),))
_DEEPSEEK3 = PreTokenizer((r"\p{N}{1,3}", _HAN_KANA, _deepseek3(r"[\r\n]*|\s*[\r\n]+")))
_BLOOM = PreTokenizer((r" ?[^(\s|.,!?…。，、।۔،)]+",))
_BAILING = PreTokenizer(
    (
        (
            r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*"
            r"|\s*[\r\n]|\s+(?!\S)|\s+"
        ),
    )
)
_GEMMA4 = PreTokenizer((r"[^\n]+|[\n]+",), raw=True)

# Letters with case, as deepseek-llm lists them.
_CASED_LETTERS = (
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕ"
    "ἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭ"
    "Ꚁ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
)
_ASIAN = "[一-龥\u0800-一\uac00-\ud7ff]+"
_AFMOE_ASIAN = (
    "[\u4e00-\u9fff\u3400-\u4dbf\u8c48-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf"
    "\u0e40-\u0e7f\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af"
    "\u1100-\u11ff]+"
)
_NOT_HAN = r"&&[^\p{Han}]]"
_KIMI_UPPER = _UPPER[:-1] + _NOT_HAN
_KIMI_LOWER = _LOWER[:-1] + _NOT_HAN

PRE_TOKENIZERS: dict[str, PreTokenizer] = {
    "default": PreTokenizer(
        (r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]"),
    ),
    "llama-bpe": _LLAMA3_BOS,
    "llama3": _LLAMA3_BOS,
    "llama-v3": _LLAMA3_BOS,
    "falcon3": _LLAMA3_BOS,
    "falcon-h1": _LLAMA3_BOS,
    "pixtral": _LLAMA3_BOS,
    "midm-2.0": _LLAMA3_BOS,
    "lfm2": _LLAMA3_BOS,
    "jina-v5-nano": _LLAMA3_BOS,
    "dbrx": _LLAMA3,
    "smaug-bpe": _LLAMA3,
    "chatglm-bpe": _LLAMA3,
    "glm4": PreTokenizer(_LLAMA3.patterns, ignore_merges=True),
    "glm5": PreTokenizer(_LLAMA3.patterns, ignore_merges=True),
    "minicpm5": PreTokenizer((r"\p{N}{1,3}", _llama3(r"\p{N}+")), ignore_merges=True),
    "jais-2": PreTokenizer(
        (
            (
                rf"{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}"
                r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)"
                r"|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}"
            ),
        )
    ),
    "deepseek-llm": PreTokenizer(
        (
            "[\r\n]",
            rf"\s?[{_CASED_LETTERS}]+",
            "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
            r"\s+$",
            _ASIAN,
            r"\p{N}+",
        )
    ),
    "deepseek-coder": PreTokenizer(("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _ASIAN, r"\p{N}")),
    "deepseek-v3": _DEEPSEEK3,
    "hunyuan-dense": _DEEPSEEK3,
    "joyai-llm": _DEEPSEEK3,
    "hy_v4": _DEEPSEEK3,
    "spark2_5": PreTokenizer(
        (r"\p{N}{1,3}", _HAN_KANA, _deepseek3(r"|[\r\n]"), r"\p{N}"),
    ),
    "youtu": PreTokenizer(
        (
            (
                "[\uac00-\ud7a3\u3131-\u318e]+|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b"
                f"\uff0c\u3001-\u303f\ufe30-\ufe4f]+|[\u3105-\u312f]+|{_HAN_KANA}"
            ),
            _cased(f"{_SHORT}?", r"\p{N}"),
        ),
        ignore_merges=True,
    ),
    "falcon": PreTokenizer((r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, "[0-9][0-9][0-9]")),
    "mpt": PreTokenizer((_GPT2,), nfc=True),
    "olmo": PreTokenizer((_GPT2,), nfc=True),
    "smollm": _DIGITS,
    "starcoder": _DIGITS,
    "refact": _DIGITS,
    "command-r": PreTokenizer(_DIGITS.patterns, nfc=True),
    "codeshell": _DIGITS,
    "exaone": _DIGITS,
    "minerva-7b": _DIGITS,
    "mellum2": _DIGITS,
    "gpt-2": _GPT_2,
    "phi-2": _GPT_2,
    "jina-es": _GPT_2,
    "jina-de": _GPT_2,
    "jina-v2-es": _GPT_2,
    "jina-v2-de": _GPT_2,
    "gigachat": _GPT_2,
    "a.x-4.0": _GPT_2,
    "mellum": _GPT_2,
    "modern-bert": _GPT_2,
    "jais": _GPT_2,
    "trillion": _GPT_2,
    "granite-docling": _GPT_2,
    "exaone4": _GPT_2,
    "jina-v1-en": _ROBERTA,
    "jina-v2-code": _ROBERTA,
    "roberta-bpe": _ROBERTA,
    "qwen2": PreTokenizer(_QWEN2.patterns, nfc=True),
    "deepseek-r1-qwen": PreTokenizer(_QWEN2.patterns, nfc=True),
    "kormo": _QWEN2,
    "f2llmv2": _QWEN2,
    "megrez": _QWEN2,
    "hunyuan": _QWEN2,
    "stablelm2": _QWEN2,
    "solar-open": _QWEN2,
    "grok-2": _QWEN2,
    "qwen35": PreTokenizer(
        (
            (
                rf"{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
                rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_SPACE}"
            ),
        ),
        nfc=True,
    ),
    "laguna": PreTokenizer((r"[^\n]+|[\n]+", *_QWEN2.patterns)),
    "seed-coder": PreTokenizer(
        (
            (
                rf"{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1}}| ?[^\s\p{{L}}\p{{N}}\r\n]+"
                rf"|{_SPACE}"
            ),
        )
    ),
    "ufakzeka": PreTokenizer(
        (rf"[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_SPACE}",)
    ),
    "exaone-moe": PreTokenizer(
        (
            (
                rf"{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+|\p{{N}}"
                r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"
            ),
        )
    ),
    "poro-chat": _BLOOM,
    "bloom": _BLOOM,
    "gpt3-finnish": _BLOOM,
    "viking": PreTokenizer((*_BLOOM.patterns, r"\p{N}")),
    "tekken": PreTokenizer((_cased("", r"\p{N}"),), ignore_merges=True, add_bos=True),
    "chameleon": PreTokenizer(
        (
            "<sentinel:[0-9]+>",
            "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
            r"([\t\n]|    |  )",
            r"\p{N}",
            r"[\p{P}!-/:-@\[-`{-~]",
            _GPT2,
        ),
        add_bos=True,
    ),
    "gpt-4o": _GPT4O,
    "llama4": _GPT4O,
    "kanana2": _GPT4O,
    "talkie": _GPT4O,
    "minimax-m2": _GPT4O,
    "granite-embed-multi-97m": PreTokenizer(_GPT4O.patterns, ignore_merges=True),
    "tiny_aya": PreTokenizer((r"\d{1,3}(?=(?:\d{3})*\b)", *_GPT4O.patterns)),
    "cohere2moe": PreTokenizer((r"\d{1,3}(?=(?:\d{3})*\b)", *_GPT4O.patterns)),
    "kimi-k2": PreTokenizer(
        (
            (
                rf"[\p{{Han}}]+|[^\r\n\p{{L}}\p{{N}}]?{_KIMI_UPPER}*{_KIMI_LOWER}+{_SHORT}?"
                rf"|[^\r\n\p{{L}}\p{{N}}]?{_KIMI_UPPER}+{_KIMI_LOWER}*{_SHORT}?|\p{{N}}{{1,3}}"
                rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_SPACE}"
            ),
        )
    ),
    "superbpe": PreTokenizer((r"\p{N}+", r"(?=(\d{3})+(?!\d))")),
    "bailingmoe": _BAILING,
    "bailingmoe2": _BAILING,
    "llada-moe": _BAILING,
    "afmoe": PreTokenizer(
        (
            r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))",
            _AFMOE_ASIAN,
            _deepseek3(r"[\r\n]*|\s*[\r\n]+"),
        )
    ),
    "gemma4": PreTokenizer(_GEMMA4.patterns, add_bos=True, raw=True),
    "granite-embed-multi-311m": PreTokenizer(_GEMMA4.patterns, add_bos=True, raw=True),
    "sarvam-moe": _GEMMA4,
}
"""By the name in `tokenizer.ggml.pre`; of several that say the same, the common one first."""
