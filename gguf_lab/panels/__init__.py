"""Panels for Jupyter: what is in a file, and how far it is from the original."""

from __future__ import annotations

from .block_view import BlockView
from .chat_template import ChatTemplate
from .detail import TensorDetail
from .headline import Headline
from .histograms import ErrorHistograms
from .progress import Progress
from .table import TensorTable
from .tensor_view import TensorView
from .tree import MetadataTree
from .vocabulary import Vocabulary
from .workbench import Workbench, explore

__all__ = [
    "BlockView",
    "ChatTemplate",
    "ErrorHistograms",
    "Headline",
    "MetadataTree",
    "Progress",
    "TensorDetail",
    "TensorTable",
    "TensorView",
    "Vocabulary",
    "Workbench",
    "explore",
]
