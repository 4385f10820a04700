"""Pictures of every kind come out upright and RGB."""

import itertools
import struct
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


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_dark_sixteen_bits_are_scaled_like_bright_ones(tmp_path: Path, suffix: str, dtype: str) -> None:
    Image.fromarray(np.array([[0, 255], [129, 128]], dtype=dtype)).save(tmp_path / f"x.{suffix}")
    assert np.array(read_picture(tmp_path / f"x.{suffix}"))[..., 0].tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(("largest", "expected"), [(200, 200), (65535, 255), (2**31 - 1, 255)])
def test_thirty_two_bits_are_scaled_by_value(largest: int, expected: int) -> None:
    image = as_upright_rgb(Image.fromarray(np.array([[0, largest]], dtype=np.int32)))
    assert np.array(image)[..., 0].tolist() == [[0, expected]]


def test_sixteen_bits_as_older_pillows_open_them() -> None:
    image = Image.fromarray(np.array([[0, 255]], dtype=np.int32))
    image.format = "PNG"
    assert np.array(as_upright_rgb(image))[..., 0].tolist() == [[0, 1]]


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


def press_profile() -> bytes:
    """A small ICC profile of a grey press: every ink takes a quarter of the light, black all of it."""
    table = struct.pack(">4sIBBBB9i", b"mft1", 0, 4, 3, 2, 0, *(1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 16))
    table += bytes(range(256)) * 4
    for cyan, magenta, yellow, black in itertools.product((0, 1), repeat=4):
        lightness = 0 if black else 100 - 25 * (cyan + magenta + yellow)
        table += bytes((round(lightness * 2.55), 128, 128))
    table += bytes(range(256)) * 3
    head = struct.pack(">I4sI4s4s4s", 144 + len(table), b"none", 0x02100000, b"prtr", b"CMYK", b"Lab ")
    head += struct.pack(">6H4s28x3I48x", 2020, 1, 1, 0, 0, 0, b"acsp", 0xF6D6, 0x10000, 0xD32D)
    return head + struct.pack(">I4sII", 1, b"A2B0", 144, len(table)) + table


def test_cmyk_goes_through_its_profile(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(tmp_path / "x.tif", icc_profile=press_profile())
    assert corners(tmp_path / "x.tif") == ((184, 184, 184), (184, 184, 184))  # L* = 75


@pytest.mark.parametrize("profile", [b"garbage" * 40, press_profile()[:300]])
def test_cmyk_with_a_profile_that_does_not_fit(tmp_path: Path, profile: bytes) -> None:
    Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(tmp_path / "x.tif", icc_profile=profile)
    assert corners(tmp_path / "x.tif")[0] == (0, 255, 255)


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
        "cut.png": "damaged or cut off: .*; fetch it again",
        "text.jpg": "not a picture that can be read; give a JPEG",
        "empty.png": "the file is empty; fetch it again",
        "folder.jpg": "is a folder.*; give the path of a JPEG",
        "missing.png": "does not exist; give the path of a JPEG",
        "text.jpg/x.png": "does not exist; give",
        "x" * 300: r"cannot be looked at \(File name too long\); give",
    }.items():
        with pytest.raises(ImageError, match=words) as caught:
            read_picture(tmp_path / name)
        assert name in str(caught.value)


def test_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (100, 100)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings(), pytest.raises(ImageError, match="too large.*; give a smaller copy"):
        read_picture(tmp_path / "x.png")


def test_picture_without_pixels() -> None:
    with pytest.raises(ImageError, match="no pixels.*; give one of at least 1×1"):
        as_upright_rgb(Image.new("RGB", (0, 5)))


def test_more_rows_than_are_scaled_at_a_time(tmp_path: Path) -> None:
    levels = (np.arange(600 * 2, dtype=np.uint16).reshape(600, 2) % 256) * 257
    Image.fromarray(levels).save(tmp_path / "x.png")
    assert np.array_equal(np.array(read_picture(tmp_path / "x.png"))[..., 0], levels // 257)
