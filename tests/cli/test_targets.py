"""Where a single result goes."""

from pathlib import Path

import pytest

from detr_attnviz.cli.targets import result_file
from detr_attnviz.errors import ChoiceError, OutputError
from tests.tiny import write_picture

SUFFIXES = (".pdf", ".png")


@pytest.fixture
def street(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return str(write_picture(tmp_path / "street.png"))


def test_named_after_the_picture_in_the_current_folder(street: str) -> None:
    assert result_file(None, [street], ".objects.pdf", SUFFIXES) == Path("street.objects.pdf")


def test_named_after_nothing_for_several(street: str, tmp_path: Path) -> None:
    assert result_file(None, [street, street], ".html", (".html",)) == Path("attnviz.html")
    assert result_file(None, [str(tmp_path)], ".html", (".html",)) == Path("attnviz.html")


def test_a_folder_takes_the_default_name(street: str, tmp_path: Path) -> None:
    assert result_file(tmp_path, [street], ".grid.pdf", SUFFIXES) == tmp_path / "street.grid.pdf"


def test_a_file_in_a_new_folder(street: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "figure.PDF"
    assert result_file(path, [street], ".grid.pdf", SUFFIXES) == path
    assert path.parent.is_dir()


@pytest.mark.parametrize("name", ["figure.jpg", "figure", "figure.pdf.gz"])
def test_another_suffix_is_refused_with_those_there_are(street: str, name: str) -> None:
    with pytest.raises(ChoiceError, match=r"this can be written as \.pdf, \.png"):
        result_file(Path(name), [street], ".grid.pdf", SUFFIXES)


def test_the_picture_itself_is_never_overwritten(street: str) -> None:
    with pytest.raises(ChoiceError, match="is an input, which is never overwritten"):
        result_file(Path(street), [street], ".grid.pdf", SUFFIXES)


def test_a_folder_that_cannot_be_made(street: str) -> None:
    with pytest.raises(OutputError, match="cannot make the folder .*: a file has the name that a folder needs"):
        result_file(Path(street) / "figure.pdf", [street], ".grid.pdf", SUFFIXES)


def test_a_name_that_no_file_can_have(street: str) -> None:
    long = Path(f"{'a' * 300}.pdf")
    assert result_file(long, [street], ".grid.pdf", SUFFIXES) == long  # writing says what is wrong with it
    with pytest.raises(OutputError, match="cannot make the folder"):
        result_file(Path("a" * 300, "b.pdf"), [street], ".grid.pdf", SUFFIXES)
    with pytest.raises(ChoiceError, match="this can be written as"):
        result_file(Path("a" * 300), [street], ".grid.pdf", SUFFIXES)


def test_a_default_name_is_portable_whatever_the_picture_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    street = write_picture(tmp_path / "street.png").rename("a\u202eb%.png")
    assert result_file(None, [str(street)], ".grid.pdf", SUFFIXES) == Path("a%E2%80%AEb%25.grid.pdf")
