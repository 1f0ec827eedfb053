"""Exported files in llama.cpp itself: it loads them and computes what Transformers computes.

The differences that are left are those of float32 arithmetic, about 1e-6. Where a model has a GELU,
llama.cpp looks it up in a table of half precision: less than 1e-3. (So is gpt-oss, where it rounds
the range that YaRN ramps over; the export warns of it.)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.bridge.exporting import export

from .checkpoints import exported, with_scales
from .running import TOKENS, expected, logits_of, opened
from .small_models import (
    CAUSAL,
    TEXT,
    byte_level,
    causal,
    other,
    sentencepiece,
    shaken,
    word_piece,
)

llama_cpp = pytest.importorskip("llama_cpp")
pytestmark = [pytest.mark.oracle, pytest.mark.slow]

PROSE = "The file is read, dequantized and compared; nothing is hidden. 1234 Wörter, twice!\n  Fin."
ROUGHER = {
    *("bloom", "falcon", "gemma", "gemma2", "gemma3_text", "gpt2", "gpt_bigcode", "phi"),
    *("gpt_neox", "gpt_oss", "starcoder2"),
}
ROUGHEST = {"gemma4_text"}  # its small inputs per layer go through GELU, too

QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@pytest.mark.filterwarnings("ignore:llama.cpp computes differently by truncate")
@pytest.mark.parametrize("model_type", CAUSAL)
def test_logits(model_type: str, tmp_path: Path, say: Any) -> None:
    model = causal(model_type)
    path = export(model, tmp_path / "f.gguf", qtype="F32", tokenizer=False, progress=False)
    assert isinstance(path, Path)
    due = expected(model, TOKENS)
    worst = float(np.abs(logits_of(path, TOKENS) - due).max())
    say(f"{model_type}: logits up to {np.abs(due).max():.2f}, off by {worst:.1e}")
    assert np.abs(due).max() > 0.05
    rough = 5e-3 if model_type in ROUGHEST else 1e-3
    assert worst < (rough if model_type in ROUGHER | ROUGHEST else 1e-5)


@pytest.mark.parametrize(
    ("model_type", "settings"),
    [
        ("gpt_neox", {"use_parallel_residual": False}),
        ("mamba2", {"n_groups": 1, "tie_word_embeddings": True}),
        ("nemotron_h", {"layers_block_type": ["mamba", "mlp", "attention"], "mlp_bias": True}),
        ("nemotron_h", {"moe_latent_size": 40, "norm_topk_prob": False}),
        ("llama4_text", {"num_local_experts": 128, "use_qk_norm": False}),
    ],
)
def test_variations(model_type: str, settings: dict[str, Any], tmp_path: Path, say: Any) -> None:
    model = causal(model_type, **settings)
    path = export(model, tmp_path / "f.gguf", qtype="F32", tokenizer=False, progress=False)
    assert isinstance(path, Path)
    worst = float(np.abs(logits_of(path, TOKENS) - expected(model, TOKENS)).max())
    say(f"{model_type}: off by {worst:.1e}")
    assert worst < (1e-3 if model_type in ROUGHER else 1e-5)


@pytest.mark.parametrize("model_type", ["llama", "qwen3_moe"])
def test_scales_beside_matrices(model_type: str, tmp_path: Path, say: Any) -> None:
    """llama.cpp multiplies with them whatever the type is; so does what reads the file here."""
    model = causal(model_type)
    with exported(model, tmp_path / "f.gguf") as whole:
        path = with_scales(whole, tmp_path / "scaled.gguf")
        rows = gl.compare(path, whole, progress=False).rows
    scaled = [row for row in rows if "times" in row.transform]
    assert len(scaled) >= 7
    assert all(row.exact for row in rows if row.measured)
    due = expected(model, TOKENS)
    worst = float(np.abs(logits_of(path, TOKENS) - due).max())
    say(f"{model_type} with scales: off by {worst:.1e}")
    assert worst < 1e-5
    np.testing.assert_array_equal(expected(gl.to_transformers(path)[0], TOKENS), due)


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2"])
def test_words_and_logits(kind: str, tmp_path: Path, say: Any) -> None:
    """With a tokenizer: the same tokens of a text, and the same logits of these."""
    if kind == "llama":
        from sentencepiece import SentencePieceProcessor

        given: Any = sentencepiece(tmp_path / "tokenizer")
        processor = SentencePieceProcessor(str(given / "tokenizer.model"))
        tokens, size = [1, *processor.encode(PROSE)], len(processor)
    else:
        given = byte_level(QWEN2_PATTERN if kind == "qwen2" else None)
        tokens, size = given(PROSE)["input_ids"], len(given)
    model = causal(kind, vocab_size=size + 4)  # padded, as most are
    path = export(model, tmp_path / "f.gguf", qtype="F32", tokenizer=given, progress=False)
    assert isinstance(path, Path)
    with opened(path, vocab_only=True) as vocabulary:
        found = vocabulary.tokenize(PROSE.encode(), add_bos=kind == "llama", special=False)
    assert len(tokens) > 20
    assert found == tokens
    worst = np.abs(logits_of(path, tokens) - expected(model, tokens)).max()
    say(f"{kind} with words: off by {worst:.1e}")
    assert worst < (1e-3 if kind in ROUGHER else 1e-5)


def test_embeddings(tmp_path: Path, say: Any) -> None:
    """bert: the vector of every token, after the last layer."""
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = word_piece()
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=96,
        max_position_embeddings=128,
    )
    torch.manual_seed(0)
    model = shaken(BertModel(config))
    path = export(model, tmp_path / "f.gguf", qtype="F32", tokenizer=tokenizer, progress=False)
    assert isinstance(path, Path)
    tokens = tokenizer(PROSE)["input_ids"]
    with torch.no_grad():
        due = model(torch.tensor([tokens])).last_hidden_state[0].numpy()
    pooling = llama_cpp.LLAMA_POOLING_TYPE_NONE
    with opened(path, embedding=True, pooling_type=pooling) as bert:
        assert bert.tokenize(PROSE.encode(), add_bos=True) == tokens
        found = np.array(bert.embed(PROSE))
    worst = np.abs(found - due).max()
    say(f"bert: embeddings up to {np.abs(due).max():.2f}, off by {worst:.1e}")
    assert np.abs(due).max() > 1
    assert worst < 1e-3


def batch(tokens: list[int]) -> Any:
    """Tokens of one sequence, each of which gives an answer."""
    made = llama_cpp.llama_batch_init(len(tokens), 0, 1)
    made.n_tokens = len(tokens)
    for place, token in enumerate(tokens):
        made.token[place], made.pos[place], made.n_seq_id[place] = token, place, 1
        made.seq_id[place][0], made.logits[place] = 0, True
    return made


@pytest.mark.parametrize("kind", ["bert", "distilbert", "nomic_bert", "gemma3_text"])
def test_encoders_without_a_tokenizer(kind: str, tmp_path: Path, say: Any) -> None:
    import torch

    model = other(kind)
    path = export(model, tmp_path / "f.gguf", qtype="F32", tokenizer=False, progress=False)
    assert isinstance(path, Path)
    with torch.no_grad():
        due = model(torch.tensor([TOKENS])).last_hidden_state[0].numpy()
    pooling = llama_cpp.LLAMA_POOLING_TYPE_NONE
    with opened(path, embedding=True, pooling_type=pooling) as encoder:
        context = encoder._ctx.ctx
        assert llama_cpp.llama_decode(context, batch(TOKENS)) == 0
        rows = (llama_cpp.llama_get_embeddings_ith(context, i) for i in range(len(TOKENS)))
        found = np.array([np.ctypeslib.as_array(row, due.shape[1:]) for row in rows])
    worst = np.abs(found - due).max()
    say(f"{kind}: embeddings up to {np.abs(due).max():.2f}, off by {worst:.1e}")
    assert worst < (1e-5 if kind == "nomic_bert" else 1e-3)


@pytest.mark.parametrize("labels", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Bert", "Roberta"])
def test_scores(kind: str, labels: int, tmp_path: Path, say: Any) -> None:
    """What is made of the first token: a layer (bert calls it the pooler), tanh, the classifier."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=300,
        hidden_size=64,
        intermediate_size=96,
        num_attention_heads=4,
        num_hidden_layers=2,
        num_labels=labels,
    )
    model = shaken(getattr(transformers, f"{kind}ForSequenceClassification")(config).float())
    path = export(model, tmp_path / "f.gguf", qtype="F32", tokenizer=False, progress=False)
    assert isinstance(path, Path)
    tokens = [token for token in TOKENS if token > 1]  # 1 is roberta's padding
    with torch.no_grad():
        due = model(torch.tensor([tokens])).logits[0].numpy()
    pooling = llama_cpp.LLAMA_POOLING_TYPE_RANK
    with opened(path, embedding=True, pooling_type=pooling) as ranking:
        context = ranking._ctx.ctx
        assert llama_cpp.llama_decode(context, batch(tokens)) == 0
        found = np.ctypeslib.as_array(llama_cpp.llama_get_embeddings_seq(context, 0), (labels,))
        worst = np.abs(found - due).max()
    say(f"{kind}: scores up to {np.abs(due).max():.2f}, off by {worst:.1e}")
    assert worst < 1e-3


