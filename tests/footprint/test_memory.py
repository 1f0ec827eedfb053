from __future__ import annotations

import json
import math
from collections import defaultdict
from contextlib import suppress

import gguf
import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.errors import GGUFError, GGUFLabError, UnsupportedError
from gguf_lab.footprint import MACHINES, active_parameters

from . import llama_memory
from .llama_memory import RECORDED, small

ROWS = json.loads(RECORDED.read_text(encoding="utf-8"))["rows"]
BY_MODEL = defaultdict(list)
for row in ROWS:
    BY_MODEL[row["model"]].append(row)
MIB = 2**20


def path_of(name):
    return gl.demo.smollm2() if name == "smollm2" else small(name)


def agree(found, told):
    """Compare with what llama.cpp's log said: bytes of weights, MiB with two digits of buffers."""
    assert found.weights == told["weights"]
    assert found.n_parameters == told["n_parameters"]
    # llama.cpp rounds the buffers with and without a window each for itself
    assert found.cache / MIB == pytest.approx(told["kv_mib"], abs=0.0101)
    assert found.state / MIB == pytest.approx(told["state_mib"], abs=0.0051)
    full = [cells for cells in told["cells"] if cells >= 256]
    if full:
        assert found.cells.full == full[0] * found.cells.streams
        assert found.cells.window == (full[1] * found.cells.streams if len(full) > 1 else 0)


@pytest.mark.parametrize("name", list(BY_MODEL))
def test_sizes_are_those_that_llama_cpp_reports(name):
    with gl.open(path_of(name)) as model:
        for told in BY_MODEL[name]:
            found = gl.memory(model, **told["settings"])
            agree(found, told)
            # An estimate: within a quarter, also for models so small that details count.
            assert 0.8 < found.compute / MIB / told["compute_mib"] < 1.3


def test_the_estimate_of_a_real_model_is_close():
    with gl.open(gl.demo.smollm2()) as model:
        for told in BY_MODEL["smollm2"]:
            found = gl.memory(model, **told["settings"]).compute / MIB
            assert found == pytest.approx(told["compute_mib"], rel=0.05)


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("gemma4", {"context": 3000, "ubatch": 256, "parallel": 2}),
        ("deepseek2", {"context": 700}),
        ("gemma3", {"context": 8192, "ubatch": 4096}),
        ("lfm2", {"context": 2048, "parallel": 4}),
        ("smollm2", {"context": 6000, "kv_type": "Q8_0"}),
    ],
)
def test_llama_cpp_reports_them_again(name, settings):
    pytest.importorskip("llama_cpp")
    agree(gl.memory(path_of(name), **settings), llama_memory.measured(path_of(name), **settings))


