"""Scripts of the project that are in no package, as modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[1]


def load(path: str) -> ModuleType:
    """Load a script, by its place in the repository; a second time is the same module."""
    name = Path(path).stem
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / path)
        assert spec is not None
        assert spec.loader is not None
        if (folder := str((ROOT / path).parent)) not in sys.path:
            sys.path.append(folder)  # where a script finds its neighbours
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # its dataclasses look there
        spec.loader.exec_module(module)
    return sys.modules[name]
