"""Pictures of every kind come out upright and RGB."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detr_attnviz.errors import ImageError
from detr_attnviz.pictures import as_upright_rgb, read_picture


def halves(mode: str, left: object, right: object) -> Image.Image:
    """A 4×2 picture of two colours."""
    image = Image.new(mode, (4, 2), left)  # type: ignore[arg-type]
    image.paste(right, (2, 0, 4, 2))  # type: ignore[arg-type]
    return image


def corners(path: Path) -> tuple[object, object]:
    image = read_picture(path)
    assert image.mode == "RGB"
    return image.getpixel((0, 0)), image.getpixel((image.width - 1, image.height - 1))


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "jpg"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    Image.new("RGB", (16, 16), (200, 40, 90)).save(path, quality=95)
    assert np.abs(np.array(read_picture(path)).mean((0, 1)) - (200, 40, 90)).max() < 4


def test_grey(tmp_path: Path) -> None:
    halves("L", 10, 200).save(tmp_path / "x.png")
    assert corners(tmp_path / "x.png") == ((10, 10, 10), (200, 200, 200))


def test_sixteen_bits(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 257 * 100], [257 * 200, 65535]], dtype=np.uint16)).save(tmp_path / "x.png")
    assert np.array(read_picture(tmp_path / "x.png"))[..., 0].tolist() == [[0, 100], [200, 255]]


def test_float_in_0_to_1() -> None:
    image = as_upright_rgb(Image.fromarray(np.array([[0.0, 0.5], [1.0, np.nan]], dtype=np.float32)))
    assert np.array(image)[..., 0].tolist() == [[0, 128], [255, 0]]


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    halves("RGBA", (255, 0, 0, 255), (0, 0, 0, 0)).save(tmp_path / "x.png")
    assert corners(tmp_path / "x.png") == ((255, 0, 0), (255, 255, 255))


def test_palette_with_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (4, 2))
    image.putpalette([0, 0, 255, 9, 9, 9])
    image.paste(1, (2, 0, 4, 2))
    image.save(tmp_path / "x.png", transparency=1)
    assert corners(tmp_path / "x.png") == ((0, 0, 255), (255, 255, 255))


def test_cmyk(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "x.jpg", quality=95)
    red, green, blue = np.array(read_picture(tmp_path / "x.jpg")).mean((0, 1))
    assert red > 240
    assert max(green, blue) < 15


@pytest.mark.parametrize(("orientation", "first"), [(1, "red"), (3, "blue"), (6, "green"), (8, "white")])
def test_exif_is_turned_upright(tmp_path: Path, orientation: int, first: str) -> None:
    image = Image.new("RGB", (2, 2))
    for place, color in zip(((0, 0), (1, 0), (0, 1), (1, 1)), ("red", "white", "green", "blue"), strict=True):
        image.paste(color, (*place, place[0] + 1, place[1] + 1))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "x.png", exif=exif)
    assert read_picture(tmp_path / "x.png").getpixel((0, 0)) == Image.new("RGB", (1, 1), first).getpixel((0, 0))


def test_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "x.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert corners(tmp_path / "x.webp")[0] == (255, 0, 0)


def test_the_callers_picture_is_left_alone() -> None:
    mine = Image.new("RGB", (3, 3), "red")
    read_picture(mine).putpixel((0, 0), (1, 2, 3))
    assert mine.getpixel((0, 0)) == (255, 0, 0)


def test_bad_files_say_what_is_wrong(tmp_path: Path) -> None:
    whole = tmp_path / "whole.png"
    Image.effect_noise((64, 64), 50).save(whole)
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:900])
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    for name, words in {
        "cut.png": "damaged or cut off",
        "text.jpg": "not a picture",
        "empty.png": "not a picture",
        "folder.jpg": "is a folder",
        "missing.png": "does not exist",
    }.items():
        with pytest.raises(ImageError, match=words) as caught:
            read_picture(tmp_path / name)
        assert name in str(caught.value)


def test_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (100, 100)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings(), pytest.raises(ImageError, match="too large"):
        read_picture(tmp_path / "x.png")


def test_picture_without_pixels() -> None:
    with pytest.raises(ImageError, match="no pixels"):
        as_upright_rgb(Image.new("RGB", (0, 5)))
