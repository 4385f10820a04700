"""The picture that a reader saves, and the link that is copied."""

import dataclasses
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from detr_attnviz.drawing.overlay import levels, overlay
from detr_attnviz.explorer.page import explore
from detr_attnviz.methods.explain import explain
from tests.explorer.browser import OpenPage
from tests.explorer.interface import (
    HOSTILE,
    album_html,
    demo_detector,
    demo_html,
    demo_trace,
    renamed,
    sampled_html,
    says,
    settled,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page


FILE_NAME = "attnviz.save.fileName(attnviz.shown.now())"


def saved(page: "Page") -> tuple[str, Image.Image]:
    """Name and picture of what is saved."""
    with page.expect_download() as found:
        page.click("#save")
    path = found.value.path()
    return found.value.suggested_filename, Image.open(io.BytesIO(Path(path).read_bytes()))


def test_the_picture_has_its_full_size_and_a_strip_below(open_page: OpenPage) -> None:
    page = open_page(demo_html(), size=(800, 600))
    name, picture = saved(page)
    assert name == "shapes_square_cross_query-10_layer-5_mean.png"
    assert picture.format == "PNG"
    assert picture.width == 512
    assert 512 + 60 < picture.height < 512 + 260
    strip = np.asarray(picture.convert("L"))[512:]
    assert strip.max() == 255
    assert (strip < 120).mean() > 0.01, "there are words in the strip"
    says(page, f"Saved {name}", "#toast")


def test_the_map_is_the_one_that_python_draws(open_page: OpenPage) -> None:
    page = open_page(demo_html(), at="#v=encoder&at=301.5,103.5&b=0&l=3&h=2")
    settled(page, view="encoder", layer=3, head=2)
    name, picture = saved(page)
    assert name == "shapes_square_encoder_302-104_layer-3_head-2.png"
    trace = demo_trace()
    own = np.asarray(picture.convert("RGB"), dtype=np.int16)[:512]
    found = explain(trace, kind="encoder", layer=3, head=2, points=(301.5, 103.5))
    drawn = levels(found.maps[0], trace.grid, (512, 512), float(found.maps[0].max()))
    true = np.asarray(overlay(trace.image, drawn, "inferno"), dtype=np.int16)
    apart = np.abs(own - true).max(-1)
    left, top, right, bottom = (round(place) for place in trace.grid.cell_box(trace.grid.token_at(301.5, 103.5)))
    apart[top - 4 : bottom + 4, left - 4 : right + 4] = 0  # the outline of the chosen cell
    # Browsers keep colours multiplied by their opacity, in whole numbers: where it is low a level or two are lost.
    assert np.percentile(apart, 99.9) <= 3
    assert float(np.abs(true - np.asarray(trace.image, dtype=np.int16)).max(-1).mean()) > 20, "the map is seen"


def test_boxes_and_their_colours_are_saved(open_page: OpenPage) -> None:
    with_boxes = saved(open_page(demo_html(), at="#a=0"))[1]
    without = saved(open_page(demo_html(), at="#a=0&b=0"))[1]
    left, top, _, bottom = demo_trace().detections[18].box
    line = slice(round(top) + 30, round(bottom) - 30), slice(round(left) - 1, round(left) + 4)
    boxed, plain = (np.asarray(picture.convert("RGB"), np.int16)[line] for picture in (with_boxes, without))
    assert np.abs(boxed - plain).max() > 60
    picture = np.asarray(demo_trace().image, np.int16)[line]
    np.testing.assert_array_equal(plain, picture)


def test_decoder_self_attention_is_saved_with_shares(open_page: OpenPage) -> None:
    page = open_page(demo_html(), at="#v=decoder-self&q=18")
    settled(page, view="decoder-self", query=18)
    name, picture = saved(page)
    assert name == "shapes_square_decoder-self_query-18_layer-5_mean.png"
    dimmed = np.asarray(picture.convert("L"), np.float64)[480:510, 10:60].mean()
    assert dimmed == pytest.approx(0.75 * np.asarray(demo_trace().image.convert("L"))[480:510, 10:60].mean(), rel=0.02)


def test_a_large_picture_is_saved_as_large_as_it_is_in_the_page(open_page: OpenPage) -> None:
    large = demo_trace().image.resize((2000, 1000))
    page = open_page(explore(demo_detector().trace(large)).html, size=(700, 500))
    assert saved(page)[1].width == 1600


def test_a_methods_map_is_saved(open_page: OpenPage) -> None:
    page = open_page(album_html(), at="#v=decompose&p=1")
    settled(page, view="decompose", picture=1)
    name, picture = saved(page)
    assert name.startswith("shapes_landscape_decompose_query-")
    assert picture.width == demo_trace("landscape").image.width


@pytest.mark.parametrize(
    ("at", "name"),
    [
        ("#v=encoder&at=301.5,103.5&d=to", "shapes_square_encoder_to-302-104_layer-5_mean.png"),
        ("#v=decompose", "shapes_square_decompose_query-10_content-content.png"),
        ("#v=decompose&m=content%20%C2%B7%20position", "shapes_square_decompose_query-10_content-position.png"),
    ],
)
def test_each_view_has_its_own_file_name(open_page: OpenPage, at: str, name: str) -> None:
    assert open_page(album_html(), at=at).evaluate(FILE_NAME) == name


@pytest.mark.parametrize(
    ("at", "end"),
    [
        ("#e=1", "_layer-2_mean_level-1.png"),
        ("#v=encoder&at=9,9&pl=2&l=0&h=1", "_encoder_9-9-of-level-2_layer-0_head-1.png"),
    ],
)
def test_levels_are_in_file_names(open_page: OpenPage, at: str, end: str) -> None:
    name = open_page(sampled_html(), at=at).evaluate(FILE_NAME)
    assert name.startswith("shapes_square_")
    assert name.endswith(end)


def test_a_long_name_leaves_room_for_what_is_shown(open_page: OpenPage) -> None:
    trace = dataclasses.replace(demo_trace(), source=f"{'long' * 60}.png")
    name = open_page(explore(trace).html, at="#h=3").evaluate(FILE_NAME)
    assert name == f"{'long' * 15}_cross_query-10_layer-5_head-3.png"


def test_hostile_names_make_harmless_file_names(open_page: OpenPage) -> None:
    trace = renamed(demo_trace(), {"triangle": HOSTILE})
    object.__setattr__(trace, "source", "../../etc/pass:wd <b>.png")
    name, picture = saved(open_page(explore(trace).html))
    assert name.endswith("_cross_query-10_layer-5_mean.png")
    assert not set(name) & set('/\\:<>"|?* ')
    assert picture.width == 512


def test_the_link_that_is_copied_opens_the_same_view(open_page: OpenPage) -> None:
    page = open_page(demo_html(), at="#q=18")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.keyboard.press("[")
    page.keyboard.press("2")
    page.click("#copy")
    says(page, "Link copied", "#toast")
    address = page.evaluate("navigator.clipboard.readText()")
    assert address.endswith(".html#q=18&l=4&h=2")
    page.goto("about:blank")
    page.goto(address)
    settled(page, query=18, layer=4, head=2)
