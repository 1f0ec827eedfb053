"""Files of projectors against those of llama.cpp's converter, and what is refused."""

from __future__ import annotations

import json
import math
import re
import shutil
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.bridge.projectors import PROJECTORS
from gguf_lab.cli import main
from gguf_lab.errors import CheckpointError, GGUFError, UnsupportedError
from gguf_lab.reference import align, open_checkpoint

from ..reference.support import PROJECTORS as DATA
from ..reference.support import write_checkpoint
from .checkpoints import contents
from .small_encoders import ENCODERS, encoder

if TYPE_CHECKING:
    from pathlib import Path

CONVERTED = [
    "audio-flamingo-3", "exaone4.5", "gemma3", "gemma4", "glm-ocr", "glm4v", "interns1", "internvl",
    "janus_pro", "lfm2", "lightonocr", "llama4", "llava-pixtral", "minicpmv4.6", "paddleocr",
    "pixtral", "qwen2-audio", "qwen2.5vl", "qwen2vl", "qwen3vl", "smolvlm", "ultravox", "voxtral",
]  # fmt: skip
COLORS: dict[str, object] = {
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
    "min_pixels": 4,
    "max_pixels": 64,
}
COLORS["scale_resolution"] = 8
BREAK = 12
TOKENIZER = {"added_tokens_decoder": {str(BREAK): {"content": "[IMG_BREAK]"}}}

# What is written otherwise than by the converter, and what llama.cpp computes by it is as
# Transformers has it (`test_mmproj_llama_cpp`).
OTHER_KEYS: dict[str, dict[str, object]] = {
    "exaone4.5": {"clip.vision.window_size": 112},
    # 4 × 4 patches become 2 × 2 tokens; the converter asks only a file of the processor
    "gemma3": {"clip.vision.projector.scale_factor": 2},
    # llama.cpp takes a quick approximation of GELU where no key says which it is
    "gemma4": {"clip.use_gelu": True},
    # with the row of [IMG_BREAK]
    "llava-pixtral": {"general.size_label": "4.0K"},
    # the converter writes the width of the language model
    "qwen2vl": {"clip.vision.feed_forward_length": 24},
}
OTHER_NAMES = {
    # the converter gives llama 4's norm the place that gemma 4's has, which has the same name
    "llama4": {f"v.blk.{n}.attn_post_norm.{end}": f"v.blk.{n}.ln2.{end}"
               for n in range(3) for end in ("weight", "bias")},
}  # fmt: skip
# Some models have them, and some don't: patterns.
_SOME = r"v\.blk\.[0-9]\.(attn_[qkv](_norm\.weight|\.bias)|ln[12]\.bias)"
_GLM = r"v\.(blk\.[0-9]\.(.*bias|attn_[qk]_norm\.weight)|(position|norm)_embd\.weight)"
OPTIONAL = {
    "gemma4": r"v\.std_.*|.*_(min|max)",
    "glm4v": _GLM,
    "glm-ocr": _GLM,
    "internvl": _SOME,
    "interns1": _SOME,
    "lfm2": r"mm\.(input_norm\..*|[12]\.bias)",
}
# The converter means to write it, but drops the tensor that it is a row of before.
ADDED = {name: {"v.token_embd.img_break"} for name in ("llava-pixtral", "pixtral")}

pytestmark = pytest.mark.filterwarnings("ignore:llama.cpp computes differently")


# What llama.cpp has built in, and the small model otherwise.
SETTINGS: dict[str, dict[str, object]] = {
    "exaone4.5": {"vision_config.window_size": 112},
    "gemma4": {"audio_config.attention_chunk_size": 12, "audio_config.attention_context_left": 13},
    "minicpmv4.6": {"vision_config.image_size": 140},
}


