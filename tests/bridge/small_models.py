"""Small random models of Transformers, and tokenizers trained on a few lines: nobody's weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data" / "models"
TEXT = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")

VOCABULARY = 300
BASE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}
_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}
LINEAR = {
    "head_dim": 32,
    "layer_types": ["linear_attention", "full_attention", "linear_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
}
_SHARED = {**_EXPERTS, "num_experts": 4, "shared_expert_intermediate_size": 64}
_ROUTED = {
    **_EXPERTS,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
}
_OLD = {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 256}
CAUSAL: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": None},
    "ministral3": {
        "head_dim": 24,
        "pad_token_id": 0,
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 4,
            "mscale": 1.0,
            "mscale_all_dim": 1.0,
            "llama_4_scaling_beta": 0.1,
        },
    },
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None},
    "llama4_text": {
        "head_dim": 24,
        "num_hidden_layers": 4,
        "num_local_experts": 4,
        "intermediate_size_mlp": 80,
        "interleave_moe_layer_step": 2,
    },
    "qwen2": {},
    "qwen2_moe": {**_SHARED, "decoder_sparse_step": 1},
    "qwen3": {"head_dim": 24},
    # llama.cpp has these alone: the shares of the experts add up to 1
    "qwen3_moe": {**_EXPERTS, "head_dim": 24, "num_experts": 4, "norm_topk_prob": True},
    "qwen3_next": {**_SHARED, **LINEAR},
    "qwen3_5_text": LINEAR,
    "qwen3_5_moe_text": {**_SHARED, **LINEAR},
    "phi": {"num_key_value_heads": 4},
    "phi3": {"pad_token_id": 0},
    "bloom": {"n_layer": 3, "n_head": 4},
    "falcon": {"num_kv_heads": 2, "new_decoder_architecture": True},
    "gpt2": {**_OLD, "n_ctx": 256},
    "gpt_neox": {},
    "gpt_bigcode": {**_OLD, "n_inner": 96},
    "starcoder2": {},
    "stablelm": {},
    "mamba": {"state_size": 16, "intermediate_size": 128, "tie_word_embeddings": True},
    "mamba2": {
        "intermediate_size": 128,
        "num_heads": 8,
        "head_dim": 16,
        "state_size": 16,
        "n_groups": 2,
    },
    "nemotron": {},
    "nemotron_h": {
        **_EXPERTS,
        "head_dim": 24,
        "num_hidden_layers": None,
        "layers_block_type": ["mamba", "moe", "attention"],
        "mamba_num_heads": 6,
        "mamba_head_dim": 16,
        "ssm_state_size": 16,
        "n_groups": 2,
        "n_routed_experts": 4,
        "moe_shared_expert_intermediate_size": 80,
        "time_step_min": 1e-7,  # shorter steps are none in Transformers; llama.cpp has them
    },
    "gemma": {"head_dim": 24, "tie_word_embeddings": True},
    # llama.cpp takes the size of a head for it
    "gemma2": {"head_dim": 24, "query_pre_attn_scalar": 24, "tie_word_embeddings": True},
    "gemma3_text": {"head_dim": 24, "query_pre_attn_scalar": 24, "tie_word_embeddings": True},
    "gpt_oss": {"head_dim": 24, "num_local_experts": 4, "num_experts_per_tok": 2},
    "deepseek_v2": {
        **_EXPERTS,
        "q_lora_rank": 32,
        "kv_lora_rank": 32,
        "qk_nope_head_dim": 16,
        "qk_rope_head_dim": 8,
        "v_head_dim": 16,
        "first_k_dense_replace": 1,
        "n_routed_experts": 4,
        "num_key_value_heads": 4,
        "n_shared_experts": 1,
    },
    "lfm2": {"layer_types": ["conv", "full_attention", "conv"]},
    "olmo2": {},
    "olmo3": {},
    "cohere": {"tie_word_embeddings": True},
    "cohere2": {"tie_word_embeddings": True},
    "granite": {},
    "granitemoe": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "granitemoehybrid": {
        "layer_types": ["linear_attention", "full_attention", "linear_attention"],
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "shared_intermediate_size": 64,
        "mamba_n_heads": 8,
        "mamba_d_head": 16,
        "mamba_n_groups": 2,
        "mamba_d_state": 16,
    },
    "falcon_h1": {
        "head_dim": 24,
        "mamba_d_ssm": 96,
        "mamba_n_heads": 6,
        "mamba_d_head": 16,
        "mamba_n_groups": 2,
        "mamba_d_state": 16,
        "mamba_rms_norm": True,
        "mamba_norm_before_gate": False,
        "num_logits_to_keep": None,
        "pad_token_id": 0,
        "attention_in_multiplier": 0.7,
        "attention_out_multiplier": 1.3,
        "key_multiplier": 0.5,
        "ssm_in_multiplier": 1.1,
        "ssm_out_multiplier": 0.6,
        "embedding_multiplier": 5.6,
        "lm_head_multiplier": 0.4,
        "mlp_multipliers": [0.9, 1.7],
        "ssm_multipliers": [0.35, 0.25, 0.18, 0.5, 0.11],
    },
    "exaone4": {},
    "glm4": {"head_dim": 24, "pad_token_id": 0},
    "arcee": {},
    "apertus": {"pad_token_id": 0},
    # the fourth layer has no rotary positions
    "smollm3": {"num_hidden_layers": 4, "pad_token_id": 0},
    "seed_oss": {"head_dim": 24, "pad_token_id": 0},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2, "num_key_value_heads": 4},
    "minimax_m2": {"head_dim": 24, "num_local_experts": 4, "num_experts_per_tok": 2},
    "ernie4_5": {"head_dim": 24, "pad_token_id": 0},
    "ernie4_5_moe": {
        "moe_num_experts": 4,
        "moe_k": 2,
        "moe_intermediate_size": 32,
        "moe_num_shared_experts": 2,
        "pad_token_id": 0,
    },
    "hunyuan_v1_dense": {
        "head_dim": 24,
        "max_position_embeddings": 32768,
        "rope_parameters": {
            "rope_type": "dynamic",
            "rope_theta": 10000.0,
            "alpha": 1000.0,
            "factor": 1.0,
        },
        "pad_token_id": 0,
    },
    "dots1": {
        **_ROUTED,
        "head_dim": 24,
        "num_key_value_heads": 4,
        "norm_topk_prob": True,
        "routed_scaling_factor": 2.5,
    },
    "glm4_moe": {
        **_ROUTED,
        "head_dim": 24,
        "use_qk_norm": True,
        "routed_scaling_factor": 2.5,
        "pad_token_id": 0,
    },
    "gemma4_text": {
        "head_dim": 16,
        "global_head_dim": 24,
        "num_hidden_layers": 6,
        "num_kv_shared_layers": 2,
        "layer_types": ["sliding_attention", "full_attention"] * 3,
        "sliding_window": 8,
        "hidden_size_per_layer_input": 8,
        "vocab_size_per_layer_input": VOCABULARY,
        "tie_word_embeddings": True,
        "pad_token_id": 0,
    },
}


_T5 = {"d_model": 64, "d_kv": 16, "d_ff": 96, "num_layers": 3, "num_heads": 4, "pad_token_id": 0}
_BERT = {name: BASE[name] for name in ("hidden_size", "intermediate_size", "num_attention_heads")}
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("BertModel", {**_BERT, "num_hidden_layers": 3}),
    "distilbert": ("DistilBertModel", {"dim": 64, "n_layers": 3, "n_heads": 4, "hidden_dim": 96}),
    "nomic_bert": ("NomicBertModel", {**_BERT, "num_hidden_layers": 3}),
    "gemma3_text": (
        "Gemma3TextModel",
        {
            **_BERT,
            "num_key_value_heads": 2,
            "head_dim": 24,
            "query_pre_attn_scalar": 24,
            "num_hidden_layers": 3,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "sliding_window": 8,
            "use_bidirectional_attention": True,
        },
    ),
    "t5": ("T5ForConditionalGeneration", {**_T5, "feed_forward_proj": "gated-gelu"}),
    "mt5": ("MT5ForConditionalGeneration", {**_T5, "feed_forward_proj": "gated-gelu"}),
    "umt5": ("UMT5ForConditionalGeneration", {**_T5, "feed_forward_proj": "gated-gelu"}),
}
"""Encoders, and what has one: the class and the settings."""


def other(kind: str, **settings: Any) -> Any:
    """One of `OTHERS` in float32."""
    import torch
    import transformers

    torch.manual_seed(0)
    name, usual = OTHERS[kind]
    config = transformers.AutoConfig.for_model(kind, vocab_size=VOCABULARY, **{**usual, **settings})
    return shaken(getattr(transformers, name)(config).float())


def shaken(model: Any) -> Any:
    """Let no parameter keep a value that would hide a mistake, such as a norm of ones."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "A_log" not in name:
                noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(7))
                parameter.add_((0.1 if parameter.ndim == 1 else 0.05) * noise)
    return model.eval()


