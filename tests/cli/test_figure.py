"""`attnviz figure`: each classic figure as a file and its caption, or a line that says why not."""

import re
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Attnviz

OF_A_PICTURE = ("objects", "points", "grid", "evolution", "methods")
NEEDED = {"points": ("--auto",)}


@pytest.mark.parametrize("kind", OF_A_PICTURE)
def test_a_pdf_and_its_caption_named_after_the_picture(
    attnviz: Attnviz, tiny_checkpoint: Path, picture: Path, kind: str
) -> None:
    done = attnviz("figure", kind, picture, "-c", tiny_checkpoint, "--nheads", 4, *NEEDED.get(kind, ()))
    assert done.code == 0, done.err
    assert done.out.split() == [f"street.{kind}.pdf", f"street.{kind}.txt"]
    assert Path(f"street.{kind}.pdf").read_bytes().startswith(b"%PDF")
    words = Path(f"street.{kind}.txt").read_text()
    assert all(piece in words for piece in ("street.png", "tiny", "detr_attnviz"))


def test_weights_of_a_checkpoint(attnviz: Attnviz, tiny_checkpoint: Path) -> None:
    done = attnviz("figure", "weights", tiny_checkpoint, "--nheads", 4, "-o", "weights.svg")
    assert done.code == 0, done.err
    assert "<svg" in Path("weights.svg").read_text()
    assert "tiny" in Path("weights.txt").read_text()


@pytest.mark.parametrize(("width", "mm"), [("column", 85), ("page", 175), ("120", 120), ("60mm", 60)])
def test_the_width_is_the_one_asked_for(
    attnviz: Attnviz, tiny_checkpoint: Path, picture: Path, width: str, mm: float
) -> None:
    args = ("--width", width, "--dpi", 150, "-o", "figure.png")
    done = attnviz("figure", "objects", picture, "-c", tiny_checkpoint, *args)
    assert done.code == 0, done.err
    with Image.open("figure.png") as drawn:
        assert abs(drawn.width - mm / 25.4 * 150) <= 1


def test_json_has_the_caption(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path) -> None:
    done = attnviz("figure", "grid", picture, "-c", tiny_checkpoint, "--query", 3, "--json")
    assert done.code == 0, done.err
    assert done.data["caption"].strip() == Path(done.data["caption_file"]).read_text().strip()
    assert done.data["provenance"]["checkpoint"] == "tiny.pth"


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("objects", "missing.png"), 1, "missing.png: does not exist"),
        (("grid", "pictures"), 1, "pictures: "),
        (("weights", "demo", "--smooth", "nearest"), 2, "--smooth would have no effect: weights have no cells"),
        (("objects", "pictures/street.png", "-o", "figure.jpg"), 1, "this can be written as .pdf, .svg, .png"),
        (("objects", "pictures/street.png", "--width", "wide"), 2, "give column, page or millimetres"),
        (("objects", "pictures/street.png", "--width", "3"), 1, "width"),
        (("objects", "pictures/street.png", "--method", "magic"), 1, "no method 'magic'"),
        (("objects", "pictures/street.png", "-c", "tiny.pth", "--layer", "7"), 1, "no layer 7"),
        (("objects", "pictures/street.png", "-c", "tiny.pth", "--query", "99"), 1, "no query 99"),
        (("points", "pictures/street.png"), 2, "--auto"),
        (("points", "pictures/street.png", "--auto", "--point", "1,1"), 2, "--auto"),
        (("points", "pictures/street.png", "--point", "here"), 2, "is no point"),
        (("points", "pictures/street.png", "-c", "tiny.pth", "--point", "999,1"), 1, "outside the picture"),
        (("grid", "pictures/street.png", "--direction", "to"), 2, "--direction would have no effect"),
        (("grid", "pictures/street.png", "--point", "1,1", "--query", "1"), 2, "--query would have no effect"),
        (("methods", "pictures/street.png", "--methods", "raw,magic"), 1, "no method 'magic'"),
        (("weights", "missing.pth"), 1, "missing.pth"),
    ],
)
@pytest.mark.usefixtures("tiny_checkpoint", "picture")
def test_what_cannot_be(attnviz: Attnviz, args: tuple[object, ...], code: int, words: str) -> None:
    done = attnviz("figure", *args)
    assert done.code == code
    assert words in re.sub(r"[\s│]+", " ", done.err)
    assert not [path for path in Path().iterdir() if path.suffix in (".pdf", ".jpg", ".txt")]
