"""The page in windows of all sizes, and by day and night."""

from typing import TYPE_CHECKING

import pytest

from tests.explorer.browser import OpenPage
from tests.explorer.interface import album_html, demo_html, on_screen, settled, state

if TYPE_CHECKING:
    from playwright.sync_api import Page


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
