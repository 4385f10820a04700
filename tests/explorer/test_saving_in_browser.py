"""The picture that a reader saves, and the link that is copied."""

import dataclasses
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from detr_attnviz.drawing.colormap import table
from detr_attnviz.drawing.overlay import levels, overlay
from detr_attnviz.drawing.text import clean
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
    assert picture.width == 2 * 512, "a small picture is saved twice as large"
    assert 1024 + 60 < picture.height < 1024 + 260
    strip = np.asarray(picture.convert("L"))[1024:]
    assert strip.max() == 255
    assert (strip < 120).mean() > 0.01, "there are words in the strip"
    says(page, f"Saved {name}", "#toast")


def test_the_map_is_the_one_that_python_draws(open_page: OpenPage) -> None:
    page = open_page(demo_html(), at="#v=encoder&at=301.5,103.5&b=0&l=3&h=2")
    settled(page, view="encoder", layer=3, head=2)
    name, picture = saved(page)
    assert name == "shapes_square_encoder_302-104_layer-3_head-2.png"
    trace = demo_trace()
    own = np.asarray(picture.convert("RGB"), dtype=np.int16)[:1024]
    bare = (
        saved(open_page(demo_html(), at="#v=encoder&at=301.5,103.5&b=0&a=0"))[1].convert("RGB").crop((0, 0, 1024, 1024))
    )
    found = explain(trace, kind="encoder", layer=3, head=2, points=(301.5, 103.5))
    drawn = levels(found.maps[0], trace.grid, (1024, 1024), float(found.maps[0].max()))
    true = np.asarray(overlay(bare, drawn, "inferno"), dtype=np.int16)
    apart = np.abs(own - true).max(-1)
    left, top, right, bottom = (round(2 * place) for place in trace.grid.cell_box(trace.grid.token_at(301.5, 103.5)))
    apart[top - 6 : bottom + 6, left - 6 : right + 6] = 0  # the outline of the chosen cell
    # Browsers keep colours multiplied by their opacity, in whole numbers: where it is low a level or two are lost.
    assert np.percentile(apart, 99.9) <= 3
    assert float(np.abs(true - np.asarray(bare, dtype=np.int16)).max(-1).mean()) > 20, "the map is seen"


def test_boxes_and_their_colours_are_saved(open_page: OpenPage) -> None:
    with_boxes = saved(open_page(demo_html(), at="#a=0"))[1]
    without = saved(open_page(demo_html(), at="#a=0&b=0"))[1]
    left, top, _, bottom = demo_trace().detections[18].box
    line = slice(2 * round(top) + 60, 2 * round(bottom) - 60), slice(2 * round(left) - 1, 2 * round(left) + 8)
    boxed, plain = (np.asarray(picture.convert("RGB"), np.int16)[line] for picture in (with_boxes, without))
    assert np.abs(boxed - plain).max() > 60
    picture = np.asarray(demo_trace().image.resize((1024, 1024)), np.int16)[line]
    assert np.abs(plain - picture).mean() < 3


def test_decoder_self_attention_is_saved_with_shares(open_page: OpenPage) -> None:
    page = open_page(demo_html(), at="#v=decoder-self&q=18")
    settled(page, view="decoder-self", query=18)
    name, picture = saved(page)
    assert name == "shapes_square_decoder-self_query-18_layer-5_mean.png"
    dimmed = np.asarray(picture.convert("L"), np.float64)[960:1020, 20:120].mean()
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
    assert picture.width == 2 * demo_trace("landscape").image.width


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
    assert picture.width == 1024


def test_pictures_with_folders_in_their_names(open_page: OpenPage) -> None:
    traces = [dataclasses.replace(demo_trace(), source=f"/photos/{folder}/x.png") for folder in ("a.b", "c")]
    page = open_page(explore(traces).html)
    assert page.locator("#picture option").all_inner_texts() == ["a.b/x.png", "c/x.png"]
    assert saved(page)[0] == "a.b-x_cross_query-10_layer-5_mean.png"
    page.select_option("#picture", label="c/x.png")
    settled(page, picture=1)
    assert page.evaluate(FILE_NAME).startswith("c-x_cross_")
    page.click("#open-details")
    says(page, "c/x.png", "#details")
    assert "read from" not in page.inner_text("#details")


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ("#q=18&h=2", {"site": "decoder.5.cross", "head": "2", "method": "raw", "query": "18", "kind": "cross"}),
        ("#v=encoder&at=301.5,103.5&l=3", {"site": "encoder.3.self", "head": "mean", "point": "301.5,103.5"}),
        ("#v=decompose", {"site": "decoder.5.cross", "method": "decompose", "term": "content · content"}),
    ],
)
def test_the_picture_carries_its_provenance(open_page: OpenPage, at: str, told: dict[str, str]) -> None:
    info = saved(open_page(album_html(), at=at))[1].info
    assert {name: info.get(name) for name in told} == told
    about = demo_detector().provenance
    assert {name: info[name] for name in about} == about
    assert info["picture"] == "shapes_square.png"