@pytest.mark.filterwarnings("ignore:llama.cpp computes differently by tie_word_embeddings")
@pytest.mark.parametrize(
    ("kind", "settings", "scale"),
    [
        ("t5", {"tie_word_embeddings": False}, 1),
        ("t5", {"tie_word_embeddings": False, "feed_forward_proj": "relu"}, 1),
        ("mt5", {}, 1),
        ("umt5", {}, 8),  # the root of the width, of which export warns
    ],
)
def test_encoders_with_decoders(
    kind: str, settings: dict[str, Any], scale: int, tmp_path: Path, say: Any
) -> None:
    import torch

    model, answer = other(kind, **settings), [0, 9, 30, 31, 77, 5, 201, 8]
    path = export(model, tmp_path / "f.gguf", qtype="F32", tokenizer=False, progress=False)
    assert isinstance(path, Path)
    given = {"input_ids": torch.tensor([TOKENS]), "decoder_input_ids": torch.tensor([answer])}
    with torch.no_grad():
        due = scale * model(**given).logits[0].numpy()
    with opened(path, logits_all=True) as translator:
        context = translator._ctx.ctx
        assert llama_cpp.llama_encode(context, batch(TOKENS)) == 0
        assert llama_cpp.llama_decode(context, batch(answer)) == 0
        rows = (llama_cpp.llama_get_logits_ith(context, i) for i in range(len(answer)))
        found = np.array([np.ctypeslib.as_array(row, due.shape[1:]) for row in rows])
    worst, most = np.abs(found - due).max(), np.abs(due).max()
    say(f"{kind}: logits up to {most:.2f}, off by {worst:.1e}")
    assert worst < (1e-5 if "feed_forward_proj" in settings else 1e-3) * most


@pytest.mark.parametrize("qtype", ["F16", "Q8_0"])
def test_smollm2_there_and_back_still_speaks(tmp_path: Path, qtype: str) -> None:
    """A real model: dequantized into Transformers, exported, and asked in llama.cpp."""
    from gguf_lab import demo
    from gguf_lab.bridge import to_transformers

    with gl.open(demo.smollm2()) as original:
        model, tokenizer = to_transformers(original)
    path = export(model, tmp_path / "f.gguf", qtype=qtype, tokenizer=tokenizer, progress=False)
    question = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    with opened(path) as answering:
        answer = answering(question, max_tokens=16, temperature=0)["choices"][0]["text"]
        assert answering.tokenize(TEXT.encode(), add_bos=False) == tokenizer(TEXT)["input_ids"]
    assert "Paris" in answer
