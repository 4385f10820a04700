"""Names of classes, pictures, checkpoints and tensors reach no shell, folder, page or terminal as code."""

import csv
import io
import json
import unicodedata
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from detr_attnviz.explorer.assets import script_names
from tests.cli.conftest import Attnviz, attnviz
from tests.every_command.commands import HOSTILE
from tests.every_command.conftest import Runs
from tests.explorer.browser import OpenPage
from tests.tiny import tiny_model, write_picture

__all__ = ["attnviz"]

TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
ACTIVE = (b"/JavaScript", b"/JS ", b"/Launch", b"/OpenAction", b"/URI", b"/AA", b"/EmbeddedFile")
WRITTEN = ("sheets", "maps", "map-sheets", "figures", "evaluation")


def unseemly(text: str) -> set[str]:
    """Control characters but the line's end, halves of letters, and what turns the text."""
    return {
        letter
        for letter in text
        if (unicodedata.category(letter) in ("Cc", "Cs") and letter != "\n")
        or unicodedata.bidirectional(letter) in TURNS
    }


def of_kind(runs: Runs, suffix: str) -> Iterator[tuple[Path, bytes]]:
    paths = [path for path in sorted(runs.one.rglob(f"*{suffix}")) if path.is_file() and path.parent.name != "pictures"]
    assert paths, f"no {suffix} was written"
    yield from ((path, path.read_bytes()) for path in paths)


def test_what_is_said_on_a_terminal_is_plain_text(runs: Runs) -> None:
    for path in sorted((runs.one / "said").iterdir()):
        text = path.read_bytes().decode()
        assert unseemly(text) == set(), path.name
        assert "Traceback" not in text, path.name


def test_nothing_ran_and_nothing_was_written_elsewhere(runs: Runs) -> None:
    assert not [path for path in runs.one.parent.rglob("mark*")]
    top = {path.name for path in runs.one.parent.iterdir()}
    assert top <= {"one", "other", "torch_home"}


def test_names_of_results_are_portable(runs: Runs) -> None:
    for room in WRITTEN:
        for path in (runs.one / room).rglob("*"):
            assert not set(path.name) & set('<>:"|?*\\'), path.name
            assert unseemly(path.name.replace("\n", "\0")) == set(), path.name
    here = [path.name for path in runs.one.glob("*.objects.pdf")]
    assert len(here) == 1
    assert unseemly(here[0].replace("\n", "\0")) == set()


def test_data_holds_names_as_they_are(runs: Runs) -> None:
    lines = [json.loads(line) for line in (runs.one / "maps" / "manifest.jsonl").read_bytes().splitlines()]
    assert {one["name"] for line in lines for one in (line, *line.get("maps", ())) if "name" in one} == {HOSTILE}
    drawn = json.loads((runs.one / "said" / "render-overlay.out").read_bytes())
    assert {one["name"] for picture in drawn["pictures"] for one in picture["maps"]} == {HOSTILE}
    for path, data in of_kind(runs, ".npz"):
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            assert path.name.startswith("split") or set(arrays["names"].tolist()) == {HOSTILE}, path


def test_png_text_is_text(runs: Runs) -> None:
    for path, data in of_kind(runs, ".png"):
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            for name, words in picture.info.items():
                assert "\0" not in str(words), (path, name)


def test_no_cell_of_a_table_is_a_formula(runs: Runs) -> None:
    names = set()
    for path, data in of_kind(runs, ".csv"):
        text = data.decode()
        assert unseemly(text) == set(), path
        for row in csv.DictReader(io.StringIO(text)):
            names.add(row.get("name", ""))
            for cell in row.values():
                assert not cell.startswith(("=", "+", "@")), (path, cell)
                assert not cell.startswith("-") or float(cell) <= 0, (path, cell)
    assert any(name.startswith("'=cmd|") for name in names)


def test_captions_are_one_line_of_text(runs: Runs) -> None:
    for path, data in of_kind(runs, "f.txt"):
        assert unseemly(data.decode()) == set(), path
        assert data.count(b"\n") == 1, path


def test_svg_is_well_formed_and_does_nothing(runs: Runs) -> None:
    for path, data in of_kind(runs, ".svg"):
        for element in ElementTree.fromstring(data).iter():
            kind = str(element.tag).rpartition("}")[2].lower()
            assert kind not in ("script", "foreignobject", "iframe", "a", "animate", "set"), path
            for name, value in element.attrib.items():
                plain = name.rpartition("}")[2].lower()
                assert not plain.startswith("on"), (path, name)
                assert plain != "href" or value.startswith(("#", "data:image/png")), (path, value[:80])


def test_pdf_does_nothing(runs: Runs) -> None:
    for path, data in of_kind(runs, ".pdf"):
        assert [name for name in ACTIVE if name in data] == [], path


class Tags(HTMLParser):
    """Which elements a page has, and which of their attributes run something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.active: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.active += [
            name for name, value in attrs if name.startswith("on") or (value or "").startswith("javascript")
        ]


def test_pages_have_no_elements_but_their_own(runs: Runs) -> None:
    explored = Tags((runs.one / "page.html").read_bytes().decode())
    reported = Tags((runs.one / "evaluation" / "evaluation.html").read_bytes().decode())
    assert (explored.active, reported.active) == ([], [])
    data = (runs.one / "page.html").read_bytes().count(b'<script type="application/')
    assert explored.names.count("script") == len(script_names()) + data
    assert "script" not in reported.names
    assert not {"b", "bold"} & {*explored.names, *reported.names}


@pytest.mark.parametrize("name", ["page.html", "evaluation/evaluation.html"])
def test_pages_in_a_browser_run_nothing_of_a_name(runs: Runs, open_page: OpenPage, name: str) -> None:
    page = open_page((runs.one / name).read_bytes())
    assert page.title() != "mark"
    assert page.evaluate("document.querySelectorAll('[onerror], b, i').length") == 0
    assert "onerror" in page.content()


def test_a_checkpoints_own_words_are_one_plain_line(attnviz: Attnviz, tmp_path: Path) -> None:
    words = "[red]\x1b[31m\n\u202e$(touch mark)"
    state = tiny_model().state_dict()
    torch.save({"model": {**state, f"{words}.weight": torch.zeros(1)}, "args": {"nheads": words}}, tmp_path / "odd.pth")
    picture = write_picture(tmp_path / "a.png")
    for arguments in (
        ["render", picture, "-c", "odd.pth"],
        ["inspect-weights", "odd.pth"],
        ["verify", picture, "-c", "odd.pth"],
    ):
        found = attnviz(*arguments)
        assert unseemly(found.out + found.err) == set()
        assert "Traceback" not in found.err
        assert found.code in (0, 1)
    assert "[red]\\x1b[31m\\n\\u202e$(touch mark)" in attnviz("render", picture, "-c", "odd.pth").err