def checkpoint(name: str, folder: Path, **settings: Any) -> Path:
    """A checkpoint with what belongs to it, and other settings; ``a.b`` is b within a."""
    target = shutil.copytree(DATA / name / "hf", folder / "Hf")
    (target / "preprocessor_config.json").write_text(json.dumps(COLORS))
    (target / "tokenizer_config.json").write_text(json.dumps(TOKENIZER))
    config = json.loads((target / "config.json").read_text())
    for path, value in (SETTINGS.get(name, {}) | settings).items():
        *parts, last = path.split(".")
        inner = config
        for part in parts:
            inner = inner[part]
        inner[last] = value
    (target / "config.json").write_text(json.dumps(config))
    return target


def exported(source: Any, target: Path, **settings: Any) -> gl.Model:
    return gl.open(gl.export_mmproj(source, target, progress=False, **settings))


@pytest.mark.parametrize("name", CONVERTED)
def test_the_converters_file(name: str, tmp_path: Path) -> None:
    """Byte for byte, in the same order, but where llama.cpp would compute something else by it."""
    ours = exported(checkpoint(name, tmp_path), tmp_path / "f.gguf", qtype="BF16")
    (path,) = (DATA / name).glob("*.gguf")
    theirs = gl.open(path)
    due = {**theirs.metadata, **OTHER_KEYS.get(name, {})}
    assert {k: repr(v) for k, v in ours.metadata.items()} == {k: repr(v) for k, v in due.items()}
    assert [k for k in ours.metadata if k in theirs.metadata] == [*theirs.metadata]
    for key in theirs.metadata:
        assert ours.metadata.type_of(key) == theirs.metadata.type_of(key), key
    names = OTHER_NAMES.get(name, {})
    added = ADDED.get(name, set())
    assert {*ours.tensors} - added == {names.get(n, n) for n in theirs.tensors}
    if not names:
        assert [n for n in ours.tensors if n not in added] == [*theirs.tensors]
    for n, tensor in theirs.tensors.items():
        mine = ours.tensors[names.get(n, n)]
        assert (mine.shape, mine.qtype) == (tensor.shape, tensor.qtype), n
        assert mine.to_numpy().tobytes() == tensor.to_numpy().tobytes(), n
    assert {f.code for f in gl.check(ours, progress=False)} <= {"name"}


