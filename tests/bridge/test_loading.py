"""Into Transformers: every weight, every constant, every logit is that of the original."""

from __future__ import annotations

import gc
import math
import os
import subprocess
import sys
import warnings
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")
transformers = pytest.importorskip("transformers")

import gguf_lab as gl  # noqa: E402
from gguf_lab.bridge import to_transformers  # noqa: E402
from gguf_lab.bridge.configuration import end_tokens, sampling_of  # noqa: E402
from gguf_lab.errors import GGUFError, GGUFLabError, UnsupportedError  # noqa: E402
from gguf_lab.file import qtype  # noqa: E402
from gguf_lab.file.writer import Payload, write_file  # noqa: E402
from gguf_lab.reference.quantized import decode_tensors  # noqa: E402

from ..models import QUANTIZED  # noqa: E402
from .small_models import causal  # noqa: E402

pytestmark = pytest.mark.slow  # a model of every family: half a minute in all

DATA = Path(__file__).parents[1] / "data"
MODELS = DATA / "models"
# Their files are no plain copy of the checkpoint, or of no class: tests of their own, below.
OTHER = {"nomic-bert-moe", "llama-256"} | QUANTIZED
NAMES = sorted(p.name for p in MODELS.iterdir() if p.is_dir() and p.name not in OTHER)
# Transformers rotates an odd number of elements here, and fails by itself
NO_LOGITS = {"phi2"}
# settings that no file has; llama.cpp assumes what our configuration says
NOT_IN_THE_FILE = {
    "gemma2": ("query_pre_attn_scalar",),
    "gemma3": ("query_pre_attn_scalar",),
    "qwen3moe": ("norm_topk_prob",),
}


def file_of(name: str) -> Path:
    (path,) = (MODELS / name).glob("*.gguf")
    return path