# Of the shapes of published models with two layers, but for their vocabulary: MiB that llama.cpp
# (llama-cpp-python 0.3.36) says it reserves, by tokens of context and at once.
PUBLISHED = {
    "DeepSeek-V3": (
        "deepseek2",
        {
            "embedding_length": 7168,
            "feed_forward_length": 18432,
            "attention.head_count": 128,
            "attention.head_count_kv": 1,
            "rope.dimension_count": 64,
            "attention.kv_lora_rank": 512,
            "attention.key_length": 576,
            "attention.value_length": 512,
            "attention.key_length_mla": 192,
            "attention.value_length_mla": 128,
        },
        ("ffn_gate", "ffn_down_exps", "ffn_down"),
        {(4096, 512): 412.01, (32768, 512): 440.01, (32768, 2048): 1760.04},
    ),
    "bge-m3": (
        "bert",
        {"embedding_length": 1024, "feed_forward_length": 4096, "attention.head_count": 16},
        (),
        {(8192, 512): 14.51, (8192, 8192): 352.09},
    ),
    "Mixtral-8x7B": (
        "llama",
        {
            "embedding_length": 4096,
            "feed_forward_length": 14336,
            "attention.head_count": 32,
            "attention.head_count_kv": 8,
            "expert_count": 8,
            "expert_used_count": 2,
        },
        ("ffn_gate_exps", "ffn_down_exps"),
        {(4096, 512): 204.01, (32768, 512): 232.01, (32768, 2048): 928.05},
    ),
    "Mistral-7B": (
        "llama",
        {
            "embedding_length": 4096,
            "feed_forward_length": 14336,
            "attention.head_count": 32,
            "attention.head_count_kv": 8,
        },
        ("ffn_gate",),
        {(1024, 512): 117.01},
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_estimate_of_published_shapes_is_close(tmp_path, name):
    architecture, numbers, kinds, due = PUBLISHED[name]
    tensors = {"token_embd.weight": (2, numbers["embedding_length"])}
    tensors |= {f"blk.0.{kind}.weight": (2, 2) for kind in kinds}
    path = write(tmp_path / "a.gguf", architecture, numbers=numbers, tensors=tensors)
    for (context, ubatch), compute in due.items():
        found = gl.memory(path, context, ubatch=ubatch)
        assert found.ubatch == ubatch
        assert found.compute / MIB == pytest.approx(compute, rel=0.03)


def test_as_many_tokens_at_once_as_a_batch_has():
    path = path_of("llama")
    for given, due in (
        ({}, 512),
        ({"ubatch": 4096}, 4096),
        ({"ubatch": 4096, "batch": 2048}, 2048),
        ({"ubatch": 4096, "batch": 8192}, 4096),
        ({"ubatch": 1 << 20}, 8192),
    ):
        assert gl.memory(path, 8192, **given).ubatch == due


def write(path, architecture="llama", numbers=(), arrays=(), tensors=()):
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in {"block_count": 2, "embedding_length": 64, **dict(numbers)}.items():
        writer.add_uint32(f"{architecture}.{key}", value)
    for key, value in dict(arrays).items():
        writer.add_array(f"{architecture}.{key}", value)
    for name, shape in dict(tensors or {"token_embd.weight": (8, 64)}).items():
        writer.add_tensor(name, np.ones(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


HEADS = {"attention.head_count": 4, "attention.head_count_kv": 2}


def test_the_formula_of_grouped_query_attention(tmp_path):
    path = write(tmp_path / "a.gguf", numbers=HEADS)
    found = gl.memory(path, 1024)
    assert found.cache == 2 * 1024 * (2 * 16 + 2 * 16) * 2  # layers, tokens, K and V, bytes
    assert found.cells.full == 1024
    with_f32 = gl.memory(path, 1024, kv_type="F32")
    assert with_f32.cache == 2 * found.cache
    assert gl.memory(path, 1025).cells.full == 1280
    assert gl.memory(path, 1).cells.full == 256


def test_blocks_of_the_cache_must_divide_the_heads(tmp_path):
    with pytest.raises(UnsupportedError, match="heads of this model have 16 numbers"):
        gl.memory(write(tmp_path / "a.gguf", numbers=HEADS), kv_type="Q8_0")
    wide = HEADS | {"attention.key_length": 64, "attention.value_length": 32}
    found = gl.memory(write(tmp_path / "b.gguf", numbers=wide), 256, kv_type="Q4_0")
    assert found.cache == 2 * 256 * (2 * 64 + 2 * 32) // 32 * 18


EXPERTS = {
    "token_embd.weight": (8, 64),
    "output.weight": (8, 64),
    "blk.0.attn_q.weight": (64, 64),
    "blk.0.ffn_up_exps.weight": (8, 4, 64),
    "blk.0.ffn_up_shexp.weight": (4, 64),
    "blk.1.ffn_up_exps.weight": (8, 4, 64),
}


def test_of_experts_only_those_used_are_read(tmp_path):
    numbers = HEADS | {"expert_count": 8, "expert_used_count": 2}
    path = write(tmp_path / "moe.gguf", numbers=numbers, tensors=EXPERTS)
    found = gl.memory(path, 256)
    dense, experts = 2 * 8 * 64 + 64 * 64 + 4 * 64, 2 * 8 * 4 * 64
    assert found.n_parameters == dense + experts
    assert found.n_active == dense + experts // 4
    assert found.read_weights == 4 * (found.n_active - 8 * 64)  # the embedding is looked up
    assert found.read_per_token == found.read_weights + found.cache
    with gl.open(path) as model:
        assert active_parameters(model) == found.n_active
    with gl.open(small("llama")) as model:
        assert active_parameters(model) is None
    for layer_by_layer, share in (([2, 4], (1 / 4 + 1 / 2) / 2), ([8, 2], (1 + 1 / 4) / 2)):
        each = write(
            tmp_path / "each.gguf",
            numbers=HEADS | {"expert_count": 8},
            arrays={"expert_used_count": layer_by_layer},
            tensors=EXPERTS,
        )
        assert gl.memory(each, 256).n_active == dense + experts * share


def test_a_tied_embedding_is_read_and_on_a_gpu_there_twice():
    with gl.open(gl.demo.smollm2()) as model:
        one = gl.memory(model, 512)
        embedding = model.tensor("token_embd.weight").nbytes
        assert one.read_weights == model.nbytes
        host, gpu = gl.memory(model, 512, gpu_layers=99).devices
        assert (host.layers, gpu.layers) == (0, 30)
        assert host.weights == embedding
        assert host.weights + gpu.weights == model.nbytes + embedding
        assert (host.cache, gpu.cache) == (0, one.cache)


def test_layers_are_split_as_llama_cpp_does(tmp_path):
    """``upper_bound(splits, (layer - first) / offloaded)``: the last layers go to GPUs."""
    tensors = {"token_embd.weight": (8, 64), "output.weight": (8, 64)}
    tensors |= {f"blk.{n}.attn_q.weight": (n + 1, 64) for n in range(6)}
    path = write(tmp_path / "a.gguf", numbers=HEADS | {"block_count": 6}, tensors=tensors)
    each = gl.memory(path, 256).cache // 6
    found = gl.memory(path, 256, gpu_layers=4, split=(1, 1))
    # Six layers and the output: four of the seven go, from layer 3 on, two to each GPU.
    assert [d.layers for d in found.devices] == [3, 2, 1]
    assert [d.cache // each for d in found.devices] == [3, 2, 1]
    rows = [8 + 1 + 2 + 3, 4 + 5, 6 + 8]
    assert [d.weights for d in found.devices] == [256 * n for n in rows]
    assert found.weights == gl.memory(path, 256).weights
    assert [d.layers for d in gl.memory(path, 256, gpu_layers=0).devices] == [6, 0]


def test_a_file_of_tables_alone_has_no_bound(tmp_path):
    """They are looked up: no weights are read for a token."""
    writer = gguf.GGUFWriter(tmp_path / "f.gguf", "llama")
    for key in ("block_count", "embedding_length", "attention.head_count"):
        writer.add_uint32(f"llama.{key}", 32 if "length" in key else 1)
    writer.add_tensor("token_types.weight", np.ones((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = gl.memory(tmp_path / "f.gguf")
    assert found.read_weights == 0
    assert found.tokens_per_second(1e9, full=False) is None
    assert found.tokens_per_second(1e9) == pytest.approx(1e9 / found.cache)
    assert np.isnan(found.machines_to_frame()["tokens_per_second_empty"]).all()
    assert "Raspberry" in found._repr_html_()


def test_bandwidth_bounds_the_tokens_per_second():
    found = gl.memory(gl.demo.smollm2(), 8192)
    assert found.tokens_per_second(1e9, full=False) == pytest.approx(1e9 / 96_576_768)
    full = 96_576_768 + 30 * 8192 * 2 * 3 * 64 * 2
    assert found.tokens_per_second(1e9) == pytest.approx(1e9 / full)
    two = gl.memory(gl.demo.smollm2(), 8192, parallel=2)
    assert two.read_per_token == 96_576_768 + (full - 96_576_768) // 2  # each reads its own
    frame = found.machines_to_frame()
    assert list(frame["machine"]) == [machine.name for machine in MACHINES]
    assert frame["fits"].all()
    assert (frame["tokens_per_second_empty"] > frame["tokens_per_second_full"]).all()


def test_an_encoder_makes_no_tokens():
    found = gl.memory(small("bert"))
    assert not found.generates
    assert found.cache == 0
    assert found.tokens_per_second(1e9) is None
    assert np.isnan(found.machines_to_frame()["tokens_per_second_full"]).all()
    assert "an encoder sees all its tokens at once" in repr(found)
    assert "as an encoder" in found.answer(1e9)


def test_the_encoder_of_t5_has_a_cache_all_the_same(tmp_path):
    """llama.cpp has it in no list of models without: as many cells as the context has."""
    found = gl.memory(write(tmp_path / "a.gguf", architecture="t5encoder", numbers=HEADS), 1024)
    assert found.cache == 2 * 1024 * (2 * 16 + 2 * 16) * 2
    assert not found.generates
    assert "with 1,024 tokens of context" in found.answer(1e9)


@pytest.mark.parametrize("name", ["dream", "llada", "llada-moe", "rnd1"])
def test_a_diffusion_model_keeps_nothing_and_has_logits(tmp_path, name):
    many = {"token_embd.weight": (50_000, 64)}
    found = gl.memory(write(tmp_path / "a.gguf", architecture=name, numbers=HEADS, tensors=many))
    assert (found.kind, found.generates, found.cache) == ("diffusion", False, 0)
    assert "a diffusion model sees all its tokens at once" in repr(found)
    assert found.compute >= 512 * 4 * 50_000


def test_layers_that_draft_tokens_stay_in_the_file(tmp_path):
    tensors = {"token_embd.weight": (8, 64), "output.weight": (8, 64)}
    tensors |= {f"blk.{layer}.attn_q.weight": (64, 64) for layer in range(2)}
    numbers = HEADS | {"nextn_predict_layers": 1}
    path = write(tmp_path / "a.gguf", architecture="glm4moe", numbers=numbers, tensors=tensors)
    found = gl.memory(path, 256)
    assert found.drafting == 4 * 64 * 64
    assert found.weights == 4 * (64 * 64 + 2 * 8 * 64)
    assert found.n_parameters == 2 * (64 * 64 + 8 * 64)
    assert "without the 16.0 KiB of layers that draft tokens" in repr(found)
    assert "lie in the file, but of layers that only draft tokens; on GPUs" in found._repr_html_()
    assert found.cache == 256 * (2 * 16 + 2 * 16) * 2  # of one layer
    # of this one llama.cpp's cache has room for them
    other = write(tmp_path / "b.gguf", architecture="bailingmoe3", numbers=numbers, tensors=tensors)
    assert gl.memory(other, 256).cache == 2 * found.cache


def test_the_answer_in_words():
    found = gl.memory(gl.demo.smollm2(), 8192)
    assert found.answer(8 * 2**30).startswith(
        "Yes, it fits in 8.0 GiB with 8,192 tokens of context"
    )
    assert found.answer(100 * 2**20).startswith("No, it does not fit in 100 MiB")
    assert found.answer(found.total).startswith("It is close")
    assert found.fits(found.total)
    assert not found.fits(found.total - 1)
    assert found.rule_of_thumb == 2 * 134_515_008


def test_text_and_card_say_the_same():
    found = gl.memory(gl.demo.smollm2(), 8192, gpu_layers=10)
    text, html = repr(found), found._repr_html_()
    for words in ("188,743,680 bytes", "30 layers × 8,192 tokens", "rule of thumb", "an estimate"):
        assert words in text
        assert words in html
    assert "GPU 0" in text
    assert "NVIDIA RTX 3090" in html
    frame = found.to_frame()
    assert list(frame["device"]) == ["host", "GPU 0"]
    assert int(frame["total"].sum()) == found.total


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"context": 0}, "context is 0"),
        ({"context": 1 << 40}, "context is"),
        ({"context": 2.5}, "expected a whole number"),
        ({"ubatch": True}, "ubatch is True"),
        ({"batch": 0}, "batch is 0"),
        ({"gpu_layers": 1, "split": [10**400]}, "expected a share for each GPU"),
        ({"parallel": 300}, "parallel is 300"),
        ({"context": 2, "parallel": 3}, "3 sequences share it"),
        ({"kv_type": "Q4_K"}, "expected one of F32, F16"),
        ({"gpu_layers": -1}, "gpu_layers is -1"),
        ({"split": (1, 1)}, r"split is \(1, 1\): .* say how many go there with gpu_layers"),
        ({"gpu_layers": 1, "split": ()}, "expected a share for each GPU"),
        ({"gpu_layers": 1, "split": (0, 0)}, "expected a share for each GPU"),
        ({"gpu_layers": 1, "split": (1, math.nan)}, "expected a share for each GPU"),
        ({"gpu_layers": 1, "split": "1,1"}, "expected a share for each GPU"),
        ({"gpu_layers": 1, "split": None}, "expected a share for each GPU"),
    ],
)
def test_arguments_that_make_no_sense(arguments, words):
    with pytest.raises(GGUFLabError, match=words):
        gl.memory(small("llama"), **arguments)


def test_whole_numbers_of_numpy_and_types_in_any_letters_will_do():
    settings = {"ubatch": 64, "parallel": 2, "gpu_layers": 1, "kv_type": "BF16"}
    want = gl.memory(small("llama"), 2**24, **settings)
    numbers = {name: np.int32(n) for name, n in settings.items() if isinstance(n, int)}
    # as int32 the bytes of the cache would not fit
    assert gl.memory(small("llama"), np.int32(2**24), kv_type="bf16", **numbers) == want


@pytest.mark.parametrize("number", [math.nan, math.inf, -1, "8 GB", None])
def test_bytes_that_are_no_number_of_them(number):
    found = gl.memory(small("llama"))
    for ask in (found.fits, found.answer, found.tokens_per_second):
        with pytest.raises(GGUFLabError, match="expected a number of bytes"):
            ask(number)


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match="not int"):
        gl.memory(3)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"block_count": 0}, "1 to 512 layers are possible"),
        ({"block_count": 2**31}, "1 to 512 layers are possible"),
        ({"attention.head_count": 2**32 - 1}, ""),
    ],
)
def test_numbers_of_a_hostile_file(tmp_path, numbers, words):
    path = write(tmp_path / "x.gguf", numbers=HEADS | numbers)
    if words:
        with pytest.raises(GGUFError, match=words):
            gl.memory(path)
    else:  # absurd, but a number: nothing is allocated for it
        assert gl.memory(path, 256).cache >= 0