def test_there_is_a_converters_file_for_every_type() -> None:
    types = {json.loads((DATA / n / "hf" / "config.json").read_text())["model_type"]
             for n in CONVERTED}  # fmt: skip
    every = {name for table in PROJECTORS for name in table.model_types}
    # smolvlm is idefics3; glm4v_moe has GLM-4V's encoder, and the other three have Qwen3-VL's
    assert every - types == {"smolvlm", "glm4v_moe", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"}
    assert types <= every


@pytest.mark.parametrize(
    ("name", "qtype", "due"),
    [
        ("gemma3", "F16", {"mm.input": "F16", "v.patch": "F32", "v.pos": "F32", "v.blk": "F16"}),
        ("gemma3", "F32", {"mm.input": "F16", "v.patch": "F32", "v.pos": "F32", "v.blk": "F32"}),
        ("smolvlm", "F16", {"mm.model": "F16", "v.patch": "F32", "v.pos": "F32", "v.blk": "F16"}),
        ("lfm2", "F16", {"mm.1": "F16", "v.patch": "F16", "v.pos": "F32", "v.blk": "F16"}),
        ("lfm2", "Q8_0", {"mm.1": "F16", "v.patch": "F32", "v.pos": "F32", "v.blk": "F16"}),
        ("qwen2vl", "F16", {"mm.0": "F16", "v.patch": "F16", "v.blk": "F16"}),
        ("pixtral", "F16", {"mm.patch_merger": "F16", "v.patch": "F16", "v.token": "F32"}),
        ("ultravox", "F32", {"a.conv": "F16", "a.pos": "F32", "a.blk": "F32"}),
        ("audio-flamingo-3", "F16", {"a.conv": "F32", "a.pos": "F32", "a.blk": "F16"}),
    ],
)
@pytest.mark.filterwarnings("ignore:.* become F16")
def test_types(name: str, qtype: str, due: dict[str, str], tmp_path: Path) -> None:
    """Those of the converter with ``--outtype``."""
    model = exported(checkpoint(name, tmp_path), tmp_path / "f.gguf", qtype=qtype)
    matrices = {n: t.qtype for n, t in model.tensors.items()
                if n.startswith("v.token") or (len(t.shape) > 1 and n[-4:] != "bias")}  # fmt: skip
    found = {start: {q for n, q in matrices.items() if n.startswith(start)} for start in due}
    assert found == {start: {kind} for start, kind in due.items()}
    assert model.metadata["general.file_type"] == {"F32": 0, "F16": 1, "Q8_0": 7}[qtype]


@pytest.mark.parametrize("kind", ENCODERS)
def test_a_model_in_memory(kind: str, tmp_path: Path) -> None:
    """The same file as of its checkpoint, and it is compared with it without a difference."""
    model = encoder(kind)
    model.save_pretrained(tmp_path / "hf")
    (tmp_path / "hf" / "preprocessor_config.json").write_text(json.dumps(COLORS))
    (tmp_path / "hf" / "tokenizer_config.json").write_text(json.dumps(TOKENIZER))
    names = {"general.name": "Small"}
    saved = exported(tmp_path / "hf", tmp_path / "a.gguf", qtype="F32", metadata=names)
    made = exported(
        model, tmp_path / "b.gguf", qtype="F32", processor=tmp_path / "hf", metadata=names
    )
    assert [*saved.tensors] == [*made.tensors]
    for name, tensor in saved.tensors.items():
        assert np.array_equal(tensor.to_numpy(), made.tensors[name].to_numpy()), name
    found = [{k: repr(v) for k, v in f.metadata.items() if k != "general.basename"}
             for f in (saved, made)]  # fmt: skip
    assert found[0] == found[1]
    rows = [row for row in gl.compare(made, tmp_path / "hf", progress=False).rows if row.name]
    assert [row.name for row in rows if row.status != "compared"] == (
        ["v.token_embd.img_break"] if kind in {"llava", "mistral3"} else []
    )
    rounded = {row.name for row in rows if row.status == "compared" and not row.exact}
    assert rounded == {n for n, t in made.tensors.items() if t.qtype == "F16"}


def test_a_processor_of_transformers(tmp_path: Path) -> None:
    from transformers import Gemma3ImageProcessor

    processor = Gemma3ImageProcessor(image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.5, 0.6])
    model = exported(encoder("gemma3"), tmp_path / "f.gguf", processor=processor)
    assert np.allclose([*model.metadata["clip.vision.image_mean"]], [0.1, 0.2, 0.3])
    assert np.allclose([*model.metadata["clip.vision.image_std"]], [0.4, 0.5, 0.6])


def test_processors_in_parts(tmp_path: Path) -> None:
    """As the converter joins them: parts count more than the whole, the newer file the older."""
    folder = checkpoint("smolvlm", tmp_path)
    (folder / "preprocessor_config.json").write_text(
        json.dumps({**COLORS, "media_proc_cfg": {"image_mean": [0.1] * 3}})
    )
    (folder / "processor_config.json").write_text(
        json.dumps({"image_std": [9] * 3, "image_processor": {
            "image_std": [0.2] * 3, "size": {"longest_edge": 2048}}})
    )  # fmt: skip
    metadata = exported(folder, tmp_path / "f.gguf").metadata
    assert np.allclose([*metadata["clip.vision.image_mean"]], [0.1] * 3)
    assert np.allclose([*metadata["clip.vision.image_std"]], [0.2] * 3)
    assert metadata["clip.vision.preproc_image_size"] == 2048


def test_its_name_in_a_folder(tmp_path: Path) -> None:
    folder = checkpoint("gemma3", tmp_path)
    path = gl.export_mmproj(
        folder, tmp_path, metadata={"general.name": "Tiny Gemma", "general.basename": "Tiny-Gemma"},
        progress=False,
    )  # fmt: skip
    assert path.name.startswith("mmproj-Tiny-Gemma")
    assert path.name.endswith("F16.gguf")
    assert gl.open(path).kind == "mmproj"


