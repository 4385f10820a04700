"""Whole sheets: every kind and style, sizes from one pixel up, honest words, the same bytes each time."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detr_attnviz.drawing import mosaic, overlay
from detr_attnviz.drawing.colormap import table
from detr_attnviz.drawing.options import DrawingOptions
from detr_attnviz.drawing.png import png_bytes
from detr_attnviz.drawing.points import largest_radius
from detr_attnviz.drawing.render import render
from detr_attnviz.errors import ChoiceError
from detr_attnviz.explanation import Explanation
from tests.drawing.scenes import AWKWARD_NAMES, cross, decoder_self, encoder, photo, sampled, sampled_encoder, terms

PEAK = Image.new("L", (1, 1), 255)
STYLES = ["overlay", "heatmap", "pair", "contour"]


def layout_of(monkeypatch: pytest.MonkeyPatch, explanation: Explanation, **options: Any) -> mosaic.Layout:
    """The plan that ``render`` paints."""
    seen: list[mosaic.Layout] = []
    paint = mosaic.paint

    def keep(
        layout: mosaic.Layout, pictures: list[Image.Image], bar: Callable[[tuple[int, int]], Image.Image]
    ) -> Image.Image:
        seen.append(layout)
        return paint(layout, pictures, bar)

    monkeypatch.setattr(mosaic, "paint", keep)
    render(explanation, **options)
    return seen[0]


def words_of(layout: mosaic.Layout) -> str:
    return " ".join(line.text for line in layout.lines).replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("explanation", [cross(3), encoder("from"), encoder("to")], ids=["cross", "from", "to"])
def test_every_style_of_maps_over_the_picture(explanation: Explanation, style: str) -> None:
    sheet = render(explanation, style=style)
    assert sheet.mode == "RGB"
    assert sheet.getpixel((0, 0)) == (255, 255, 255)
    assert sheet.getpixel((sheet.width - 1, sheet.height - 1)) == (255, 255, 255)


def test_sheet_says_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    words = words_of(layout_of(monkeypatch, cross(2)))
    for part in ("layer 5", "mean of heads", "pets.jpg", "detr-r50", "cat 0.99", "dog 0.98", "query 3", "box", "%"):
        assert part in words


def test_shared_scale_gives_one_range_in_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    explanation = cross(3)
    words = words_of(layout_of(monkeypatch, explanation, scale="shared"))
    assert f"0 {100 * explanation.maps.max():.2g} % of its attention in one cell" in words
    assert "the panel's peak" not in words


def test_each_scale_says_where_the_peaks_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for count in (1, 3):
        words = words_of(layout_of(monkeypatch, cross(count)))
        assert words.endswith("0 the panel's peak ")
        assert words.count("in one cell") == count


@pytest.mark.parametrize(("style", "is_opaque"), [("overlay", False), ("heatmap", True), ("pair", True)])
def test_bar_has_the_colours_of_the_pictures(monkeypatch: pytest.MonkeyPatch, style: str, is_opaque: bool) -> None:
    place = layout_of(monkeypatch, cross(1), style=style).bar
    assert place is not None
    bar = np.asarray(render(cross(1), style=style).crop(place))
    assert (bar[0, 0].tolist() == table("inferno")[0].tolist()) == is_opaque
    if not is_opaque:  # light and dark ground, untouched at 0, and as strong a peak as the picture's
        drawn = np.asarray(overlay.bar((place[2] - place[0], place[3] - place[1]), "inferno"))
        np.testing.assert_array_equal(bar, drawn)
        assert np.ptp(bar[0, 0]) == np.ptp(bar[-1, 0]) == 0
        assert int(bar[0, 0, 0]) - int(bar[-1, 0, 0]) > 100
        ground = Image.new("RGB", (1, 1), tuple(bar[-1, 0].tolist()))
        assert bar[-1, -1].tolist() == np.asarray(overlay.overlay(ground, PEAK, "inferno"))[0, 0].tolist()


def test_many_panels_are_said_to_be_many(monkeypatch: pytest.MonkeyPatch) -> None:
    many = "100 maps on one sheet: --top-k N shows fewer, larger"
    assert many in words_of(layout_of(monkeypatch, cross(100, photo(640, 480))))
    assert "on one sheet" not in words_of(layout_of(monkeypatch, cross(12, photo(640, 480))))
    assert "on one sheet" not in words_of(layout_of(monkeypatch, cross(1, photo(10, 2000))))
    assert "on one sheet" not in words_of(layout_of(monkeypatch, cross(12, photo(640, 480)), columns=12))


def test_contours_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    words = words_of(layout_of(monkeypatch, cross(1), style="contour"))
    assert "25 % 50 % 75 % of the map's sum lie inside the line" in words
    words = words_of(layout_of(monkeypatch, cross(1), style="contour", contours=(0.5,), contours_of="peak"))
    assert "50 % of the map's peak" in words


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (32, 24), (10, 2000), (2000, 10), (640, 480), (480, 640)])
@pytest.mark.parametrize("style", ["overlay", "pair", "contour"])
def test_any_picture_size_gives_a_readable_sheet(size: tuple[int, int], style: str) -> None:
    sheet = render(cross(2, photo(*size)), style=style)
    assert max(sheet.size) <= 4000
    assert min(sheet.size) >= 150


def test_few_pixels_grow_by_a_whole_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = layout_of(monkeypatch, cross(1, photo(32, 24)))
    assert layout.picture_size == (480, 360)


@pytest.mark.parametrize("count", [1, 2, 5, 13, 40, 100])
def test_any_number_of_panels_stays_within_the_longest_side(count: int) -> None:
    assert max(render(cross(count)).size) <= 4000


def test_longest_side_and_panel_size_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert max(render(cross(12), sheet_px=1500).size) <= 1500
    assert max(layout_of(monkeypatch, cross(2, photo(320, 240)), panel_px=300).picture_size) == 300


def test_awkward_names_do_not_break_the_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    for explanation in (cross(10, names=AWKWARD_NAMES), decoder_self(4, 10, AWKWARD_NAMES)):
        for line in layout_of(monkeypatch, explanation).lines:
            assert line.rect[2] <= line.limits[2] + 1


def test_same_explanation_gives_the_same_bytes() -> None:
    for explanation in (cross(3), encoder(), decoder_self()):
        assert png_bytes(render(explanation)) == png_bytes(render(explanation))


def test_options_and_changes_meet() -> None:
    options = DrawingOptions(style="pair", cmap="viridis")
    assert render(cross(), options).tobytes() == render(cross(), style="pair", cmap="viridis").tobytes()
    assert render(cross(), options, style="overlay").tobytes() == render(cross(), cmap="viridis").tobytes()


def test_no_chosen_query_is_told() -> None:
    empty = dataclasses.replace(cross(1), maps=np.zeros((0, 3, 4), dtype=np.float32), detections=())
    with pytest.raises(ChoiceError, match=r"no query was chosen.*threshold"):
        render(empty)


def test_maps_without_numbers_are_drawn_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = cross(3).maps.copy()
    maps[0, 0, :2] = np.nan
    maps[1] = 0
    maps[2] = np.nan
    for style in STYLES:
        words = words_of(layout_of(monkeypatch, cross(maps=maps), style=style))
        assert "2 cells are NaN (hatched)" in words
        assert "the map is zero everywhere" in words
        assert "12 cells are NaN (hatched)" in words


def test_decoder_self_as_overlay_and_as_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    explanation = decoder_self(2, 12)
    words = words_of(layout_of(monkeypatch, explanation))
    assert "attends to" in words
    assert "listens" not in words
    assert "the panel's strongest other query" in words
    words = words_of(layout_of(monkeypatch, explanation, style="heatmap"))
    assert "rows: chosen queries" in words


def test_matrix_shows_each_weight_in_the_tables_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    explanation = dataclasses.replace(decoder_self(1, 4), maps=np.array([[0.0, 1.0, 0.5, 0.0]], dtype=np.float32))
    sheet = render(explanation, style="heatmap", cmap="viridis")
    colors = {color for _, color in sheet.getcolors(1 << 24) or []}
    assert {tuple(table("viridis")[level].tolist()) for level in (0, 128, 255)} <= colors


def test_matrix_with_nan_is_hatched_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = decoder_self(2, 12).maps.copy()
    maps[0, 3] = np.nan
    maps[1] = np.nan
    words = words_of(layout_of(monkeypatch, dataclasses.replace(decoder_self(2, 12), maps=maps), style="heatmap"))
    assert "13 hatched cells hold no number (NaN)" in words


@pytest.mark.parametrize("style", ["pair", "contour", "points"])
def test_decoder_self_has_no_such_form(style: str) -> None:
    with pytest.raises(ChoiceError, match=r"decoder self-attention.*overlay.*heatmap"):
        render(decoder_self(), style=style)


def test_grey_and_palette_pictures_are_accepted() -> None:
    for mode in ("L", "P", "RGBA"):
        explanation = cross(1)
        render(dataclasses.replace(explanation, image=explanation.image.convert(mode)))


@pytest.mark.parametrize("columns", [None, 3])
def test_terms_of_a_query_stand_in_one_row_under_its_name(monkeypatch: pytest.MonkeyPatch, columns: int | None) -> None:
    layout = layout_of(monkeypatch, terms(3), columns=columns)
    rows = [corner[1] for corner in layout.corners]
    assert [rows.count(row) for row in sorted(set(rows))] == [4, 4, 4]
    words = words_of(layout)
    assert words.count("content · content 62 %") == 3
    assert words.count("query 3 · box") == 1


@pytest.mark.parametrize("style", ["overlay", "heatmap"])
def test_bar_of_signed_maps_goes_from_blue_to_red(monkeypatch: pytest.MonkeyPatch, style: str) -> None:
    place = layout_of(monkeypatch, terms(1), style=style).bar
    assert place is not None
    bar = np.asarray(render(terms(1), style=style).crop(place)).astype(int)
    assert bar[0, 0, 2] - bar[0, 0, 0] > 50
    assert bar[0, -1, 0] - bar[0, -1, 2] > 50
    quarter = bar.shape[1] // 4
    assert np.ptp(bar[0, quarter]) > np.ptp(bar[0, 2 * quarter - 2])


def test_signed_range_is_said_in_numbers_where_it_holds_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    explanation = terms(2)
    top = f"{np.abs(explanation.maps).max():.2g}"
    words = words_of(layout_of(monkeypatch, explanation, scale="shared"))
    assert words.endswith(f"−{top} {top} logit in one cell; 0 at the mark")
    words = words_of(layout_of(monkeypatch, explanation))
    assert words.endswith("−peak peak of each row, of either sign; 0 at the mark")
    one = dataclasses.replace(explanation, terms=(), shares=())
    assert words_of(layout_of(monkeypatch, one)).endswith("peak of the panel, of either sign; 0 at the mark")
    top = f"{np.abs(terms(1).maps).max():.2g}"
    assert f"−{top} {top} logit" in words_of(layout_of(monkeypatch, terms(1)))


def test_relevance_is_said_as_plain_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    explanation = cross(2, method="relevance")
    words = words_of(layout_of(monkeypatch, explanation, scale="shared"))
    assert words.endswith(f"0 {explanation.maps.max():.2g} relevance in one cell")
    assert "%" not in words


def test_matrix_of_what_is_written_does_not_speak_of_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    explanation = dataclasses.replace(decoder_self(), method="value-norm", quantity="length of what is written")
    words = words_of(layout_of(monkeypatch, explanation, style="heatmap"))
    assert "the queries that they take from" in words
    assert "length of what is written" in words


@pytest.mark.parametrize("style", [*STYLES, "points"])
@pytest.mark.parametrize("explanation", [sampled(3), sampled_encoder()], ids=["cross", "encoder"])
def test_every_style_of_sampled_attention(
    explanation: Explanation, style: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = words_of(layout_of(monkeypatch, explanation, style=style))
    assert "Sampled" in words
    assert words.count("outside the picture") >= 1
    assert png_bytes(render(explanation, style=style)) == png_bytes(render(explanation, style=style))


@pytest.mark.parametrize("size", [(1, 1), (32, 24), (10, 2000), (2000, 10), (640, 480)])
def test_any_picture_size_gives_a_sheet_of_points(size: tuple[int, int]) -> None:
    sheet = render(sampled(2, photo(*size)), style="points")
    assert 150 <= min(sheet.size) <= max(sheet.size) <= 4000


def test_points_of_maps_without_samples_are_told() -> None:
    with pytest.raises(ChoiceError, match=r"style points has no samples to draw for decoder\.5\.cross"):
        render(cross(2), style="points")


def test_legend_of_points_says_levels_sizes_and_the_cross(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = layout_of(monkeypatch, sampled(2), style="points")
    words = words_of(layout)
    assert "level 0 · stride 8 level 1 · stride 16 level 2 · stride 32 level 3 · stride 64" in words
    assert words.endswith("the panel's heaviest point 1/4 1/16 of it · × reference point")
    assert layout.bar is None
    assert len(layout.dots) == 4 + 3


def test_dots_of_the_legend_are_as_large_as_those_of_the_panels(monkeypatch: pytest.MonkeyPatch) -> None:
    for options in ({}, {"panel_px": 240}, {"sheet_px": 700}):
        layout = layout_of(monkeypatch, sampled(2), style="points", **options)
        side = (layout.picture_size[0] * layout.picture_size[1]) ** 0.5
        assert layout.dots[4].radius == pytest.approx(side * largest_radius(32))
