"""Every picture says which checkpoint, site, head, method and version made it."""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from PIL import Image

import detr_attnviz as av
from detr_attnviz import __version__
from tests.every_command.commands import CHECKPOINT, FIGURES
from tests.every_command.conftest import Runs
from tests.tiny import drawn_picture, tiny_detector

MODEL = {"checkpoint", "checkpoint_sha256", "software"}
MAP = {*MODEL, "picture", "site", "head", "method"}


def told_by(runs: Runs) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every PNG that a command wrote, with its text."""
    for path in sorted(runs.one.rglob("*.png")):
        if path.is_file() and path.parent.name != "pictures":
            with Image.open(path) as picture:
                picture.load()
                yield str(path.relative_to(runs.one)), {str(key): value for key, value in picture.info.items()}


def needed_by(name: str) -> set[str]:
    if name.startswith(("plot", "figures/weights")):
        return {*MODEL, "modules"}
    if name.startswith("evaluation"):
        return {*MODEL, "method", "settings", *({"site", "head"} if "heads" in name else ())}
    return MAP


def test_every_png_carries_its_provenance(runs: Runs) -> None:
    found = dict(told_by(runs))
    assert {name: needed_by(name) - set(told) for name, told in found.items() if needed_by(name) - set(told)} == {}
    rooms = {name.partition("/")[0] for name in found}
    assert rooms >= {"sheets", "maps", "map-sheets", "figures", "evaluation", "plot.png"}


def test_the_hash_is_the_files_and_the_version_ours(runs: Runs) -> None:
    digest = sha256((runs.one / CHECKPOINT).read_bytes()).hexdigest()
    for name, told in told_by(runs):
        assert told["checkpoint_sha256"] == digest, name
        assert told["software"] == f"detr_attnviz {__version__}", name


@pytest.mark.parametrize("name", ["plot", "curves", *(f"figures/{kind}.{{}}/f" for kind in (*FIGURES, "weights"))])
def test_vector_figures_carry_the_same(runs: Runs, name: str) -> None:
    digest = sha256((runs.one / CHECKPOINT).read_bytes()).hexdigest()
    for suffix in ("svg", "pdf"):
        path = runs.one / f"{name.format(suffix)}.{suffix}"
        if path.exists() or suffix == "svg":
            assert f"checkpoint_sha256: {digest}".encode() in path.read_bytes(), path


def test_sheets_in_other_formats_carry_it_where_there_is_a_place(runs: Runs) -> None:
    with Image.open(runs.one / "one.jpg") as picture:
        assert b"checkpoint_sha256: " in picture.info["comment"]
    with Image.open(runs.one / "one.webp") as picture:
        assert "site: decoder.1.cross" in picture.getexif()[0x010E]
    assert b"checkpoint_sha256" in (runs.one / "one.pdf").read_bytes().replace(b"\0", b"")


def test_every_line_of_a_manifest_carries_it(runs: Runs) -> None:
    lines = [json.loads(line) for line in (runs.one / "maps" / "manifest.jsonl").read_text().splitlines()]
    assert len(lines) > 8
    for line in lines:
        assert {"checkpoint", "checkpoint_sha256", "site", "head", "method"} <= set(line)
        assert line["settings"]["software"] == f"detr_attnviz {__version__}"


@pytest.mark.parametrize("name", ["render-overlay", "batch-0", "figure-here", "inspect-png", "evaluate", "verify-json"])
def test_json_carries_it(runs: Runs, name: str) -> None:
    about = json.loads((runs.one / "said" / f"{name}.out").read_text())["provenance"]
    assert about.keys() >= MODEL


def test_pictures_made_in_python_have_it_at_hand_and_notebooks_inside() -> None:
    explanation = av.explain(tiny_detector().trace(drawn_picture()), queries=[0])
    assert MAP - {"picture"} <= set(av.render(explanation).info)
    data = explanation._repr_png_()
    assert data is not None
    assert b"site\0decoder.1.cross" in data
