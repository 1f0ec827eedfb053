"""The report: one page that needs nothing, says what was measured, and is only text."""

from __future__ import annotations

import errno
import shutil
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from matplotlib import style

import gguf_lab as gl
from gguf_lab.errors import ComparisonError, GGUFLabError

from ..checks.variants import LLAMA, MODELS, Q4_K_M, variant
from ..file.builders import F32, Builder
from ..reference.support import write_model
from ..tables import without_table
from .pages import Page

if TYPE_CHECKING:
    from pathlib import Path

HF = MODELS / "llama-256" / "hf"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
POLICY += "form-action 'none'"
HARMLESS = {
    *("html", "head", "meta", "title", "style", "body", "header", "nav", "main", "section", "ul"),
    *("li", "a", "h1", "h2", "h3", "p", "div", "span", "table", "thead", "tbody", "tr", "th", "td"),
    *("figure", "figcaption", "img", "pre"),
}
NASTY = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>$\\frac{"


def needs_nothing(page: Page) -> None:
    """No script, no address, nothing but pictures that are in the page."""
    assert page.declared == "DOCTYPE html"
    assert page.tags <= HARMLESS
    policies = [a["content"] for _, a in page.elements if a.get("http-equiv")]
    assert policies == [POLICY]
    for tag, attributes in page.elements:
        allowed = {"class", "style", "scope", "id", "lang", "charset", "http-equiv", "content"}
        allowed |= {"name", "aria-label", "href", "src", "alt"}
        assert attributes.keys() <= allowed, (tag, attributes)
        assert "url(" not in (attributes.get("style") or "")
        if "href" in attributes:
            assert (attributes["href"] or "").startswith("#s")
        if "src" in attributes:
            assert (attributes["src"] or "").startswith("data:image/svg+xml;base64,")
            assert attributes["alt"]
    names = {a["id"] for tag, a in page.elements if tag == "section"}
    assert {a["href"] for tag, a in page.elements if tag == "a"} == {f"#{name}" for name in names}


@pytest.fixture(scope="module")
def compared() -> Any:
    return gl.compare(Q4_K_M, HF, progress=False)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, compared: Any) -> Path:
    out = tmp_path_factory.mktemp("report") / "report.html"
    assert gl.report(Q4_K_M, out, HF, comparison=compared, progress=False) == out
    return out


def test_a_page_needs_nothing_else(path: Path) -> None:
    page = Page.read(path)
    needs_nothing(page)
    assert [tag for tag, _ in page.elements].count("img") == 4
    assert path.stat().st_size < 500_000
    assert [p for p in path.parent.iterdir() if p != path] == []


def test_a_style_of_the_user_changes_no_picture(path: Path, compared: Any) -> None:
    mine = {"savefig.transparent": True, "savefig.facecolor": "black"}
    with style.context(["dark_background", mine]):
        other = gl.report(
            Q4_K_M, path.with_name("dark.html"), HF, comparison=compared, progress=False
        )
    drawn, plain = (
        [a["src"] for tag, a in Page.read(page).elements if tag == "img"] for page in (other, path)
    )
    other.unlink()
    assert drawn == plain


def test_a_page_has_its_sections_in_order(path: Path) -> None:
    page = Page.read(path)
    titles = [a["aria-label"] for tag, a in page.elements if tag == "section"]
    assert titles == [
        "What the file is",
        "What is unusual",
        "Where the bytes are",
        "Error against the original",
        "All tensors",
        "Metadata",
        "How to read the figures",
        "How this page was made",
    ]
    assert "These are errors of weights, not of answers." in page.text
    assert f"GGUF Lab{gl.__version__}" in page.text
    assert str(Q4_K_M.parent) not in page.text  # paths of a machine are nobody's business


def test_every_tensor_has_its_figures(path: Path, compared: Any) -> None:
    rows = Page.read(path).rows("All tensors")
    with gl.open(Q4_K_M) as model:
        assert list(rows) == list(model.tensors)
        for name, cells in rows.items():
            tensor, row = model.tensor(name), compared[name]
            assert cells[:2] == [tensor.qtype, " x ".join(map(str, tensor.shape))]
            assert float(cells[3]) == pytest.approx(tensor.bits_per_weight, abs=0.005)
            assert float(cells[5]) == pytest.approx(row.relative_rmse, rel=6e-4)
            assert float(cells[6].replace("∞", "inf")) == pytest.approx(row.sqnr_db, abs=0.006)
            assert float(cells[7]) == pytest.approx(row.cosine, abs=1e-6)


def test_the_worst_are_the_worst(path: Path, compared: Any) -> None:
    rows = list(Page.read(path).rows("The worst tensors"))
    worst = sorted(compared.compared, key=lambda row: -row.relative_rmse)
    assert rows == [row.name for row in worst[:15]]


