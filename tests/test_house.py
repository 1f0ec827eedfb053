"""What holds the house together: arrows in one direction, a light entrance, clean notebooks."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import gguf_lab

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gguf_lab"

# From the ground up. A room imports itself and rooms to its left, also where it imports lazily.
ROOMS = (
    *("errors", "progress", "file", "markup", "codec", "exercises", "model", "footprint"),
    *("reference", "plots", "quantization", "bridge", "planning", "comparison", "checks"),
    *("reporting", "panels", "cli"),
)

HEAVY = ("anywidget", "gguf", "httpx", "ipywidgets", "matplotlib", "numba", "pandas", "torch")


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def imported_rooms(path: Path) -> set[str]:
    """Which rooms a module imports anywhere, under TYPE_CHECKING and inside functions too."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]  # the package it lies in
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            origin = [*base, *(node.module or "").split(".")] if node.module else [*base]
            names = [".".join([*origin, alias.name]) for alias in node.names]
        else:
            continue
        parts = [name.split(".") for name in names if f"{name}.".startswith("gguf_lab.")]
        # The entrance leads to every room: a public name counts as the room it is from.
        firsts = {part[1] if len(part) > 1 else "entrance" for part in parts}
        found |= {gguf_lab._PUBLIC.get(first, (first,))[0] for first in firsts}
    return found & {*ROOMS, "demo", "entrance"}


def test_the_reader_of_imports_sees_them_all(tmp_path, monkeypatch):
    path = tmp_path / "gguf_lab" / "codec" / "x.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import gguf_lab.file.header\n"
        "from ..errors import GGUFError\n"
        "from . import bind\n"
        "def lazily():\n"
        "    from .. import panels\n"
        "    from gguf_lab.model import Model\n"
        "    from gguf_lab import compare, __version__\n"
        "    import gguf_lab as gl\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    found = imported_rooms(path)
    assert found == {"file", "errors", "codec", "panels", "model", "comparison", "entrance"}


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_imports_a_higher_one(room):
    allowed = {*ROOMS[: ROOMS.index(room) + 1]}
    paths = [p for p in modules() if p.relative_to(PACKAGE).parts[0] in {room, f"{room}.py"}]
    assert paths, f"the room {room} is empty"
    wrong = {str(p.relative_to(ROOT)): imported_rooms(p) - allowed for p in paths}
    assert not {path: rooms for path, rooms in wrong.items() if rooms}


def test_every_module_is_in_a_room():
    """The entrance may import every room, the demo models only the errors."""
    entrance = {"__init__.py", "__main__.py", "demo.py"}
    first = {p.relative_to(PACKAGE).parts[0].removesuffix(".py") for p in modules()}
    assert first - {name.removesuffix(".py") for name in entrance} <= {*ROOMS}
    assert imported_rooms(PACKAGE / "__main__.py") <= {"cli"}
    assert imported_rooms(PACKAGE / "demo.py") <= {"errors"}


def test_importing_the_package_imports_nothing_heavy():
    program = (
        "import sys, gguf_lab; dir(gguf_lab); gguf_lab.GGUFError;"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not {*HEAVY, "numpy"} & {*answer.stdout.split()}


def test_reading_a_file_imports_nothing_heavy():
    program = (
        "import sys, gguf_lab; gguf_lab.open; gguf_lab.open_checkpoint;"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not {*HEAVY} & {*answer.stdout.split()}


@pytest.mark.parametrize("name", gguf_lab.__all__)
def test_public_names_resolve_and_are_documented(name):
    value = getattr(gguf_lab, name)
    if name != "__version__":
        assert inspect.getdoc(value)
        # a class that only inherits its documentation has none
        assert not inspect.isclass(value) or "__doc__" in vars(value)


def test_unknown_names_are_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'opne'"):
        _ = gguf_lab.opne
    assert sorted(gguf_lab.__all__) == dir(gguf_lab)


def test_a_type_checker_knows_every_public_name():
    """Without it `gl.demo.minilm()` is an error there: what `__getattr__` gives is an object."""
    entrance = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    blocks = [node for node in entrance.body if isinstance(node, ast.If)]
    names = [
        name.asname or name.name
        for node in blocks[0].body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    ]
    assert sorted([*names, "__version__"]) == sorted(gguf_lab.__all__)


@pytest.mark.parametrize("room", [r for r in ROOMS if r not in {"errors", "markup", "cli"}])
def test_every_room_says_what_is_public(room):
    module = import_module(f"gguf_lab.{room}")
    assert module.__doc__
    assert module.__all__
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_is_read_in_one_sitting(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test_notebooks_are_stripped_and_short(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert 0 < len(code) <= 12
    assert [cell["source"] for cell in code if cell["outputs"]] == []
    assert [cell["source"] for cell in code if cell["execution_count"] is not None] == []
    assert "widgets" not in notebook["metadata"]
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"


def test_there_is_a_tour():
    assert "00_tour.ipynb" in [path.name for path in NOTEBOOKS]