def test_what_llama_cpp_does_otherwise_is_said(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"differently by the order of tokens: column by column"):
        gl.export_mmproj(checkpoint("llama4", tmp_path), tmp_path / "f.gguf", progress=False)


def refused(folder: Path, kind: type[Exception], words: str, **settings: Any) -> None:
    """It isn't exported, and nothing is left behind."""
    target = folder.parent / "f.gguf"
    with pytest.raises(kind, match=words):
        gl.export_mmproj(folder, target, progress=False, **settings)
    assert not target.exists()


@pytest.mark.parametrize(
    ("name", "path", "value", "words"),
    [
        ("gemma3", "vision_config.hidden_act", "relu", r"vision_config.hidden_act 'relu'"),
        ("gemma3", "vision_config.hidden_size", "12", r"hidden_size in config.json is '12'"),
        ("gemma3", "vision_config.image_size", [8, 4], r"image_size in config.json is \[8, 4\]"),
        ("gemma3", "mm_tokens_per_image", 9, "4 × 4 patches don't become so many"),
        ("gemma3", "mm_tokens_per_image", 0, "4 × 4 patches don't become so many"),
        ("gemma3", "vision_config.patch_size", 0, "don't become so many"),
        ("qwen2vl", "vision_config.mlp_ratio", math.inf, "mlp_ratio in config.json is inf"),
        ("smolvlm", "scale_factor", None, "config.json lacks scale_factor"),
        ("pixtral", "vision_config.model_type", "siglip_vision_model", "llama.cpp has 'pixtral'"),
        ("llava-pixtral", "vision_config.model_type", "clip_vision_model", "has 'pixtral'"),
        ("llava-pixtral", "vision_feature_select_strategy", "default", "llama.cpp has 'full'"),
        ("pixtral", "vision_feature_layer", -2, "vision_feature_layer -2 in config.json"),
        ("pixtral", "vision_config.hidden_act", "quick_gelu", "llama.cpp has gelu or silu"),
        ("internvl", "downsample_ratio", 0.3, "1 divided by a whole number"),
        ("internvl", "downsample_ratio", 0, "1 divided by a whole number"),
        ("internvl", "ps_version", "v1", "ps_version 'v1' in config.json: llama.cpp has 'v2'"),
        ("interns1", "vision_config.norm_type", "rms_norm", "llama.cpp has 'layer_norm'"),
        ("llama4", "vision_config.pixel_shuffle_ratio", 0.7, "1 divided by a whole number"),
        ("qwen2vl", "vision_config.spatial_merge_size", 4, "spatial_merge_size 4 in config.json"),
        ("exaone4.5", "vision_config.window_size", 56, "window_size 56 in config.json"),
        ("exaone4.5", "vision_config.num_key_value_heads", None, "lacks vision_config.num_key"),
        ("qwen2.5vl", "vision_config.window_size", 56, "window_size 56 in config.json"),
        ("qwen2.5vl", "vision_config.fullatt_block_indexes", [0, 2], "every so many layers"),
        ("qwen2.5vl", "vision_config.fullatt_block_indexes", 3, "every so many layers"),
        ("qwen3vl", "vision_config.deepstack_visual_indexes", [2, 0], "layers in their order"),
        ("qwen3vl", "vision_config.deepstack_visual_indexes", [0, 3], "layers in their order"),
        ("qwen3vl", "vision_config.deepstack_visual_indexes", [0], "'v.deepstack.\\?.fc1.bias'"),
        ("qwen3vl", "vision_config.temporal_patch_size", 1, "temporal_patch_size 1"),
        ("qwen2-audio", "audio_config.activation_function", "relu", "activation_function 'relu'"),
        ("voxtral", "audio_config.intermediate_size", 24, "joins 4 frames"),
        ("ultravox", "projector_act", "gelu", "projector_act 'gelu'"),
        ("gemma3", "vision_config.num_hidden_layers", 4, r"becomes 'v.blk.3.ln1.weight'"),
        ("gemma3", "vision_config.num_hidden_layers", 2, r"config.json has fewer layers"),
        ("gemma3", "vision_config.num_hidden_layers", 10**9, r"expected at most 512 layers"),
        ("ultravox", "audio_config.encoder_layers", 10**9, r"expected at most 512 layers"),
        ("gemma4", "audio_config", None, "config.json has fewer layers"),
        ("gemma4", "audio_config.residual_weight", 1.0, "residual_weight 1.0 in config.json"),
        ("gemma4", "vision_config.pooling_kernel_size", 2, "pooling_kernel_size 2 in config.json"),
        ("gemma4", "vision_config.head_dim", 5, "are no hidden_size together"),
        ("glm4v", "vision_config.spatial_merge_size", 4, "spatial_merge_size 4 in config.json"),
        ("janus_pro", "vision_config.use_qk_norm", True, "use_qk_norm True in config.json"),
        ("lightonocr", "vision_feature_layer", -2, "vision_feature_layer -2 in config.json"),
        ("qwen3vl", "vision_config.depth", 10**9, r"expected at most 512 layers"),
        ("paddleocr", "vision_config.spatial_merge_size", 3, "spatial_merge_size 3 in config"),
        ("minicpmv4.6", "vision_config.image_size", 8, "4 × 4 positions: llama.cpp has 70 × 70"),
        ("minicpmv4.6", "downsample_mode", "4x", "downsample_mode '4x' in config.json"),
        ("minicpmv4.6", "merge_kernel_size", [2, 4], r"merge_kernel_size \[2, 4\] in config"),
        ("minicpmv4.6", "merge_kernel_size", 2, "merge_kernel_size 2 in config.json"),
        ("minicpmv4.6", "insert_layer_id", 3, "insert_layer_id in config.json is 3; expected one"),
        ("minicpmv4.6", "vision_config.patch_size", 0, "140 × 140 positions"),
    ],
)
def test_settings_that_llama_cpp_does_not_have(
    name: str, path: str, value: object, words: str, tmp_path: Path
) -> None:
    folder = checkpoint(name, tmp_path, **{path: value})
    refused(folder, (UnsupportedError, CheckpointError), words)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CONVERTED)