def causal(model_type: str, **settings: Any) -> Any:
    """A language model in float32."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, **{**BASE, **CAUSAL[model_type], **settings})
    return shaken(AutoModelForCausalLM.from_config(config, dtype=torch.float32))


def byte_level(pattern: str | None = None) -> Any:
    """A byte-level BPE of as many tokens; gpt2's way to split words, or by a pattern."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    if pattern is not None:
        split = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), split])
    tokenizer.pre_tokenizer, tokenizer.decoder = split, decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=end, eos_token=end)


def sentencepiece(folder: Path) -> Path:
    """A SentencePiece model with byte fallback, as llama has it, in files of its own."""
    import sentencepiece

    folder.mkdir(exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.splitlines()),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=VOCABULARY + 60,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        hard_vocab_limit=False,
        minloglevel=5,
    )
    (folder / "tokenizer.vocab").unlink()
    settings = {
        "tokenizer_class": "LlamaTokenizer",
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "legacy": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def word_piece() -> Any:
    """BERT's tokenizer with the words of a few lines."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    tokenizer = BertWordPieceTokenizer(lowercase=True)
    tokenizer.train_from_iterator([TEXT], vocab_size=VOCABULARY, show_progress=False)
    return BertTokenizerFast(tokenizer_object=tokenizer._tokenizer, do_lower_case=True)
