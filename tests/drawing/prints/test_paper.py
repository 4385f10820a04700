"""Sheets: exact sizes, letters as letters, the caller's settings without a say."""

import base64
import io
import re
import sys
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from matplotlib.figure import Figure
from PIL import Image

from detr_attnviz.drawing.prints.marks import put_outline, put_picture, put_words
from detr_attnviz.drawing.prints.paper import (
    COLUMN_MM,
    PAGE_MM,
    SMALLEST_PT,
    TALLEST_MM,
    FileKind,
    PrintOptions,
    new_sheet,
    print_bytes,
    sheet_axes,
    size_mm,
)
from detr_attnviz.errors import ChoiceError
from tests.drawing.scenes import photo

KINDS: tuple[FileKind, ...] = ("png", "pdf", "svg")
ABOUT = {"picture": "pets.jpg", "checkpoint": "detr-r50", "note": "שלום & <汉字>\x00\nline"}


def sheet(width_mm: float = 85.0, dpi: int = 300) -> Figure:
    figure = new_sheet(width_mm, 30, PrintOptions(dpi=dpi))
    axes = sheet_axes(figure)
    put_picture(axes, photo(), (0, 0, 20, 15))
    put_outline(axes, (5, 5, 15, 12), "#d20000", 0.8)
    put_words(axes, r"cost $x^2$ \frac & <b>", (2, 20), 7)
    put_words(axes, "bold", (2, 25), 7, is_bold=True)
    return figure


@pytest.mark.parametrize(
    ("width", "millimetres"), [("column", COLUMN_MM), ("page", PAGE_MM), (120, 120.0), (88.9, 88.9)]
)
def test_width_by_name_and_in_millimetres(width: Any, millimetres: float) -> None:
    assert PrintOptions(width=width).width_mm == millimetres


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"width": "poster"}, "width 'poster' does not exist: choose column, page or millimetres"),
        ({"width": 20}, "width is 20 mm but must be between 30 and 400 mm"),
        ({"width": float("nan")}, "width is nan mm"),
        ({"dpi": 50}, "dpi is 50 but must be between 72 and 1200"),
        ({"font_pt": 30}, "font_pt is 30 but must be between 4 and 14"),
        ({"alpha": 2}, "alpha is 2"),
        ({"cmap": "infreno"}, "no colour map is called 'infreno'.*inferno"),
        ({"smooth": "cubic"}, "smooth 'cubic' does not exist: choose one of bicubic"),
    ],
)
def test_choice_that_does_not_exist(choice: dict[str, Any], message: str) -> None:
    with pytest.raises(ChoiceError, match=message):
        PrintOptions(**choice)


def test_all_wrong_choices_are_said_at_once() -> None:
    with pytest.raises(ChoiceError, match="width .*; dpi .*; font_pt "):
        PrintOptions(width=1, dpi=1, font_pt=1)


def test_colors_of_maps_with_and_without_values_below_zero() -> None:
    assert (PrintOptions().colors(), PrintOptions().colors(is_signed=True)) == ("YlOrRd", "RdBu_r")
    assert PrintOptions(cmap="viridis").colors(is_signed=True) == "viridis"


@pytest.mark.parametrize(("width_mm", "dpi", "pixels"), [(85.0, 300, 1004), (175.0, 300, 2067), (85.0, 72, 241)])
def test_png_has_the_width_in_pixels_and_says_its_dpi(width_mm: float, dpi: int, pixels: int) -> None:
    with Image.open(io.BytesIO(print_bytes(sheet(width_mm, dpi), "png", {}))) as image:
        assert image.width == pixels
        assert image.info["dpi"] == pytest.approx((dpi, dpi), abs=0.02)
        assert image.mode == "RGB"


def test_pdf_has_the_width_in_points() -> None:
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", print_bytes(sheet(), "pdf", {}))
    assert box is not None
    assert [float(side) / 72 * 25.4 for side in box.groups()] == pytest.approx([85, 30], abs=1e-6)