def test_zeros_that_are_exact_are_not_among_the_worst(tmp_path: Path) -> None:
    """They have no relative error: nothing divided by nothing."""

    def zero(raw: Any) -> None:
        raw[:] = 0

    zeros = {"blk.1.ffn_norm.weight": zero}
    theirs = variant(LLAMA, tmp_path / "b.gguf", values=zeros)
    ours = variant(theirs, tmp_path / "a.gguf", values={"blk.1.ffn_up.weight": zero})
    page = Page.read(gl.report(ours, tmp_path / "a.html", theirs, progress=False))
    assert page.rows("All tensors")["blk.1.ffn_norm.weight"][5] == "NaN"
    assert [*page.rows("The worst tensors")] == ["blk.1.ffn_up.weight"]
    page = Page.read(gl.report(theirs, tmp_path / "b.html", theirs, progress=False))
    assert "Every compared tensor is exactly the reference." in page.text


def test_pooled_figures_are_those_of_all_weights(path: Path, compared: Any) -> None:
    page = Page.read(path)
    layers = compared.layers().set_index("layer")
    rows = page.rows("By layer, all weights pooled")
    assert [*map(int, rows)] == list(layers.index)
    for layer, cells in rows.items():
        assert float(cells[3]) == pytest.approx(layers.relative_rmse[int(layer)], rel=6e-4)
        assert float(cells[2]) == pytest.approx(layers.bits_per_weight[int(layer)], abs=0.006)
    kinds = page.rows("By kind, all weights pooled")
    downs = [row for row in compared.compared if row.kind == "ffn_down"]
    ee, rr = (sum(getattr(row.statistics, name) for row in downs) for name in ("ee", "rr"))
    assert float(kinds["ffn_down"][3]) == pytest.approx((ee / rr) ** 0.5, rel=6e-4)
    assert kinds["ffn_down"][:2] == ["2", f"{sum(row.n_elements for row in downs):,}"]


def test_bytes_are_all_accounted_for(path: Path) -> None:
    page = Page.read(path)
    with gl.open(Q4_K_M) as model:
        by_type = page.rows("By type")
        assert {name: int(row[1].replace(",", "")) for name, row in by_type.items()} == {
            name: sum(t.n_elements for t in model.tensors.values() if t.qtype == name)
            for name in {t.qtype for t in model.tensors.values()}
        }
        kinds = page.rows("By kind")
        assert {*kinds} == {t.kind for t in model.tensors.values()}
    for rows, column in ((by_type, 2), (by_type, 4), (kinds, 3)):
        shares = [float(row[column].removeprefix("under").rstrip("%")) for row in rows.values()]
        assert sum(shares) == pytest.approx(100, abs=0.1 * len(shares))


def test_what_is_unusual_is_told(tmp_path: Path) -> None:
    odd = variant(Q4_K_M, tmp_path / "Tiny-7B-Q4_K_M.gguf")
    found = gl.check(odd, progress=False)
    page = Page.read(gl.report(odd, tmp_path / "r.html", findings=found, progress=False))
    table = page.tables["What is unusual"]
    assert table[1:] == [[f.severity, f.code, f.where, f.message, f.what_to_do] for f in found]
    assert f"Check: {found.summary}." in page.text
    assert "exactness" in page.text  # asked of a comparison only


def test_without_a_reference_there_are_no_errors(tmp_path: Path) -> None:
    page = Page.read(gl.report(LLAMA, tmp_path / "r.html", progress=False))
    needs_nothing(page)
    assert "Error against the original" not in page.tables
    assert page.tables["All tensors"][0][-1] == "status"
    assert page.tables["Metadata"][1] == ["general.architecture", "string", '"llama"']
    assert "{% for m in messages %}" in page.text  # the template, in full


def test_beside_another_file_it_tells_what_differs(tmp_path: Path) -> None:
    extra = struct.pack("<f", 1)
    other = variant(
        LLAMA,
        tmp_path / "other.gguf",
        keys={"general.name": ("string", "Another")},
        tensors={"blk.0.extra.weight": (F32, (1,), extra)},
    )
    page = Page.read(gl.report(LLAMA, tmp_path / "r.html", other, progress=False))
    assert page.rows("Metadata that differ")["general.name"][1:] == ['"Hf"', '"Another"']
    (row,) = page.tables["What was not compared"][1:]
    assert row[:3] == ["-", "blk.0.extra.weight", "unmatched"]
    assert "Every compared tensor is exactly the reference." in page.text


def test_unverified_tensors_are_listed_and_in_no_sum(tmp_path: Path) -> None:
    """An architecture without a table: names and shapes agree, and nothing more is known."""
    keys = {"general.architecture": ("string", "orion")}
    path = variant(LLAMA, tmp_path / "x.gguf", keys=keys)
    with without_table("orion"):
        found = gl.compare(path, MODELS / "llama" / "hf", progress=False)
    rows = [row for row in found.rows if row.status == "unverified"]
    if not rows:
        pytest.fail("the test needs unverified tensors")
    page = Page.read(
        gl.report(
            path, tmp_path / "r.html", MODELS / "llama" / "hf", comparison=found, progress=False
        )
    )
    listed = page.rows("What was not compared")
    assert {row.name for row in rows} <= {*listed}
    assert "No tensor was compared, so there are no figures." in page.text


