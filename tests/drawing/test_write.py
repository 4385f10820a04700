"""Files are written whole or not at all, carry where they came from, and are the same bytes each time."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from detr_attnviz.drawing.png import png_bytes
from detr_attnviz.drawing.write import save_picture, save_png, suffixes
from detr_attnviz.errors import ChoiceError, OutputError
from tests.drawing.scenes import photo


@pytest.fixture
def palette_picture() -> Image.Image:
    picture = Image.linear_gradient("L")
    picture.putpalette(bytes(range(256)) * 3)
    return picture


def test_png_comes_back_bit_for_bit(tmp_path: Path, palette_picture: Image.Image) -> None:
    for image in (photo(), palette_picture):
        save_png(image, tmp_path / "a.png")
        with Image.open(tmp_path / "a.png") as read:
            assert read.mode == image.mode
            assert read.convert("RGB").tobytes() == image.convert("RGB").tobytes()


def test_png_carries_its_provenance(tmp_path: Path) -> None:
    save_png(photo(), tmp_path / "a.png", {"checkpoint": "detr-r50"})
    with Image.open(tmp_path / "a.png") as read:
        assert read.info["checkpoint"] == "detr-r50"


def test_same_picture_gives_the_same_bytes(tmp_path: Path) -> None:
    assert png_bytes(photo(), {"a": "b"}) == png_bytes(photo(), {"a": "b"})
    for suffix in suffixes():
        save_picture(photo(), tmp_path / f"one{suffix}", {"a": "b"})
        save_picture(photo(), tmp_path / f"two{suffix}", {"a": "b"})
        assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".webp"])
def test_other_formats_are_close_to_the_picture(tmp_path: Path, suffix: str, palette_picture: Image.Image) -> None:
    for image in (Image.new("RGB", (40, 30), (200, 30, 60)), palette_picture):
        save_picture(image, tmp_path / f"a{suffix}", {"checkpoint": "detr-r50"})
        with Image.open(tmp_path / f"a{suffix}") as read:
            assert read.size == image.size


def test_pdf_is_written_without_a_date(tmp_path: Path) -> None:
    save_picture(photo(), tmp_path / "a.pdf", {"checkpoint": "detr-r50"})
    data = (tmp_path / "a.pdf").read_bytes()
    assert data.startswith(b"%PDF")
    assert b"CreationDate" not in data


@pytest.mark.parametrize("name", ["a.gif", "a.txt", "a"])
def test_unknown_ending_lists_those_supported(tmp_path: Path, name: str) -> None:
    with pytest.raises(ChoiceError, match=r"\.png, \.jpg"):
        save_picture(photo(), tmp_path / name)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_picture_too_long_for_its_format_is_told(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(OutputError, match=r"70000×1 pixels.*choose \.png"):
        save_picture(Image.new("RGB", (70_000, 1)), tmp_path / f"a{suffix}")
    assert os.listdir(tmp_path) == []


def test_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*a\.png: the folder .*nowhere does not exist"):
        save_png(photo(), tmp_path / "nowhere" / "a.png")


def test_folder_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OutputError, match="a folder has this name"):
        save_png(photo(), tmp_path / "a.png")
    assert os.listdir(tmp_path) == ["a.png"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failing_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    goal = tmp_path / "a.png"
    goal.write_bytes(b"old")

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OutputError, match=r"cannot write .*a\.png: no space left on device") as raised:
        save_png(photo(), goal)
    assert "\n" not in str(raised.value)
    assert goal.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.png"]


def test_interrupted_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_png(photo(), tmp_path / "a.png")
    assert os.listdir(tmp_path) == []


def test_name_at_the_file_systems_limit_can_be_written(tmp_path: Path) -> None:
    goal = tmp_path / ("x" * 251 + ".png")
    save_png(photo(), goal)
    assert goal.is_file()


def test_file_is_readable_as_any_other(tmp_path: Path) -> None:
    save_png(photo(), tmp_path / "a.png")
    (tmp_path / "b").write_bytes(b"")
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "b").stat().st_mode
