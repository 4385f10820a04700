"""The page in windows of all sizes, and by day and night."""

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from detr_attnviz.explorer.page import explore
from tests.explorer.browser import OpenPage
from tests.explorer.interface import album_html, demo_detector, demo_html, demo_trace, on_screen, settled, state

if TYPE_CHECKING:
    from playwright.sync_api import FloatRect, Page


def test_light_and_dark(open_page: OpenPage) -> None:
    dark = open_page(demo_html(), theme="dark")
    light = open_page(demo_html(), theme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    night, day = dark.evaluate(ground), light.evaluate(ground)
    assert night != day
    light.click("#theme >> text=dark")
    settled(light, theme="dark")
    assert light.evaluate(ground) == night
    dark.click("#theme >> text=light")
    settled(dark, theme="light")
    assert dark.evaluate(ground) == day


@pytest.mark.parametrize("size", [(1366, 768), (1920, 1080), (1024, 768)])
@pytest.mark.parametrize("at", ["", "#w=1", "#v=decoder-self&w=1&t=0"])
def test_a_laptop_and_a_projector_need_no_scrolling(open_page: OpenPage, size: tuple[int, int], at: str) -> None:
    page = open_page(album_html(), at=at, size=size)
    settled(page, picture=0)
    scrolled = (
        "[document.documentElement.scrollWidth - innerWidth, document.documentElement.scrollHeight - innerHeight]"
    )
    assert page.evaluate(scrolled) == [0, 0]
    left, top = on_screen(page, 0, 0)
    right, bottom = on_screen(page, 512, 512)
    assert 0 <= left < right <= size[0]
    assert 0 <= top < bottom <= size[1]
    assert right - left > 200


def test_a_narrow_window_scrolls_down_only(open_page: OpenPage) -> None:
    page = open_page(album_html(), at="#w=1", size=(500, 900))
    settled(page, wall=True)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.click('#wall-buttons button[aria-label="layer 1, head 3 alone"]')
    settled(page, layer=1, head=3)
    page.click("#theme >> text=dark")
    settled(page, theme="dark")


def test_the_picture_fills_its_room_whatever_changes(open_page: OpenPage) -> None:
    page = open_page(album_html())
    for change in ("wall: true", "view: 'decoder-self'", "picture: 1", "wall: false", "view: 'cross'"):
        page.evaluate(f"attnviz.state.set({{ {change} }})")
        settled(page)
        check_fit(page)
    page.set_viewport_size({"width": 900, "height": 620})
    settled(page)
    check_fit(page)
    assert state(page)["picture"] == 1


def check_fit(page: "Page") -> None:
    """The picture lies inside its stage, and touches it at two edges."""
    stage, frame = (page.locator(where).bounding_box() for where in ("#stage", "#frame"))
    assert stage is not None
    assert frame is not None
    spare = stage["width"] - frame["width"], stage["height"] - frame["height"]
    assert min(spare) >= 0
    assert min(spare) < 2
    assert frame["width"] > 150


def test_the_wall_of_a_very_tall_picture_is_all_in_view(open_page: OpenPage) -> None:
    trace = demo_detector().trace(demo_trace().image.resize((100, 2400)))
    page = open_page(explore(trace).html, at="#w=1")
    settled(page, wall=True)
    aside = box_of(page, "#aside")
    tiles = [button.bounding_box() for button in page.locator("#wall-buttons button").all()]
    assert len(tiles) == 6 * 9
    for tile in tiles:
        assert tile is not None
        assert tile["y"] + tile["height"] <= aside["y"] + aside["height"]
        assert tile["width"] >= 12
    words = page.locator("#wall-columns span").evaluate_all(
        """spans => spans.map((span) => {
            const text = document.createRange();
            text.selectNodeContents(span);
            const { left, right } = text.getBoundingClientRect();
            return [left, right];
        })"""
    )
    assert all(left - right > 3 for (_, right), (left, _) in pairwise(words))


def test_the_chosen_tile_is_brought_into_view(open_page: OpenPage) -> None:
    page = open_page(demo_html(), at="#w=1&v=decoder-self&r=all&l=0", size=(1000, 420))
    settled(page, layer=0)
    page.evaluate("attnviz.state.set({ layer: 5 })")
    settled(page, layer=5)
    aside, tile = box_of(page, "#aside"), box_of(page, '#wall-buttons button[aria-pressed="true"]')
    assert tile["y"] + tile["height"] <= aside["y"] + aside["height"] + 1
    page.evaluate("document.getElementById('aside').scrollTop = 0")
    page.mouse.move(*on_screen(page, 100, 100))
    settled(page, layer=5)
    assert page.evaluate("document.getElementById('aside').scrollTop") == 0, "whoever scrolls away stays there"


def box_of(page: "Page", where: str) -> "FloatRect":
    found = page.locator(where).bounding_box()
    assert found is not None
    return found