def test_what_is_needed_and_missing_is_named(tmp_path):
    path = write(tmp_path / "x.gguf", architecture="gemma2", numbers={"block_count": 3})
    assert gl.memory(path).cache == 0  # no heads
    path = write(tmp_path / "y.gguf", architecture="cohere2", numbers=HEADS)
    with pytest.raises(GGUFError, match=r"cohere2.attention.sliding_window is missing"):
        gl.memory(path)
    path = write(tmp_path / "z.gguf", numbers=HEADS, arrays={"attention.head_count": [4]})
    with pytest.raises(GGUFError, match="1 items for 2 layers"):
        gl.memory(path)


def test_what_the_package_gguf_knows_is_not_known_here(tmp_path, monkeypatch):
    """A later one names architectures that may keep anything."""
    monkeypatch.setitem(gguf.MODEL_ARCH_NAMES, -1, "newhybrid")
    with pytest.raises(UnsupportedError, match="'newhybrid' is not known"):
        gl.memory(write(tmp_path / "a.gguf", architecture="newhybrid", numbers=HEADS))


def test_every_architecture_of_the_package_is_decided(tmp_path):
    """Those of gguf 0.19, which were looked at: each is counted or refused, none by accident."""
    unknown = []
    for name in gguf.MODEL_ARCH_NAMES.values():
        with suppress(GGUFError):  # of keys that this one needs
            try:
                gl.memory(write(tmp_path / "a.gguf", architecture=name, numbers=HEADS))
            except UnsupportedError as error:
                unknown += [name] if "is not known here: what it keeps" in str(error) else []
    assert unknown == []


def test_what_is_not_known_is_refused(tmp_path):
    with pytest.raises(UnsupportedError, match="'strange' is not known"):
        gl.memory(write(tmp_path / "a.gguf", architecture="strange", numbers=HEADS))
    with pytest.raises(UnsupportedError, match="deepseek32 keeps more of its context"):
        gl.memory(write(tmp_path / "b.gguf", architecture="deepseek32", numbers=HEADS))
    with pytest.raises(UnsupportedError, match="no model but of kind mmproj"):
        gl.memory(write(tmp_path / "c.gguf", architecture="clip", numbers=HEADS))