def test_hostile_names_are_whole_inside_the_picture(open_page: OpenPage) -> None:
    trace = renamed(demo_trace(), dict.fromkeys(demo_detector().class_names, HOSTILE))
    picture = saved(open_page(explore(trace).html))[1]
    picture.load()
    assert picture.info["name"] == clean(HOSTILE)


@pytest.mark.parametrize("at", ["#w=1", "#v=decoder-self", "#v=decoder-self&r=all"])
def test_what_stands_beside_the_picture_is_saved_below_it(open_page: OpenPage, at: str) -> None:
    page = open_page(demo_html(), at=at, size=(900, 600))
    picture = saved(page)[1].convert("RGB")
    assert picture.width == 1024
    beside = np.asarray(picture, np.int16)[1024::3, ::3]
    bright = table("inferno")[120:].astype(np.int16)
    near = np.abs(beside[:, :, None, :] - bright).max(-1).min(-1) <= 2
    rows = np.flatnonzero(near.any(axis=1))
    assert 3 * np.ptp(rows) > 400, "cells in bright colours of the colour map from top to bottom"


def test_what_stands_beside_a_tall_picture_is_saved_beside_it(open_page: OpenPage) -> None:
    tall = demo_trace().image.resize((100, 2400))
    trace = demo_detector().trace(tall)
    alone = saved(open_page(explore(trace).html))[1]
    picture = saved(open_page(explore(trace).html, at="#w=1"))[1].convert("L")
    assert abs(picture.height - alone.height) < 100
    assert np.asarray(picture)[100:700, 80:].min() < 30, "maps are dark where nothing is looked at"
    assert np.asarray(alone.convert("L"))[100:700, 80:].min() == 255


def test_boxes_of_decoder_self_attention_have_a_scale(open_page: OpenPage) -> None:
    page = open_page(demo_html(), at="#v=decoder-self&q=18")
    settled(page, view="decoder-self", query=18)
    shares = explain(demo_trace(), kind="decoder-self", queries=[18]).maps[0].flatten()
    shares[18] = 0
    assert page.inner_text("#bar-low") == "0"
    assert page.inner_text("#bar-high").rstrip("\u00a0%") == f"{100 * float(shares.max()):.1f}"
    drawn = page.evaluate(
        """() => {
            const bar = new OffscreenCanvas(256, 1).getContext("2d", { willReadFrequently: true });
            bar.drawImage(document.getElementById("bar-canvas"), 0, 0);
            const table = attnviz.colour.table("inferno");
            const at = (row) => Array.from(table.subarray(3 * row, 3 * row + 3));
            const seen = (x) => Array.from(bar.getImageData(x, 0, 1, 1).data.slice(0, 3));
            return [seen(0), at(110), seen(255), at(240)];
        }"""
    )
    assert drawn[0] == drawn[1]
    assert drawn[2] == drawn[3]


def test_of_a_page_on_disk_only_what_others_can_use_is_copied(open_page: OpenPage) -> None:
    page = open_page(demo_html(), at="#q=18")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.keyboard.press("[")
    page.keyboard.press("2")
    page.click("#copy")
    says(page, "it goes with the file", "#toast")
    assert page.evaluate("navigator.clipboard.readText()") == "#q=18&l=4&h=2"


def test_the_link_that_is_copied_opens_the_same_view(open_page: OpenPage) -> None:
    context = open_page(demo_html()).context
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.route("https://pages.test/**", lambda route: route.fulfill(body=demo_html(), content_type="text/html"))
    page = context.new_page()
    page.goto("https://pages.test/demo.html#q=18")
    settled(page, query=18)
    page.keyboard.press("2")
    page.click("#copy")
    says(page, "Link copied", "#toast")
    address = page.evaluate("navigator.clipboard.readText()")
    assert address == "https://pages.test/demo.html#q=18&h=2"
    page.goto("about:blank")
    page.goto(address)
    settled(page, query=18, head=2)


@pytest.mark.parametrize("size", [(1366, 768), (1024, 768), (500, 900)])
def test_what_is_said_covers_nothing_that_can_be_pressed(open_page: OpenPage, size: tuple[int, int]) -> None:
    page = open_page(demo_html(), size=size)
    saved(page)
    says(page, "Saved", "#toast")
    covered = """() => {
        const toast = document.getElementById("toast").getBoundingClientRect();
        const isUnder = (one) => one.left < toast.right && toast.left < one.right
            && one.top < toast.bottom && toast.top < one.bottom;
        return Array.from(document.querySelectorAll("button, input, select, li"))
            .map((part) => [part.id || part.textContent, part.getBoundingClientRect()])
            .filter(([, place]) => place.width && isUnder(place)).map(([name]) => name);
    }"""
    assert page.evaluate(covered) == []