def hostile(path: Path, n_tensors: int, n_keys: int) -> Path:
    """Names, keys and values that would be markup, formulas or commands elsewhere."""
    builder = Builder()
    builder.key("general.architecture", "string", "llama")
    builder.key("general.name", "string", NASTY + "\x1b[31m\u202e")
    builder.key("tokenizer.chat_template", "string", f"</pre>{NASTY}\n" * 5000)
    for number in range(n_keys):
        builder.key(f"{number}{NASTY}", "string", NASTY * 20)
    data = np.ones(4, np.float32).tobytes()
    for number in range(n_tensors):
        builder.tensor(f"blk.{number}.{number % 90}<&\"'$^{{\u2028<&<&<&<&<&", [4], F32, data)
    return builder.write(path)


def test_a_hostile_file_is_only_text(tmp_path: Path) -> None:
    path = hostile(tmp_path / f"a{NASTY.replace('/', '')[:80]}.gguf", 300, 20)
    page = Page.read(gl.report(path, tmp_path / "r.html", path, progress=False))
    needs_nothing(page)
    assert "<script>alert(1)</script>" in page.text
    assert all(c.isprintable() or c in "\n\t" for c in page.text)
    assert "\\x1b[31m\\u202e" in page.text


@pytest.mark.slow
def test_a_page_stays_below_3_mb(tmp_path: Path) -> None:
    path = hostile(tmp_path / "many.gguf", 6000, 3000)
    out = gl.report(path, tmp_path / "r.html", path, progress=False)
    assert 100_000 < out.stat().st_size < 3_000_000
    page = Page.read(out)
    needs_nothing(page)
    assert "and 3,500 more" in page.text


def test_a_page_is_not_replaced_unasked(tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    out.write_text("precious")
    with pytest.raises(GGUFLabError, match="exists already"):
        gl.report(LLAMA, out, progress=False)
    assert out.read_text() == "precious"
    gl.report(LLAMA, out, overwrite=True, progress=False)
    assert out.read_text().startswith("<!DOCTYPE html>")


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*r\.html'"):
        gl.report(LLAMA, tmp_path / "r.html", progress=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("which", ["model", "reference"])
def test_no_page_takes_the_place_of_weights(which: str, tmp_path: Path) -> None:
    paths = {name: variant(LLAMA, tmp_path / f"{name}.gguf") for name in ("model", "reference")}
    before = paths[which].read_bytes()
    target = tmp_path / "." / paths[which].name
    with pytest.raises(GGUFLabError, match=r"is a file that the page is about: it would be lost"):
        gl.report(paths["model"], target, paths["reference"], overwrite=True, progress=False)
    assert paths[which].read_bytes() == before


def test_no_page_takes_the_place_of_what_lies_beside_the_weights(tmp_path: Path) -> None:
    hf = tmp_path / "hf"
    shutil.copytree(HF, hf)
    with pytest.raises(GGUFLabError, match=r"is a file that the page is about: it would be lost"):
        gl.report(Q4_K_M, hf / "config.json", hf, overwrite=True, progress=False)
    assert (hf / "config.json").read_bytes() == (HF / "config.json").read_bytes()


def test_what_is_there_is_not_nought_percent(tmp_path: Path) -> None:
    values = {"blk.0.big.weight": (100_000,), "blk.0.small.weight": (4,)}
    path = write_model(
        tmp_path / "f.gguf",
        {name: np.ones(shape, np.float32) for name, shape in values.items()},
    )
    text = Page.read(gl.report(path, tmp_path / "r.html", progress=False)).text
    assert "under 0.1 %" in text
    assert " 0.0 %" not in text


def test_a_long_name_of_any_letters(tmp_path: Path) -> None:
    out = gl.report(LLAMA, tmp_path / f"{'模' * 80}.html", progress=False)
    assert list(tmp_path.iterdir()) == [out]


def test_figures_of_another_file_are_refused(tmp_path: Path, compared: Any) -> None:
    other = variant(Q4_K_M, tmp_path / "other.gguf")
    with pytest.raises(ComparisonError, match=r"the comparison is of .*, not of .*other"):
        gl.report(other, tmp_path / "r.html", comparison=compared, progress=False)
    findings = gl.check(LLAMA, deep=False, progress=False)
    with pytest.raises(GGUFLabError, match=r"the findings are of llama.*, the page about other"):
        gl.report(other, tmp_path / "r.html", findings=findings, progress=False)
    assert not (tmp_path / "r.html").exists()


def test_nothing_is_written_beside_another_model(tmp_path: Path) -> None:
    with pytest.raises(ComparisonError):
        gl.report(LLAMA, tmp_path / "r.html", MODELS / "gpt2" / "hf", progress=False)
    assert list(tmp_path.iterdir()) == []
