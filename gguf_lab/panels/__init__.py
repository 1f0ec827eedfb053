"""Panels for Jupyter: what is in a file, and how far it is from the original."""

from __future__ import annotations

from .block_view import BlockView
from .chat_template import ChatTemplate
from .detail import TensorDetail
from .error_map import ErrorMap
from .headline import Headline
from .histograms import ErrorHistograms
from .other_types import OtherTypes
from .overview import Overview
from .progress import Progress
from .running import WillItRun
from .side_by_side import SideBySide
from .table import TensorTable
from .tensor_view import TensorView
from .tree import MetadataTree
from .vocabulary import Vocabulary
from .workbench import Workbench, explore
from .worst_places import WorstPlaces

__all__ = [
    "BlockView",
    "ChatTemplate",
    "ErrorHistograms",
    "ErrorMap",
    "Headline",
    "MetadataTree",
    "OtherTypes",
    "Overview",
    "Progress",
    "SideBySide",
    "TensorDetail",
    "TensorTable",
    "TensorView",
    "Vocabulary",
    "WillItRun",
    "Workbench",
    "WorstPlaces",
    "explore",
]