def test_a_tensor_is_missing(name: str, tmp_path: Path) -> None:
    """Most are optional to llama.cpp, which would compute something else without a word."""
    folder = checkpoint(name, tmp_path)
    tensors = contents(folder)
    model = exported(folder, tmp_path / "whole.gguf", qtype="BF16")
    pairs = align(model, open_checkpoint(folder)).pairs
    origin = {pair.name: pair.reference_names for pair in pairs}
    needed = 0
    for into, names in origin.items():
        if "blk.1." in into or not names:
            continue
        (folder / "model.safetensors").unlink()
        write_checkpoint(
            folder / "model.safetensors", {n: t for n, t in tensors.items() if n not in names}
        )
        optional = re.fullmatch(OPTIONAL.get(name, ""), into)
        with nullcontext() if optional else pytest.raises(CheckpointError, match=re.escape(into)):
            gl.export_mmproj(folder, tmp_path / "f.gguf", progress=False, overwrite=True)
        needed += not optional
    assert needed > 10


def test_a_tensor_too_many(tmp_path: Path) -> None:
    folder = checkpoint("gemma3", tmp_path)
    tensors = contents(folder)
    tensors["vision_tower.lora.weight"] = ("F32", (1, 1), b"\0" * 4)
    write_checkpoint(folder / "model.safetensors", tensors)
    refused(folder, CheckpointError, "'vision_tower.lora.weight': no tensor of clip is known")


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("preprocessor_config.json", None, "image_mean of the processor is None"),
        ("preprocessor_config.json", "{", "preprocessor_config.json is not JSON"),
        ("preprocessor_config.json", "[]", "does not hold an object"),
        ("preprocessor_config.json", '{"image_mean": [1, 2]}', r"is \[1, 2\]; expected three"),
        ("preprocessor_config.json", '{"image_mean": [1, "2", 3]}', "expected three numbers"),
        ("processor_config.json", '{"image_processor": 3}', "image_processor is 3; expected"),
        ("tokenizer_config.json", None, r"nothing says which token \[IMG_BREAK\] is"),
        ("tokenizer_config.json", '{"added_tokens_decoder": 3}', r"which token \[IMG_BREAK\]"),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"12": 3}}', r"which token"),
        (
            "tokenizer_config.json",
            '{"added_tokens_decoder": {"99": {"content": "[IMG_BREAK]"}}}',
            "has no place 99",
        ),
    ],
)
def test_files_of_the_processor(file: str, content: str | None, words: str, tmp_path: Path) -> None:
    folder = checkpoint("pixtral", tmp_path)
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    refused(folder, CheckpointError, words)