def load(path: Path | gl.Model, **options):
    """Load the model; what is left out of it, tests below look at."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*(the classifier|further tokens) .* is left out")
        return to_transformers(path, **options)[0]


def original(name: str, model):
    """The checkpoint, as Transformers itself loads it into the same class."""
    options = {"add_pooling_layer": False} if name == "bert" else {}
    for setting in NOT_IN_THE_FILE.get(name, ()):
        options[setting] = getattr(model.config, setting)
    kind = type(model)
    if name == "mistral":  # the file says llama, which is the same without a sliding window
        kind = transformers.MistralForCausalLM
    return kind.from_pretrained(MODELS / name / "hf", dtype="auto", **options)


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> list[str]:
    """Names of which the two differ, in bits."""
    assert ours.keys() == theirs.keys()
    return [
        name
        for name, value in theirs.items()
        if ours[name].dtype != value.dtype
        or ours[name].shape != value.shape
        or not torch.equal(ours[name], value)
    ]


def logits(model) -> torch.Tensor:
    rows = model.get_input_embeddings().weight.shape[0]
    ids = torch.randint(0, min(rows, 30), (2, 12), generator=torch.Generator().manual_seed(0))
    more = {"decoder_input_ids": ids} if model.config.is_encoder_decoder else {}
    # the fast kernels for experts want wider matrices
    model.set_experts_implementation("eager")
    with torch.no_grad():
        return model.float()(input_ids=ids, **more)[0]


@pytest.fixture(scope="module", params=NAMES)
def pair(request):
    model = load(file_of(request.param))
    yield request.param, model, original(request.param, model)
    gc.collect()


def test_weights_are_those_of_the_checkpoint(pair) -> None:
    name, model, reference = pair
    ours, theirs = dict(model.state_dict()), dict(reference.state_dict())
    if name == "gpt-oss-mxfp4":  # a quantized file is loaded as float32; bfloat16 has its values
        assert model.dtype == torch.float32
        ours = {key: value.bfloat16() for key, value in ours.items()}
    if name == "gemma3":  # the file has the rows of the tokenizer's tokens only
        rows = model.config.vocab_size
        assert rows < reference.config.vocab_size
        for key in ("model.embed_tokens.weight", "lm_head.weight"):
            theirs[key] = theirs[key][:rows]
    if name == "gemma":  # in half precision: adding 1 has lost bits that nobody can bring back
        for state in (ours, theirs):
            state.update({k: v + 1 for k, v in state.items() if k.endswith("norm.weight")})
    assert same(ours, theirs) == []


def test_constants_are_made_as_the_model_makes_them(pair) -> None:
    _, model, reference = pair
    assert same(dict(model.named_buffers()), dict(reference.named_buffers())) == []


def test_logits_are_those_of_the_checkpoint(pair) -> None:
    name, model, reference = pair
    if name in NO_LOGITS:
        pytest.skip("Transformers can't run it")
    if name == "gemma":
        reference.load_state_dict(model.state_dict())
    ours, theirs = logits(model), logits(reference)
    assert torch.equal(ours, theirs[..., : ours.shape[-1]])


def test_it_is_an_ordinary_model(pair) -> None:
    _, model, reference = pair
    assert not model.training
    assert {p.device.type for p in model.parameters()} == {"cpu"}
    assert all(p.requires_grad and p.is_leaf for p in model.parameters())
    assert not hasattr(model.config, "quantization_config")
    assert model.config.tie_word_embeddings == reference.config.tie_word_embeddings
    tied = [name for name, _ in reference.named_parameters()]
    assert [name for name, _ in model.named_parameters()] == tied


def test_it_is_saved_like_the_checkpoint_and_loads_again(pair, tmp_path) -> None:
    from safetensors.torch import load_file

    name, model, reference = pair
    model.save_pretrained(tmp_path / "ours")
    reference.save_pretrained(tmp_path / "theirs")
    ours, theirs = (load_file(tmp_path / side / "model.safetensors") for side in ("ours", "theirs"))
    if name != "gpt-oss-mxfp4":  # blocks are saved as blocks
        assert ours.keys() == theirs.keys()
    options = {"add_pooling_layer": False} if name == "bert" else {}
    again = type(model).from_pretrained(tmp_path / "ours", dtype="auto", **options)
    assert same(dict(again.state_dict()), dict(model.state_dict())) == []


# --- files with something else in them ------------------------------------------------------------


def rewrite(
    source: Path,
    target: Path,
    *,
    change: dict[str, tuple[str, np.ndarray] | None] | None = None,
    metadata: dict[str, object] | None = None,
    max_shard_bytes: int | None = None,
) -> Path:
    """Copy a file; `change` gives a tensor another type and rows (bytes), or takes it away."""
    with gl.open(source) as model:
        keys = {**model.metadata, **(metadata or {})}
        keys = {key: value for key, value in keys.items() if value is not None}
        payloads = []
        for name, tensor in model.tensors.items():
            if (change or {}).get(name, ...) is None:
                continue
            if name in (change or {}):
                continue
            blocks = np.array(tensor.blocks())
            payloads.append(
                Payload(name, tensor.shape, qtype(tensor.qtype), lambda b=blocks: iter([b]))
            )
        for name, new in (change or {}).items():
            if new is not None:
                kind, rows = new
                info = qtype(kind)
                shape = (*rows.shape[:-1], rows.shape[-1] // info.type_size * info.block_size)
                payloads.append(Payload(name, shape, info, lambda b=rows: iter([b])))
    return write_file(target, keys, payloads, max_shard_bytes=max_shard_bytes)[0]


def f32(*shape: int) -> tuple[str, np.ndarray]:
    return "F32", np.arange(math.prod(shape), dtype="<f4").reshape(shape).view(np.uint8)


GOLDEN = sorted(path.stem for path in (DATA / "golden").glob("*.npz"))


@pytest.mark.parametrize("kind", [k for k in GOLDEN if k not in {"source", "BF16", "F16"}])
def test_every_quantized_type_is_decoded_as_ggml_does(kind, tmp_path) -> None:
    golden = np.load(DATA / "golden" / f"{kind}.npz")
    # with the importance of columns where the type requires it
    which = "" if "quantized" in golden else "_imatrix"
    blocks, expected = golden[f"quantized{which}"], golden[f"dequantized{which}"]
    # an embedding is copied as it is; of llama's keys the rows move
    rows = np.resize(blocks, (128, blocks.shape[-1] // 4))
    values = torch.from_numpy(np.resize(expected, (128, 256)))
    path = rewrite(
        file_of("llama-256"),
        tmp_path / "model.gguf",
        change={
            "token_embd.weight": (kind, rows),
            "output.weight": (kind, rows),
            "blk.0.attn_k.weight": (kind, rows[:128]),
        },
        metadata={"llama.vocab_size": len(rows)},
    )
    with gl.open(path) as file:
        heads = file.metadata["llama.attention.head_count_kv"]
        assert file.tensor("blk.0.attn_k.weight").shape == (128, 256)
    model = load(path)
    assert model.dtype == torch.float32
    state = model.state_dict()
    assert torch.equal(state["model.embed_tokens.weight"], values)
    assert torch.equal(state["lm_head.weight"], values)
    pairs = values[:128].view(heads, 128 // heads // 2, 2, 256)
    halves = pairs.transpose(1, 2).reshape(128, 256)
    assert torch.equal(state["model.layers.0.self_attn.k_proj.weight"], halves)


def test_a_file_of_mixed_types_equals_what_the_codec_decodes() -> None:
    with gl.open(file_of("llama-256")) as file:
        state = load(file).state_dict()
        heads = {
            "attn_q": file.metadata["llama.attention.head_count"],
            "attn_k": file.metadata["llama.attention.head_count_kv"],
        }
        assert {"Q4_K", "Q6_K", "F32"} <= {t.qtype for t in file.tensors.values()}
        names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 3)
        found = {}
        for name, value in state.items():
            ours = names.get_name(name, try_suffixes=(".weight",))
            found[ours] = value
        assert found.keys() == file.tensors.keys()
        for name, tensor in file.tensors.items():
            values = tensor.dequantize()
            if n := heads.get(tensor.kind):
                values = values.view(n, -1, 2, 256).transpose(1, 2).reshape(values.shape)
            assert torch.equal(found[name], values), name


def test_shards_and_open_models_and_texts_are_taken(tmp_path) -> None:
    path = rewrite(file_of("llama"), tmp_path / "model.gguf", max_shard_bytes=20_000)
    assert len([*tmp_path.glob("*-of-*.gguf")]) > 2
    expected = load(file_of("llama")).state_dict()
    assert same(load(str(path)).state_dict(), expected) == []
    with gl.open(path) as file:
        assert same(load(file).state_dict(), expected) == []
        assert file.tensor("output.weight").to_numpy().any()  # still open


def test_a_big_endian_file_is_taken(tmp_path) -> None:
    source = gguf.GGUFReader(file_of("llama3-tied"))
    path = tmp_path / "big.gguf"
    writer = gguf.GGUFWriter(path, "llama", endianess=gguf.GGUFEndian.BIG)
    for field in source.fields.values():
        if not field.name.startswith(("GGUF.", "general.architecture")):
            writer.add_key_value(field.name, field.contents(), field.types[0])
    for tensor in source.tensors:
        writer.add_tensor(tensor.name, np.array(tensor.data))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with gl.open(path) as file:
        assert file.byteorder == "big"
    expected = load(file_of("llama3-tied"))
    assert same(load(path).state_dict(), expected.state_dict()) == []


@pytest.mark.parametrize("dtype", ["float32", torch.float16, "bfloat16", "float64"])
def test_the_type_that_is_asked_for(dtype) -> None:
    model = load(file_of("llama-256"), dtype=dtype)
    kind = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    assert {p.dtype for p in model.parameters()} == {kind}
    assert model.config.dtype == kind
    exact = load(file_of("llama-256")).state_dict()
    expected = {name: value.to(kind) for name, value in exact.items()}
    assert same(model.state_dict(), expected) == []


@pytest.mark.parametrize("dtype", ["int8", "float", "float3", torch.int64, torch.float8_e4m3fn, 5])
def test_another_type_is_refused(dtype) -> None:
    if dtype == "float":  # torch's other name for float32
        assert load(file_of("llama"), dtype=dtype).dtype == torch.float32
        return
    with pytest.raises(GGUFLabError, match="is not one for a model"):
        to_transformers(file_of("llama"), dtype=dtype)


@pytest.mark.parametrize("device", ["banana", "cuda:77", torch.device("cuda:77"), None])
def test_another_device_is_refused(device) -> None:
    with pytest.raises(GGUFLabError, match=f"device '{device}' cannot be used with torch here"):
        to_transformers(file_of("llama"), device=device)


# --- what is refused ------------------------------------------------------------------------------


def test_a_missing_tensor_is_named(tmp_path) -> None:
    path = rewrite(file_of("llama"), tmp_path / "m.gguf", change={"blk.1.ffn_up.weight": None})
    with pytest.raises(GGUFError, match=r"lacks tensors.*model\.layers\.1\.mlp\.up_proj\.weight"):
        to_transformers(path)


def test_a_tensor_without_a_place_is_named(tmp_path) -> None:
    path = rewrite(
        file_of("llama"), tmp_path / "m.gguf", change={"blk.1.attn_sinks.weight": f32(4)}
    )
    with pytest.raises(GGUFError, match=r"has no place for 1 tensors.*blk\.1\.attn_sinks\.weight"):
        to_transformers(path)


def test_a_wrong_shape_is_named(tmp_path) -> None:
    path = rewrite(file_of("llama"), tmp_path / "m.gguf", change={"blk.1.ffn_up.weight": f32(3, 8)})
    with pytest.raises(GGUFError, match=r"'blk\.1\.ffn_up\.weight' has shape \(3, 8\).*should be"):
        to_transformers(path)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("xielu.beta", None, "lack xielu.beta"),
        ("xielu.beta", [0.5, 0.5], "xielu.beta is .* 3 values, one per layer"),
        ("xielu.eps", ["a", "b", "c"], "xielu.eps is .* a number"),
        ("xielu.alpha_p", float("nan"), "xielu.alpha_p is nan; expected a finite number"),
    ],
)
def test_a_wrong_number_of_the_activation_is_named(key, value, words, tmp_path) -> None:
    path = rewrite(file_of("apertus"), tmp_path / "m.gguf", metadata={key: value})
    with pytest.raises(GGUFError, match=words):
        to_transformers(path)
    assert "hyper-parameters" in gl.check(path, progress=False).codes


def test_one_number_of_the_activation_counts_for_all_layers(tmp_path) -> None:
    path = rewrite(file_of("apertus"), tmp_path / "m.gguf", metadata={"xielu.beta": 0.25})
    layers = load(path).model.layers
    assert [layer.mlp.act_fn.beta.item() for layer in layers] == [0.25] * 3
    assert len({layer.mlp.act_fn.alpha_p.item() for layer in layers}) == 3


def test_a_tensor_that_does_not_divide_is_named(tmp_path) -> None:
    key = "llama.attention.head_count"
    path = rewrite(file_of("llama"), tmp_path / "m.gguf", metadata={key: 5})
    with pytest.raises(GGUFError):
        to_transformers(path)


def test_too_many_layers_are_not_built(tmp_path) -> None:
    path = rewrite(file_of("llama"), tmp_path / "m.gguf", metadata={"llama.block_count": 1 << 30})
    with pytest.raises(GGUFError, match=r"1073741824|layers"):
        to_transformers(path)


def test_sizes_that_the_tensors_contradict_are_not_allocated(tmp_path) -> None:
    key = "llama.embedding_length"
    path = rewrite(file_of("llama"), tmp_path / "m.gguf", metadata={key: 1 << 30})
    with pytest.raises(GGUFError):
        to_transformers(path)


def test_constants_beyond_all_measure_are_not_allocated(tmp_path) -> None:
    key = "llama.rope.dimension_count"
    path = rewrite(file_of("llama"), tmp_path / "m.gguf", metadata={key: 1 << 31})
    with pytest.raises((GGUFError, UnsupportedError)):
        to_transformers(path)


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
@pytest.mark.parametrize("name", ["llama-nvfp4", "qwen3moe-nvfp4"])
def test_weights_in_nvfp4_are_loaded_times_their_scales(name: str, dtype: str) -> None:
    """As the original stands for them: the same numbers, made of its own parts."""
    path = file_of(name)
    state = load(path, dtype=dtype).state_dict()
    checkpoint = gl.open_checkpoint(path.parent / "hf")
    seen = 0
    for key, tensor in decode_tensors(checkpoint.tensors, checkpoint.config).tensors.items():
        if tensor.dtype == "F32" and key in state:
            rows = tensor.read(0, tensor.shape[0]).view(np.float32)
            assert torch.equal(state[key], torch.from_numpy(rows).to(state[key].dtype)), key
            seen += 1
    assert seen >= 4


def test_a_scale_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    change = {"blk.0.ffn_up.scale": ("F32", np.ones(2, "<f4").view(np.uint8))}
    path = rewrite(file_of("llama"), tmp_path / "m.gguf", change=change)
    with pytest.raises(GGUFError, match=r"'blk.0.ffn_up.weight' can't be read: scales of shape"):
        to_transformers(path)


def test_an_architecture_that_transformers_lacks_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="nomic-bert"):
        to_transformers(file_of("nomic-bert-moe"))


def test_an_unknown_architecture_is_refused(tmp_path) -> None:
    path = write_file(tmp_path / "m.gguf", {"general.architecture": "fantasy"}, [])[0]
    with pytest.raises(UnsupportedError):
        to_transformers(path)
    path = write_file(tmp_path / "n.gguf", {"general.name": "no architecture"}, [])[0]
    with pytest.raises(GGUFLabError):
        to_transformers(path)


@pytest.mark.parametrize("kind", ["adapter", "imatrix", "mmproj"])
def test_what_is_no_model_is_refused(kind, tmp_path) -> None:
    path = rewrite(file_of("llama"), tmp_path / "m.gguf", metadata={"general.type": kind})
    with pytest.raises(UnsupportedError, match=kind):
        to_transformers(path)


def test_a_classifier_on_bert_is_left_out_loudly() -> None:
    with pytest.warns(UserWarning, match=r"classifier \(cls\.output\.bias, cls\.output\.weight\)"):
        model, _ = to_transformers(file_of("bert"))
    assert type(model).__name__ == "BertModel"
    assert model.pooler is None


# --- life after loading ---------------------------------------------------------------------------


def test_the_tokenizer_comes_along_if_the_file_has_one() -> None:
    _, tokenizer = to_transformers(file_of("llama"))
    assert tokenizer.decode(tokenizer("Hello")["input_ids"], skip_special_tokens=True) == "Hello"
    assert to_transformers(file_of("gpt2"))[1] is None


def test_generation_ends_where_llama_cpp_ends() -> None:
    keys = {"tokenizer.ggml.eot_token_id": 7, "tokenizer.ggml.eom_token_id": 2}
    assert end_tokens(keys, {"eos_token_id": 2, "vocab_size": 30}) == [2, 7]
    assert end_tokens(keys, {"eos_token_id": None, "vocab_size": 7}) == [2]
    assert end_tokens({}, {"eos_token_id": None, "vocab_size": 7}) == []
    # gemma 2 and 3, of which no key names the end of a turn
    words = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.eos_token_id": 1}
    words["tokenizer.ggml.tokens"] = ["<pad>", "<eos>", "a", "<end_of_turn>"]
    assert end_tokens(words, {"eos_token_id": 1, "vocab_size": 4}) == [1, 3]
    assert end_tokens(words, {"eos_token_id": 1, "vocab_size": 3}) == [1]


@pytest.mark.parametrize(
    ("keys", "settings"),
    [
        ({}, {}),
        ({"top_k": 20}, {"do_sample": True, "top_k": 20}),
        (
            {"temp": float(np.float32(0.6)), "top_p": float(np.float32(0.95)), "min_p": 0.0},
            {"do_sample": True, "temperature": 0.6, "top_p": 0.95, "min_p": 0.0},
        ),
        ({"temp": 0.0, "top_k": 20}, {}),  # the likeliest
        ({"temp": float("nan"), "top_p": 2.0, "top_k": -1, "min_p": "x"}, {}),
        ({"temp": True, "top_k": 1.5, "top_p": float("inf")}, {}),
    ],
)
def test_tokens_are_drawn_as_the_file_says(keys, settings) -> None:
    assert sampling_of({f"general.sampling.{key}": v for key, v in keys.items()}) == settings


def test_how_tokens_are_drawn_goes_to_a_file_and_back(tmp_path) -> None:
    """By way of a folder, or of a model in memory: the same keys."""
    drawn = {"do_sample": True, "temperature": 0.6, "top_p": 0.95, "top_k": 20}
    model = causal("qwen3")
    for name, value in drawn.items():
        setattr(model.generation_config, name, value)
    model.save_pretrained(tmp_path / "hf")
    paths = [tmp_path / f"{number}.gguf" for number in range(3)]
    named = {"tokenizer": False, "progress": False, "metadata": {"general.name": "Same"}}
    gl.export(tmp_path / "hf", paths[0], **named)
    gl.export(model, paths[1], **named)
    loaded = load(paths[0])
    assert {name: getattr(loaded.generation_config, name) for name in drawn} == drawn
    gl.export(loaded, paths[2], **named)
    keys = gl.open(paths[0]).metadata
    assert {k: v for k, v in keys.items() if "sampling" in k} == {
        "general.sampling.temp": float(np.float32(0.6)),
        "general.sampling.top_p": float(np.float32(0.95)),
        "general.sampling.top_k": 20,
    }
    for path in paths[1:]:
        assert {**gl.open(path).metadata} == {**keys}
    loaded.save_pretrained(tmp_path / "saved")


def test_it_generates(tmp_path) -> None:
    keys = {
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.padding_token_id": 3,
        "tokenizer.ggml.eot_token_id": 4,
    }
    model = load(rewrite(file_of("llama"), tmp_path / "m.gguf", metadata=keys))
    settings = model.generation_config
    assert (settings.bos_token_id, settings.eos_token_id, settings.pad_token_id) == (1, [2, 4], 3)
    ids = torch.tensor([[1, 5, 6]])
    out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=5)
    assert out[:, :3].equal(ids)
    assert 4 <= out.shape[1] <= 8
    model.save_pretrained(tmp_path / "saved")
    again = transformers.GenerationConfig.from_pretrained(tmp_path / "saved")
    assert again.eos_token_id == [2, 4]


def test_the_trainer_takes_a_step_and_saves(tmp_path) -> None:
    pytest.importorskip("accelerate")
    model = load(file_of("llama-256"))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ids = torch.arange(12) % 30
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path / "out"),
        max_steps=1,
        per_device_train_batch_size=1,
        learning_rate=1e-3,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    rows = [{"input_ids": ids, "labels": ids}]
    trainer = transformers.Trainer(model=model, args=arguments, train_dataset=rows)
    assert math.isfinite(trainer.train().training_loss)
    after = model.state_dict()
    assert [name for name in after if torch.equal(after[name], before[name])] == []
    trainer.save_model(str(tmp_path / "saved"))
    again = type(model).from_pretrained(tmp_path / "saved")
    assert same(dict(again.state_dict()), dict(after)) == []


# Peak memory of loading, over what the imports and a first, small load have taken.
PEAK = """
import resource, sys, warnings
warnings.simplefilter("ignore")
from gguf_lab.bridge import to_transformers
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
to_transformers(sys.argv[1])
before = peak()
model, _ = to_transformers(sys.argv[2], dtype=sys.argv[3])
print(peak() - before - sum(p.nbytes for p in model.parameters()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux only")
@pytest.mark.parametrize(("dtype", "kind"), [("float32", "Q8_0"), ("bfloat16", "F32")])
def test_no_weight_is_held_twice(dtype, kind, tmp_path) -> None:
    """A vocabulary of 128k by 4096: 2 GB in float32."""
    rows, width = 131_072, 4096 if dtype == "bfloat16" else 2048
    rng = np.random.default_rng(0)
    info = qtype(kind)
    chunk = rng.integers(0, 100, (1024, info.row_bytes(width)), dtype=np.uint8)
    embedding = Payload(
        "token_embd.weight", (rows, width), info, lambda: (chunk for _ in range(rows // 1024))
    )
    keys = {
        "general.architecture": "llama",
        "llama.block_count": 1,
        "llama.context_length": 64,
        "llama.embedding_length": width,
        "llama.feed_forward_length": 32,
        "llama.attention.head_count": 16,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
    }
    shapes = {
        "output_norm.weight": (width,),
        "blk.0.attn_norm.weight": (width,),
        "blk.0.ffn_norm.weight": (width,),
        **{f"blk.0.attn_{kind}.weight": (width, width) for kind in ("q", "k", "v", "output")},
        "blk.0.ffn_gate.weight": (32, width),
        "blk.0.ffn_up.weight": (32, width),
        "blk.0.ffn_down.weight": (width, 32),
    }
    others = [
        Payload(name, shape, qtype("F32"), lambda s=shape: iter([np.zeros((*s, 4), np.uint8)]))
        for name, shape in shapes.items()
    ]
    (path,) = write_file(tmp_path / "wide.gguf", keys, [embedding, *others])
    command = [sys.executable, "-c", PEAK, str(file_of("llama")), str(path), dtype]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert int(answer.stdout) < 300e6
