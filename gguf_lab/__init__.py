"""GGUF Lab: look inside quantized language models.

The public names are resolved on first use, so that ``import gguf_lab`` is quick and imports neither
torch nor matplotlib nor ipywidgets nor numba.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import demo, exercises
    from .bridge import ChatPrompt, chat_prompt, export, export_mmproj, to_transformers
    from .checks import Finding, Findings, check
    from .codec import dequantize, dissect, quantize
    from .comparison import Comparison, compare
    from .errors import (
        ChatTemplateError,
        CheckpointError,
        ComparisonError,
        GGUFError,
        GGUFLabError,
        QuantizationError,
        RemoteError,
        UnsupportedError,
    )
    from .file import FileName, RemoteOptions
    from .footprint import Memory, memory
    from .model import Model, Tensor, find
    from .model import open_model as open
    from .panels import (
        BlockView,
        ChatTemplate,
        ErrorHistograms,
        ErrorMap,
        MetadataTree,
        OtherTypes,
        Overview,
        SideBySide,
        TensorTable,
        TensorView,
        Vocabulary,
        WillItRun,
        Workbench,
        WorstPlaces,
        explore,
    )
    from .planning import Plan
    from .planning.plan import plan
    from .quantization import RateDistortion
    from .quantization.rate_distortion import rate_distortion
    from .quantization.requantize import requantize
    from .reference import Checkpoint, open_checkpoint
    from .reporting import report

__version__ = "0.1.0"

# public name -> (module, name there)
_PUBLIC = {
    "open": ("model", "open_model"),
    "find": ("model", "find"),
    "Model": ("model", "Model"),
    "Tensor": ("model", "Tensor"),
    "FileName": ("file", "FileName"),
    "RemoteOptions": ("file", "RemoteOptions"),
    "dequantize": ("codec", "dequantize"),
    "dissect": ("codec", "dissect"),
    "quantize": ("codec", "quantize"),
    "requantize": ("quantization", "requantize"),
    "export": ("bridge", "export"),
    "export_mmproj": ("bridge", "export_mmproj"),
    "rate_distortion": ("quantization", "rate_distortion"),
    "RateDistortion": ("quantization", "RateDistortion"),
    "plan": ("planning", "plan"),
    "Plan": ("planning", "Plan"),
    "Checkpoint": ("reference", "Checkpoint"),
    "open_checkpoint": ("reference", "open_checkpoint"),
    "compare": ("comparison", "compare"),
    "Comparison": ("comparison", "Comparison"),
    "check": ("checks", "check"),
    "Finding": ("checks", "Finding"),
    "Findings": ("checks", "Findings"),
    "memory": ("footprint", "memory"),
    "Memory": ("footprint", "Memory"),
    "report": ("reporting", "report"),
    "explore": ("panels", "explore"),
    "MetadataTree": ("panels", "MetadataTree"),
    "TensorTable": ("panels", "TensorTable"),
    "TensorView": ("panels", "TensorView"),
    "BlockView": ("panels", "BlockView"),
    "Vocabulary": ("panels", "Vocabulary"),
    "ChatTemplate": ("panels", "ChatTemplate"),
    "SideBySide": ("panels", "SideBySide"),
    "ErrorHistograms": ("panels", "ErrorHistograms"),
    "ErrorMap": ("panels", "ErrorMap"),
    "WorstPlaces": ("panels", "WorstPlaces"),
    "OtherTypes": ("panels", "OtherTypes"),
    "Overview": ("panels", "Overview"),
    "WillItRun": ("panels", "WillItRun"),
    "Workbench": ("panels", "Workbench"),
    "chat_prompt": ("bridge", "chat_prompt"),
    "to_transformers": ("bridge", "to_transformers"),
    "ChatPrompt": ("bridge", "ChatPrompt"),
    "GGUFLabError": ("errors", "GGUFLabError"),
    "ChatTemplateError": ("errors", "ChatTemplateError"),
    "GGUFError": ("errors", "GGUFError"),
    "CheckpointError": ("errors", "CheckpointError"),
    "QuantizationError": ("errors", "QuantizationError"),
    "RemoteError": ("errors", "RemoteError"),
    "UnsupportedError": ("errors", "UnsupportedError"),
    "ComparisonError": ("errors", "ComparisonError"),
}

__all__ = [
    "BlockView",
    "ChatPrompt",
    "ChatTemplate",
    "ChatTemplateError",
    "Checkpoint",
    "CheckpointError",
    "Comparison",
    "ComparisonError",
    "ErrorHistograms",
    "ErrorMap",
    "FileName",
    "Finding",
    "Findings",
    "GGUFError",
    "GGUFLabError",
    "Memory",
    "MetadataTree",
    "Model",
    "OtherTypes",
    "Overview",
    "Plan",
    "QuantizationError",
    "RateDistortion",
    "RemoteError",
    "RemoteOptions",
    "SideBySide",
    "Tensor",
    "TensorTable",
    "TensorView",
    "UnsupportedError",
    "Vocabulary",
    "WillItRun",
    "Workbench",
    "WorstPlaces",
    "__version__",
    "chat_prompt",
    "check",
    "compare",
    "demo",
    "dequantize",
    "dissect",
    "exercises",
    "explore",
    "export",
    "export_mmproj",
    "find",
    "memory",
    "open",
    "open_checkpoint",
    "plan",
    "quantize",
    "rate_distortion",
    "report",
    "requantize",
    "to_transformers",
]


def __getattr__(name: str) -> object:
    if name in {"demo", "exercises"}:
        return import_module(f".{name}", __name__)
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    value = getattr(import_module(f".{module}", __name__), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