def test_svg_has_the_width_in_millimetres() -> None:
    head = re.search(r"<svg [^>]*>", print_bytes(sheet(), "svg", {}).decode())
    assert head is not None
    assert 'width="85mm" height="30mm"' in head[0]
    assert head[0].count("width=") == 1


def test_printing_leaves_the_sheet_as_it_was() -> None:
    figure = sheet()
    print_bytes(figure, "png", {})
    assert size_mm(figure) == pytest.approx((85, 30), abs=1e-9)


def test_pdf_embeds_truetype_letters_only() -> None:
    data = print_bytes(sheet(), "pdf", {})
    assert b"/FontFile2" in data
    assert b"/Type3" not in data


def test_svg_keeps_words_as_words_and_carries_their_font() -> None:
    text = print_bytes(sheet(), "svg", {}).decode()
    assert r"cost $x^2$ \frac &amp; &lt;b&gt;</text>" in text
    assert re.findall(r"@font-face \{font-family: 'DejaVu Sans'; font-weight: (\w+);", text) == ["bold", "normal"]


def test_svg_asks_no_address_for_anything() -> None:
    text = print_bytes(sheet(), "svg", {}).decode()
    assert set(re.findall(r'(?:href="|url\()(data:\w+/\w+|#|\w+:)', text)) <= {"data:font/woff", "data:image/png", "#"}
    assert "data:font/woff" in text


def test_picture_keeps_its_own_pixels_in_vector_files() -> None:
    text = print_bytes(sheet(), "svg", {}).decode()
    (data,) = re.findall(r'data:image/png;base64,\s*([^"]+)"', text)
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.convert("RGB").tobytes() == photo().tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_same_sheet_is_the_same_file_whatever_the_hour(kind: FileKind, monkeypatch: pytest.MonkeyPatch) -> None:
    first = print_bytes(sheet(), kind, ABOUT)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    assert print_bytes(sheet(), kind, ABOUT) == first


@pytest.mark.parametrize("kind", KINDS)
def test_settings_of_the_caller_have_no_say(kind: FileKind) -> None:
    plain = print_bytes(sheet(), kind, {})
    theirs: dict[Any, Any] = {
        "savefig.bbox": "tight",
        "savefig.facecolor": "red",
        "font.family": ["serif"],
        "svg.fonttype": "path",
        "pdf.fonttype": 3,
        "lines.linewidth": 9.0,
        "image.composite_image": True,
        "text.antialiased": False,
    }
    with matplotlib.rc_context(theirs):
        assert print_bytes(sheet(), kind, {}) == plain
        assert matplotlib.rcParams["lines.linewidth"] == 9.0


def test_png_says_where_it_came_from() -> None:
    with Image.open(io.BytesIO(print_bytes(sheet(), "png", ABOUT))) as image:
        assert image.info["checkpoint"] == "detr-r50"
        assert "שלום & <汉字> line" in image.info["note"]


@pytest.mark.parametrize("kind", ["pdf", "svg"])
def test_vector_file_says_where_it_came_from(kind: FileKind) -> None:
    assert b"checkpoint: detr-r50" in print_bytes(sheet(), kind, {"checkpoint": "detr-r50"})


def test_pyplot_stays_out_of_it(tmp_path: Path) -> None:
    (tmp_path / "sheet.png").write_bytes(print_bytes(sheet(), "png", {}))
    assert "matplotlib.pyplot" not in sys.modules


def test_sheet_wider_than_a_page_may_be_higher() -> None:
    assert PrintOptions(width="column").tallest_mm == PrintOptions().tallest_mm == TALLEST_MM
    assert PrintOptions(width=350).tallest_mm == 2 * TALLEST_MM


def test_letters_for_a_width() -> None:
    assert PrintOptions(width=80, font_pt=14).with_letters_for(8).font_pt == 10
    assert PrintOptions(width=80, font_pt=7).with_letters_for(8).font_pt == 7
    assert PrintOptions(width=30, font_pt=14).with_letters_for(10).font_pt == SMALLEST_PT
