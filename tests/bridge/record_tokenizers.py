"""Make the tokenizers in `tests/data/tokenizers`; record what llama.cpp's converter writes.

    LLAMA_CPP=path/to/llama.cpp python -m tests.bridge.record_tokenizers

needs what the converter needs (torch, transformers, sentencepiece) and is not run by the tests.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import sentencepiece
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

DATA = Path(__file__).parents[1] / "data" / "tokenizers"

TEXT = [
    "The quick brown fox jumps over the lazy dog; the dog doesn't mind, and they're both happy.",
    "A model that is quantized forgets a little: 4 bits, 8 bits, 16 bits, 1234567890 weights.",
    "def tokenize(text):\n    return [token for token in text.split() if token]\n\n\n",
    "Größe, Straße, naïve café, señor, œuvre; Ångström's éclair cost 3.50€ in 1999!",
    "Быстрая коричневая лиса прыгает через ленивую собаку. Γειά σου Κόσμε.",
    "我想在苹果工作，今天是星期一。日本語のテキストもあります。",
    "Hello world hello there, hello again and again.  Two spaces,\ttabs and   three.",
]

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"


def write(folder: Path, name: str, value: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    (folder / name).write_text(text, encoding="utf-8")


def byte_level(folder: Path, pre: list, settings: dict, **more) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(ignore_merges=more.pop("ignore_merges", False)))
    tokenizer.normalizer = more.pop("normalizer", None)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(pre)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=380,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.add_tokens(
        [
            AddedToken("<|user|>", normalized=False, special=True),
            AddedToken("<think>", normalized=False, special=False),
            AddedToken("<|tool|>", normalized=False, special=False),
            AddedToken("Ünïcode", normalized=True, special=False),
        ]
    )
    tokenizer.post_processor = more.pop("post_processor", None)
    write(folder, "tokenizer.json", json.loads(tokenizer.to_str()))
    write(folder, "tokenizer_config.json", settings)
    return tokenizer


def template_processing(first: str, place: int) -> processors.TemplateProcessing:
    return processors.TemplateProcessing(
        single=f"{first} $A", pair=f"{first} $A {first} $B:1", special_tokens=[(first, place)]
    )


def sentence_pieces(folder: Path, name: str, **more) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        text = Path(place) / "text"
        text.write_text("\n".join(TEXT * 20))
        sentencepiece.SentencePieceTrainer.train(
            input=str(text),
            model_prefix=f"{place}/m",
            hard_vocab_limit=False,
            minloglevel=2,
            **more,
        )
        shutil.copy(f"{place}/m.model", folder / name)


def make() -> None:
    settings = {
        "tokenizer_class": "TokenizersBackend",
        "bos_token": "<|endoftext|>",
        "eos_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
        "pad_token": {"content": "<|endoftext|>", "__type": "AddedToken"},
        "clean_up_tokenization_spaces": False,
    }
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    byte_level(
        DATA / "qwen2",
        [pre_tokenizers.Split(Regex(LLAMA3.replace("{1,3}", "")), "isolated"), plain],
        settings | {"chat_template": TEMPLATE, "add_bos_token": False},
        normalizer=normalizers.NFC(),
    )
    byte_level(
        DATA / "llama3",
        [pre_tokenizers.Split(Regex(LLAMA3), "isolated"), plain],
        settings
        | {
            "chat_template": [
                {"name": "default", "template": TEMPLATE},
                {"name": "tool use", "template": "tools" + TEMPLATE},
            ]
        },
        ignore_merges=True,
        post_processor=template_processing("<|endoftext|>", 0),
    )
    byte_level(DATA / "gpt2", [whole], settings, post_processor=processors.ByteLevel())
    byte_level(
        DATA / "roberta",
        [whole],
        dict.fromkeys(("bos_token", "cls_token", "pad_token", "unk_token"), "<|endoftext|>")
        | {"eos_token": "<|im_end|>", "sep_token": "<|im_end|>", "mask_token": "<|im_start|>"},
        post_processor=processors.RobertaProcessing(("<|im_end|>", 2), ("<|endoftext|>", 0)),
    )
    wordpiece()
    specials = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    sentence_pieces(
        DATA / "llama",
        "tokenizer.model",
        vocab_size=480,
        model_type="bpe",
        byte_fallback=True,
        character_coverage=0.98,
        user_defined_symbols=["<tool>"],
        control_symbols=["<ctl>"],
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
    )
    added = {
        "0": {"content": "<unk>", "special": True},
        "1": {"content": "<s>", "special": True},
        "2": {"content": "</s>", "special": True},
        "490": {"content": "<|im_start|>", "special": False},
        "491": {"content": "<unused7>", "special": False},
        "492": {"content": "<\u2581html>", "special": False},
    }
    write(
        DATA / "llama",
        "tokenizer_config.json",
        specials
        | {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False}
        | {"added_tokens_decoder": added, "chat_template": TEMPLATE, "add_prefix_space": True},
    )
    write(DATA / "llama", "added_tokens.json", {"<more>": 489})
    rules = DATA / "rules.tsv"
    rules.write_text("41\t61\n42\t62\n9\t20\nA\t20\n0043 0327\tC7\n")
    sentence_pieces(
        DATA / "t5",
        "spiece.model",
        vocab_size=300,
        model_type="unigram",
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        normalization_rule_tsv=str(rules),
    )
    rules.unlink()
    write(
        DATA / "t5",
        "tokenizer_config.json",
        {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
    )
    llama_json(specials)


def llama_json(specials: dict) -> None:
    """The same SentencePiece vocabulary as Transformers saves it: with merges, without scores."""
    sys.path.insert(0, str(DATA.parents[2]))
    from gguf_lab.bridge.tokenizers import metadata_of_tokenizer, to_tokenizer

    found = metadata_of_tokenizer(DATA / "llama", config={}, vocabulary=480)
    with tempfile.TemporaryDirectory() as place:
        tokenizer = to_tokenizer(found)
        tokenizer.add_tokens([AddedToken("<extra>", normalized=False, special=False)])
        tokenizer.save_pretrained(place)
        (DATA / "llama-json").mkdir(exist_ok=True)
        whole = json.loads((Path(place) / "tokenizer.json").read_text())
        write(DATA / "llama-json", "tokenizer.json", whole)
        settings = specials | {"tokenizer_class": "TokenizersBackend", "chat_template": TEMPLATE}
        write(DATA / "llama-json", "tokenizer_config.json", settings)


def wordpiece() -> None:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        TEXT,
        trainers.WordPieceTrainer(vocab_size=320, special_tokens=special, show_progress=False),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    write(DATA / "bert", "tokenizer.json", json.loads(tokenizer.to_str()))
    names = {f"{s.strip('[]').lower()}_token": s for s in special}
    write(DATA / "bert", "tokenizer_config.json", {"tokenizer_class": "BertTokenizer"} | names)


# Which tokenizer, which family, what its config.json says, rows of the embedding.
CASES = {
    "qwen2": ("qwen2", "Qwen2ForCausalLM", {"eos_token_id": 2, "bos_token_id": 0}, 400),
    "qwen3_moe": ("qwen2", "Qwen3MoeForCausalLM", {"eos_token_id": [2, 0]}, 384),
    "llama3": ("llama3", "LlamaForCausalLM", {"bos_token_id": 0}, 390),
    "granite": ("llama3", "GraniteForCausalLM", {}, 390),
    "gpt2": ("gpt2", "GPT2LMHeadModel", {"bos_token_id": 0, "eos_token_id": 0}, 384),
    "phi": ("gpt2", "PhiForCausalLM", {}, 392),
    "glm4": ("gpt2", "Glm4ForCausalLM", {"pad_token_id": 0}, 392),
    "roberta": ("roberta", "RobertaModel", {"type_vocab_size": 1, "pad_token_id": 1}, 384),
    "bert": ("bert", "BertModel", {"type_vocab_size": 2, "pad_token_id": 0}, 330),
    "llama": ("llama", "LlamaForCausalLM", {"bos_token_id": 1, "eos_token_id": 2}, 500),
    "mistral": ("llama", "MistralForCausalLM", {"bos_token_id": 1, "eos_token_id": 2}, 500),
    "gemma": ("llama", "GemmaForCausalLM", {"bos_token_id": 1, "pad_token_id": 0}, 500),
    "gemma2": ("llama", "Gemma2ForCausalLM", {"bos_token_id": 1, "pad_token_id": 0}, 500),
    "gemma3_text": ("llama", "Gemma3ForCausalLM", {"bos_token_id": 1}, 500),
    "nemotron": ("llama", "NemotronForCausalLM", {"bos_token_id": 2, "eos_token_id": 3}, 500),
    "ernie4_5": ("llama", "Ernie4_5ForCausalLM", {"bos_token_id": 1, "eos_token_id": 2}, 500),
    "ernie4_5_moe": ("llama", "Ernie4_5_MoeForCausalLM", {"bos_token_id": 1}, 500),
    "hunyuan_v1_dense": (
        *("qwen2", "HunYuanDenseV1ForCausalLM"),
        *({"bos_token_id": 0, "eos_token_id": 2, "eod_token_id": 1, "pad_token_id": 0}, 384),
    ),
    "phi3": ("llama", "Phi3ForCausalLM", {"eos_token_id": 2, "pad_token_id": 490}, 500),
    "t5": ("t5", "T5ForConditionalGeneration", {"eos_token_id": 1, "pad_token_id": 0}, 320),
    "llama-json": ("llama-json", "LlamaForCausalLM", {"bos_token_id": 1, "eos_token_id": 2}, 0),
    "gemma4": ("llama-json", "Gemma4ForCausalLM", {"bos_token_id": 1}, 0),
}


def record(name: str, pre: str) -> dict:
    """What the converter writes under `tokenizer.`: a type and a value for each key, in order."""
    import conversion
    import gguf
    from conversion.base import ModelBase

    folder, architecture, config, count = CASES[name]
    if not count:
        whole = json.loads((DATA / folder / "tokenizer.json").read_text())
        count = 1 + max(
            [*whole["model"]["vocab"].values(), *(t["id"] for t in whole["added_tokens"])]
        )
    kind = conversion.get_model_class(architecture)
    with tempfile.TemporaryDirectory() as place:
        copy = Path(shutil.copytree(DATA / folder, f"{place}/{folder}"))
        config = {"model_type": name.partition("-")[0], "vocab_size": count} | config
        config["model_type"] = {"llama3": "llama"}.get(name, config["model_type"])
        write(copy, "config.json", config)
        model = kind.__new__(kind)
        model.dir_model, model.hparams, model.is_mistral_format = copy, config, False
        model.origin_hf_arch, model._tokenizer_is_xlmroberta = architecture, False
        model.is_rerank = False
        model.gguf_writer = gguf.GGUFWriter(None, "llama")
        ModelBase.get_vocab_base_pre = lambda *_: pre
        type(model).get_vocab_base_pre = lambda *_: pre
        if name == "phi":
            model.gguf_writer.add_add_bos_token(False)  # it stands among the hyper-parameters
        model.set_vocab()
    found = {}
    for key, value in model.gguf_writer.kv_data[0].items():
        if key.startswith("tokenizer."):
            kind_of = value.type.name if value.sub_type is None else value.sub_type.name
            plain = value.value
            if isinstance(plain, list | tuple | bytes):
                kind_of = f"ARRAY {gguf.GGUFValueType.get_type(plain[0]).name}"
                kind_of = "ARRAY UINT8" if isinstance(plain, bytes) else kind_of
                plain = [p.decode() if isinstance(p, bytes) else p for p in plain]
                plain = [float(p) if isinstance(p, float) else p for p in plain]
            found[key] = [kind_of, plain]
    return {"config": config, "vocabulary": count, "folder": folder, "metadata": found}


def main() -> None:
    make()
    root = Path(os.environ["LLAMA_CPP"])
    sys.path[:0] = [str(root / "gguf-py"), str(root)]
    pres = {"qwen2": "qwen2", "llama3": "llama-bpe", "bert": "default"}
    for name, (folder, *_) in CASES.items():
        found = record(name, pres.get(folder, "gpt-2"))
        write(DATA / "expected", f"{name}.json", found)


if __name__ == "__main__":
    main()
