"""Our PNG files are read back bit for bit by Pillow, whatever is in them."""

import io
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from detr_attnviz.drawing.colormap import table
from detr_attnviz.drawing.overlay import heatmap
from detr_attnviz.drawing.png import png_bytes
from tests.drawing.scenes import photo


def read(data: bytes) -> PngImagePlugin.PngImageFile:
    image = Image.open(io.BytesIO(data))
    assert isinstance(image, PngImagePlugin.PngImageFile)
    image.load()
    return image


def packed(data: bytes) -> bytes:
    """What the one IDAT chunk holds."""
    start = data.index(b"IDAT")
    return data[start + 4 : start + 4 + int.from_bytes(data[start - 4 : start], "big")]


@given(width=st.integers(1, 70), height=st.integers(1, 150), white=st.floats(0, 1))
def test_colors_come_back_bit_for_bit(width: int, height: int, white: float) -> None:
    pixels = np.asarray(photo(width, height)).copy()
    pixels[: round(white * height)] = 255
    back = read(png_bytes(Image.fromarray(pixels)))
    assert back.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(back), pixels)


@given(width=st.integers(1, 70), height=st.integers(1, 70))
def test_palette_picture_comes_back_with_its_palette(width: int, height: int) -> None:
    levels = Image.linear_gradient("L").resize((width, height))
    back = read(png_bytes(heatmap(levels, "viridis")))
    assert back.mode == "P"
    np.testing.assert_array_equal(np.asarray(back), np.asarray(levels))
    np.testing.assert_array_equal(np.asarray(back.convert("RGB")), table("viridis")[np.asarray(levels)])


def test_palette_picture_is_much_smaller() -> None:
    colored = heatmap(Image.radial_gradient("L").resize((400, 300)), "inferno")
    assert 3 * len(png_bytes(colored)) < 2 * len(png_bytes(colored.convert("RGB")))


def test_map_above_a_photograph_is_packed_band_by_band() -> None:
    pixels = np.zeros((300, 200, 3), dtype=np.uint8)
    pixels[128:256] = np.asarray(photo(200, 128))  # two bands of noise between plain ones
    data = png_bytes(Image.fromarray(pixels))
    np.testing.assert_array_equal(np.asarray(read(data)), pixels)
    filters = np.frombuffer(zlib.decompress(packed(data)), dtype=np.uint8).reshape(300, 601)[:, 0]
    assert set(filters[:128]) == set(filters[256:]) == {2}
    assert set(filters[128:256]) == {3}


def test_same_picture_is_the_same_bytes() -> None:
    assert png_bytes(photo(300, 200), {"a": "b"}) == png_bytes(photo(300, 200), {"a": "b"})


@pytest.mark.parametrize("mode", ["L", "RGBA", "1", "CMYK"])
def test_other_modes_become_rgb(mode: str) -> None:
    image = photo().convert(mode)
    assert read(png_bytes(image)).tobytes() == image.convert("RGB").tobytes()


def test_text_is_read_back() -> None:
    text = {"checkpoint": "detr-r50", "picture": "überall/猫.jpg", "odd": "a\0b\ud800", "ключ": "x", "k" * 99: "long"}
    info = read(png_bytes(photo(), text)).text
    assert info["checkpoint"] == "detr-r50"
    assert info["picture"] == "überall/猫.jpg"
    assert info["odd"] == r"ab\ud800"
    assert info["????"] == "x"
    assert info["k" * 79] == "long"


def test_file_ends_as_it_should() -> None:
    assert png_bytes(photo(), {"a": "b"}).endswith(b"\0\0\0\0IEND\xaeB`\x82")
