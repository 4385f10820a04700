"""`attnviz explore`: a page in one file, or a line that says why not."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Attnviz
from tests.tiny import write_picture


def document_of(page: Path) -> Any:
    (text,) = re.findall(r'<script type="application/json" id="document">(.*?)</script>', page.read_text(), re.DOTALL)
    return json.loads(text)


def test_a_page_named_after_the_picture(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path) -> None:
    done = attnviz("explore", picture, "-c", tiny_checkpoint, "--nheads", 4)
    assert done.code == 0, done.err
    assert done.out.startswith("street.html: 1 picture, ")
    document = document_of(Path("street.html"))
    assert [one["name"] for one in document["pictures"]] == ["street.png"]
    assert [len(sites) for sites in document["pictures"][0]["kinds"].values()] == [2, 1, 2]
    assert sorted(path.name for path in Path().iterdir() if path.is_file()) == ["street.html", "tiny.pth"]


def test_several_pictures_and_a_broken_one(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path) -> None:
    write_picture(picture.parent / "another.png")
    (picture.parent / "broken.png").write_bytes(b"nothing")
    done = attnviz("explore", picture.parent, "-c", tiny_checkpoint, "-o", "all.html", "--json")
    assert done.code == 1
    assert "broken.png" in done.err
    assert (done.data["file"], done.data["pictures"]) == ("all.html", 2)
    assert done.data["bytes"] == Path("all.html").stat().st_size
    assert done.data["largest_error"] <= 1e-3
    assert [Path(one["picture"]).name for one in done.data["failures"]] == ["broken.png"]


def test_nothing_is_written_when_no_picture_can_be_read(
    attnviz: Attnviz, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"nothing")
    done = attnviz("explore", "broken.png", "-c", tiny_checkpoint, "-o", "page.html")
    assert done.code == 1
    assert "broken.png: " in done.err
    assert done.err.strip().endswith("no picture could be read, so there is no page")
    data = attnviz("explore", "broken.png", "-c", tiny_checkpoint, "-o", "page.html", "--json").data
    assert (data["file"], data["pictures"], len(data["failures"])) == (None, 0, 1)
    assert not Path("page.html").exists()


def test_layers_encoder_and_methods_are_chosen(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path) -> None:
    args = ("--layer", -1, "--no-encoder", "--methods", "relevance, rollout", "--threshold", 0.1)
    done = attnviz("explore", picture, "-c", tiny_checkpoint, "--nheads", 4, "-o", "page.html", *args)
    assert done.code == 0, done.err
    found = document_of(Path("page.html"))
    (one,) = found["pictures"]
    assert [site["layer"] for site in one["kinds"]["cross"]] == [1]
    assert one["kinds"]["encoder"] == []
    assert [method["name"] for method in one["methods"]] == ["relevance", "rollout"]
    assert found["model"]["threshold"] == 0.1


def test_the_browser_is_opened_when_asked(
    attnviz: Attnviz, tiny_checkpoint: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert attnviz("explore", picture, "-c", tiny_checkpoint, "--open").code == 0
    assert opened == [Path("street.html").resolve().as_uri()]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("missing.png",), "missing.png: no such file or folder"),
        (("pictures", "-o", "page.png"), "this can be written as .html, .htm"),
        (("pictures", "--methods", "magic"), "no method 'magic': methods to add to a page are rollout"),
        (("pictures", "--methods", "raw"), "method raw need not be asked for"),
        (("pictures", "-c", "none.pth"), "none.pth"),
        (
            ("pictures", "--layer", "9", "-c", "tiny.pth"),
            "no layer 9 in the attention that the page would hold: cross has 0, 1; encoder has 0",
        ),
        (
            ("pictures", "--layer", "5", "--no-encoder", "-c", "tiny.pth"),
            "the page would hold: cross has 0, 1; decoder",
        ),
        (("pictures", "--point-level", "1", "-c", "tiny.pth"), "this detector's encoder has no sampled attention"),
    ],
)
@pytest.mark.usefixtures("tiny_checkpoint", "picture")
def test_what_cannot_be(attnviz: Attnviz, args: tuple[object, ...], words: str) -> None:
    done = attnviz("explore", *args)
    assert done.code == 1
    assert words in done.err.strip().splitlines()[-1]
    assert not list(Path().glob("*.html"))


def test_point_levels_without_an_encoder_have_no_effect(attnviz: Attnviz) -> None:
    done = attnviz("explore", "street.png", "--no-encoder", "--point-level", 1)
    assert done.code == 2
    assert "--point-level would have no effect" in done.err
