"""A figure and its caption as two files: both or neither."""

from pathlib import Path

import pytest
from PIL import Image

from detr_attnviz.drawing.prints.paper import PrintOptions, new_sheet
from detr_attnviz.errors import OutputError
from detr_attnviz.figures.captions import caption
from detr_attnviz.figures.printed import PrintedFigure


def printed(words: str = "Où regarde-t-il ?") -> PrintedFigure:
    return PrintedFigure(new_sheet(40, 20, PrintOptions()), caption(words), "objects", {"checkpoint": "demo"})


@pytest.mark.parametrize("name", ["a.png", "b.pdf", "c.svg", "D.PNG", "e.v2.svg"])
def test_figure_and_caption_beside_each_other(tmp_path: Path, name: str) -> None:
    figure, words = printed().save(tmp_path / name)
    assert figure == tmp_path / name
    assert words == figure.with_suffix(".txt")
    assert words.read_text(encoding="utf-8") == f"{printed().caption}\n"
    assert sorted(tmp_path.iterdir()) == sorted([figure, words])


@pytest.mark.parametrize("name", ["a.jpg", "a.txt", "a", "a.html"])
def test_other_ending(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"figures are written as \.png, \.pdf, \.svg"):
        printed().save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_annotations_beside_a_picture_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "street.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    with pytest.raises(OutputError, match=r"street\.txt exists and is no figure's caption.*another name"):
        printed().save(tmp_path / "street.png")
    assert [path.name for path in tmp_path.iterdir()] == ["street.txt"]


def test_second_run_takes_the_place_of_the_first(tmp_path: Path) -> None:
    printed("One").save(tmp_path / "a.png")
    _, words = printed("Two").save(tmp_path / "a.png")
    assert words.read_text().startswith("Two.")


@pytest.mark.parametrize("taken", ["a.png", "a.txt"])
def test_neither_when_one_cannot_be_written(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*a folder has this name"):
        printed().save(tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == [taken]


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist; make it first"):
        printed().save(tmp_path / "none" / "a.png")


def test_caption_that_does_not_encode_is_written_all_the_same(tmp_path: Path) -> None:
    _, words = printed("a\udcffb").save(tmp_path / "a.png")
    assert words.read_text(encoding="utf-8").startswith("a?b.")


def test_file_says_where_the_figure_came_from(tmp_path: Path) -> None:
    figure, _ = printed().save(tmp_path / "a.png")
    with Image.open(figure) as image:
        assert image.info["checkpoint"] == "demo"


def test_notebooks_show_it() -> None:
    assert printed()._repr_png_().startswith(b"\x89PNG")
