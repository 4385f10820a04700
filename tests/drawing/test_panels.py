"""One map at the original picture's size, for export."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detr_attnviz.drawing.annotate import visible_box
from detr_attnviz.drawing.colormap import color_at, table
from detr_attnviz.drawing.options import DrawingOptions
from detr_attnviz.drawing.panels import ceilings, draw_one, heatmap_one, panel_picture
from detr_attnviz.errors import ChoiceError
from tests.drawing.scenes import cross, decoder_self, encoder, photo, terms


@given(width=st.integers(1, 90), height=st.integers(1, 90), style=st.sampled_from(["overlay", "heatmap", "contour"]))
def test_size_is_the_pictures(width: int, height: int, style: str) -> None:
    assert draw_one(cross(1, photo(width, height)), 0, style=style).size == (width, height)


def test_alpha_zero_without_box_is_the_picture() -> None:
    explanation = cross(1)
    assert draw_one(explanation, 0, alpha=0.0, box=False).tobytes() == explanation.image.tobytes()


def test_zero_map_without_box_is_the_picture() -> None:
    explanation = cross(maps=np.zeros((1, 3, 4), dtype=np.float32))
    assert draw_one(explanation, 0, box=False).tobytes() == explanation.image.tobytes()


@pytest.mark.parametrize("style", ["heatmap", "pair"])
def test_maps_on_sheets_show_the_box_thinly(style: str) -> None:
    explanation = cross(1, photo(400, 300), maps=np.zeros((1, 3, 4), dtype=np.float32))
    marked, plain = (
        panel_picture(explanation, 0, DrawingOptions(style=style, box=box), explanation.image, 0.0)  # type: ignore[arg-type]
        for box in (True, False)
    )
    place = visible_box(explanation.detections[0].box, (400, 300))
    assert place is not None
    upper = (0, 0, 400, 300)  # of a pair: the map
    changed = np.asarray(marked.crop(upper)).astype(int) - np.asarray(plain.crop(upper))
    rows, cols = np.nonzero(changed.any(axis=2))
    assert (cols.min(), rows.min(), cols.max() + 1, rows.max() + 1) == place
    assert (np.asarray(marked.crop(upper)) == 255).all(axis=2).any()


def test_box_changes_only_its_own_outline() -> None:
    explanation = cross(1, photo(200, 150))
    with_box = np.asarray(draw_one(explanation, 0)).astype(int)
    without = np.asarray(draw_one(explanation, 0, box=False)).astype(int)
    rows, cols = np.nonzero((with_box != without).any(axis=2))
    place = visible_box(explanation.detections[0].box, (200, 150))
    assert place is not None
    assert (cols.min(), rows.min(), cols.max() + 1, rows.max() + 1) == place


def test_heatmap_is_a_palette_picture_whose_peak_has_the_tables_last_colour() -> None:
    explanation = cross(1)
    drawn = heatmap_one(explanation, 0, smooth="nearest")
    assert (drawn.mode, drawn.size) == ("P", explanation.image.size)
    row, col = np.unravel_index(explanation.maps[0].argmax(), (3, 4))
    assert drawn.convert("RGB").getpixel((int(col) * 16 + 8, int(row) * 16 + 8)) == tuple(table("inferno")[255])


def test_heatmap_with_nan_is_hatched() -> None:
    maps = cross(1).maps.copy()
    maps[0, 0, 0] = np.nan
    drawn = heatmap_one(cross(maps=maps), 0)
    assert drawn.mode == "RGB"
    red, green, blue = np.asarray(drawn)[2, 2].tolist()
    assert red == green == blue


def test_draw_one_as_heatmap_is_heatmap_one() -> None:
    explanation = cross(2)
    assert draw_one(explanation, 1, style="heatmap").tobytes() == heatmap_one(explanation, 1).tobytes()


def test_shared_scale_looks_at_all_maps() -> None:
    maps = np.zeros((2, 3, 4), dtype=np.float32)
    maps[0, 1, 1], maps[1, 1, 1] = 0.1, 0.4
    faint = heatmap_one(cross(maps=maps), 0, scale="shared", smooth="nearest")
    assert np.asarray(faint).max() == 64  # 255 / 4, rounded


def test_pair_puts_wide_pictures_below_and_tall_ones_beside_each_other() -> None:
    wide, tall = draw_one(cross(1, photo(64, 48)), 0, style="pair"), draw_one(cross(1, photo(48, 64)), 0, style="pair")
    assert wide.width == 64
    assert wide.height > 2 * 48
    assert tall.height == 64
    assert tall.width > 2 * 48


def test_point_is_marked_where_it_is() -> None:
    marked, plain = (np.asarray(draw_one(encoder(), 0, box=box)).astype(int) for box in (True, False))
    rows, cols = np.nonzero((marked != plain).any(axis=2))
    assert (cols.min() + cols.max()) / 2 == pytest.approx(10, abs=1)
    assert (rows.min() + rows.max()) / 2 == pytest.approx(20, abs=1)


def test_listening_draws_the_strongest_other_boldly() -> None:
    maps = np.zeros((1, 12), dtype=np.float32)
    maps[0, 0], maps[0, 1], maps[0, 2] = 0.5, 0.4, 0.01
    explanation = dataclasses.replace(decoder_self(1, 12, image=photo(400, 300)), maps=maps)
    drawn = draw_one(explanation, 0)
    assert drawn.size == (400, 300)
    nobody = dataclasses.replace(explanation, maps=np.zeros((1, 12), dtype=np.float32))
    assert draw_one(nobody, 0).tobytes() != drawn.tobytes()


def test_own_weight_does_not_flatten_the_others() -> None:
    maps = np.zeros((1, 12), dtype=np.float32)
    maps[0, 0], maps[0, 1], maps[0, 2] = 0.9, 0.04, 0.02
    explanation = dataclasses.replace(decoder_self(1, 12, image=photo(400, 300)), maps=maps)
    assert ceilings(explanation, DrawingOptions()) == [pytest.approx(0.04)]
    strongest = color_at("inferno", 240)
    assert (np.asarray(draw_one(explanation, 0)) == strongest).all(axis=2).any()


def test_no_more_than_the_five_strongest_others_are_drawn() -> None:
    explanation = decoder_self(1, 12, image=photo(400, 300))
    ranked = np.argsort(-explanation.maps[0, 1:]) + 1
    maps = explanation.maps.copy()
    maps[0, ranked[5:]] = 0
    fewer = dataclasses.replace(explanation, maps=maps)
    assert draw_one(fewer, 0).tobytes() == draw_one(explanation, 0).tobytes()


def test_small_picture_is_not_buried_under_labels() -> None:
    small = np.asarray(draw_one(decoder_self(1, 12, image=photo(64, 64)), 0))
    assert (small == 255).all(axis=2).mean() < 0.2
    names = decoder_self(1, 12, ("otter",), photo(64, 64))
    assert draw_one(names, 0).tobytes() == draw_one(decoder_self(1, 12, image=photo(64, 64)), 0).tobytes()


def test_missing_map_is_told() -> None:
    with pytest.raises(ChoiceError, match=r"map 2 does not exist: maps are 0–1"):
        draw_one(cross(2), 2)


def test_decoder_self_has_no_heatmap_over_the_picture() -> None:
    with pytest.raises(ChoiceError, match=r"over queries.*overlay"):
        heatmap_one(decoder_self(), 0)


@pytest.mark.parametrize("style", ["overlay", "heatmap", "pair", "contour"])
def test_explanation_is_left_as_it_was(style: str) -> None:
    explanation = cross(1)
    image, maps = explanation.image.tobytes(), explanation.maps.copy()
    draw_one(explanation, 0, style=style)
    assert explanation.image.tobytes() == image
    np.testing.assert_array_equal(explanation.maps, maps)


def test_signed_heatmap_has_the_end_colours_at_its_peaks_and_grey_at_zero() -> None:
    maps = np.zeros((4, 3, 4), dtype=np.float32)
    maps[0, 0, 0], maps[0, 2, 3] = -2, 2
    drawn = heatmap_one(terms(1, maps=maps), 0, smooth="nearest").convert("RGB")
    colors = [drawn.getpixel(place) for place in ((8, 8), (56, 40), (40, 8))]
    assert colors == [color_at("coolwarm", level) for level in (1, 255, 128)]


def test_terms_of_a_query_share_their_range_and_queries_do_not() -> None:
    maps = np.zeros((8, 3, 4), dtype=np.float32)
    maps[1, 0, 0], maps[2, 0, 0], maps[5, 1, 1] = -3, 1, 0.5
    explanation = terms(2, maps=maps)
    assert ceilings(explanation, DrawingOptions()) == [3, 3, 3, 3, 0.5, 0.5, 0.5, 0.5]
    assert ceilings(explanation, DrawingOptions(scale="shared")) == [3] * 8


def test_zero_signed_map_without_box_is_the_picture() -> None:
    explanation = terms(1, maps=np.zeros((4, 3, 4), dtype=np.float32))
    assert draw_one(explanation, 0, box=False).tobytes() == explanation.image.tobytes()


def test_cells_without_a_number_are_hatched_in_signed_maps() -> None:
    maps = terms(1).maps.copy()
    maps[0, 0, 0] = -np.inf
    red, green, blue = np.asarray(heatmap_one(terms(1, maps=maps), 0))[2, 2].tolist()
    assert red == green == blue


def test_signed_maps_have_no_contours() -> None:
    with pytest.raises(ChoiceError, match=r"style contour.*below zero.*overlay, heatmap or pair"):
        draw_one(terms(1), 0, style="contour")


@pytest.mark.parametrize("style", ["overlay", "heatmap", "pair"])
def test_colour_map_of_signed_maps_can_be_chosen(style: str) -> None:
    usual, same, other = (
        draw_one(terms(1), 0, style=style, cmap=cmap).convert("RGB").tobytes() for cmap in (None, "coolwarm", "PuOr")
    )
    assert usual == same != other