def test_how_many_pixels_an_image_has(tmp_path: Path) -> None:
    """As it was published, and as Transformers 5 saves it."""
    folder = checkpoint("paddleocr", tmp_path)
    colors = {name: COLORS[name] for name in ("image_mean", "image_std")}
    edges = {"size": {"shortest_edge": 5, "longest_edge": 100}}
    for said, due in ((edges, (5, 100, 10)), ({**edges, "max_pixels": 64}, (5, 64, 8))):
        (folder / "preprocessor_config.json").write_text(json.dumps({**colors, **said}))
        metadata = exported(folder, tmp_path / "x.gguf", overwrite=True).metadata
        names = ("image_min_pixels", "image_max_pixels", "image_size")
        assert tuple(metadata[f"clip.vision.{name}"] for name in names) == due
    (folder / "preprocessor_config.json").write_text(json.dumps({**colors, "size": 3}))
    refused(folder, CheckpointError, "nothing says min_pixels, to which llama.cpp scales images")


def test_the_break_is_found_in_either_file(tmp_path: Path) -> None:
    folder = checkpoint("pixtral", tmp_path)
    (folder / "tokenizer_config.json").unlink()
    (folder / "tokenizer.json").write_text(
        json.dumps(
            {"added_tokens": [{"id": 3, "content": "x"}, {"id": 7, "content": "[IMG_BREAK]"}]}
        )
    )
    row = exported(folder, tmp_path / "f.gguf").tensors["v.token_embd.img_break"].to_numpy()
    embedding = next(t for n, t in open_checkpoint(folder).tensors.items() if "embed" in n)
    data = embedding.read(7, 8).view(np.uint16).astype(np.uint32) << 16
    assert np.array_equal(row, data.view(np.float32)[0])


def test_what_is_given_is_wrong(tmp_path: Path) -> None:
    folder = checkpoint("gemma3", tmp_path)
    refused(folder, CheckpointError, "not int", processor=3)
    refused(folder, CheckpointError, "is not a folder", processor=tmp_path / "none")
    refused(folder, UnsupportedError, "type 'Q9_9' is unknown", qtype="Q9_9")
    refused(folder, UnsupportedError, "q4_k_m is a mix of types for language", qtype="q4_k_m")
    refused(folder, GGUFError, "metadata is", metadata=[1])
    refused(folder, GGUFError, "can't be set", metadata={"general.type": "model"})
    with pytest.raises(CheckpointError, match="nothing says image_mean"):
        gl.export_mmproj(encoder("gemma3"), tmp_path / "f.gguf", progress=False)
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "llama"}
    (folder / "config.json").write_text(json.dumps(config))
    refused(folder, UnsupportedError, "projectors of models of type 'llama' can't be exported yet")


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = checkpoint("smolvlm", tmp_path)
    target = tmp_path / "f.gguf"
    assert main(["export", str(folder), str(target), "--mmproj", "--qtype", "BF16"]) == 0
    shown = capsys.readouterr().out
    assert "v.patch_embd.weight" in shown
    assert gl.open(target).metadata["clip.projector_type"] == "idefics3"
    assert main(["export", str(folder), str(target), "--mmproj"]) == 2
    assert main(["export", str(folder), str(target), "--mmproj", "--imatrix", "x"]) == 2
    assert "--imatrix" in capsys.readouterr().err
