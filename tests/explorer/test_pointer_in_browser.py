"""What the pointer is on, when the page changes under it."""

import pytest

from tests.explorer.browser import OpenPage
from tests.explorer.interface import album_html, demo_html, demo_trace, hover, listed, middle, says, settled

TRIANGLE, RING, UNLISTED = 10, 18, 3


@pytest.mark.parametrize("at", ["", "#v=encoder"])
def test_another_picture_takes_back_what_was_previewed(open_page: OpenPage, at: str) -> None:
    page = open_page(album_html(), at=at)
    hover(page, *middle(demo_trace(), RING))
    page.wait_for_function("() => attnviz.state.get().preview && attnviz.state.get().cursor")
    page.evaluate("attnviz.state.set({ picture: 1 })")
    page.wait_for_function("() => attnviz.state.get().picture === 1")
    now = page.evaluate("(({ preview, cursor, column }) => [preview, cursor, column])(attnviz.state.get())")
    assert now == [None, None, None]


def test_a_preview_that_is_no_longer_listed_is_taken_back(open_page: OpenPage) -> None:
    page = open_page(demo_html(), at="#t=0")
    settled(page, query=TRIANGLE)
    assert UNLISTED in listed(page)
    page.evaluate("query => attnviz.state.set({ preview: { query } })", UNLISTED)
    says(page, f"query {UNLISTED} ")
    page.evaluate("attnviz.state.set({ threshold: 0.7 })")
    settled(page, threshold=0.7, preview=None)
    assert UNLISTED not in listed(page)
    says(page, "triangle 1.00")


def test_a_preview_that_the_labels_leave_out_is_taken_back(open_page: OpenPage) -> None:
    page = open_page(demo_html())
    page.evaluate("query => attnviz.state.set({ preview: { query } })", RING)
    says(page, "ring 1.00")
    page.evaluate("attnviz.state.set({ labels: ['triangle'] })")
    settled(page, preview=None)
    says(page, "triangle 1.00")


def test_the_matrix_keeps_only_columns_that_it_has(open_page: OpenPage) -> None:
    page = open_page(demo_html(), at="#v=decoder-self&r=all")
    page.evaluate("([query, column]) => attnviz.state.set({ preview: { query }, column })", [UNLISTED, UNLISTED])
    settled(page, preview={"query": UNLISTED}, column=UNLISTED)
    says(page, "In the matrix", "#reading")
    page.click("#matrix-rows >> text=listed")
    settled(page, rows="kept", preview=None, column=None)
    says(page, "Listened to most", "#reading")


def test_a_place_on_the_very_edge_is_inside(open_page: OpenPage) -> None:
    page = open_page(demo_html(), at="#v=encoder")
    page.evaluate("attnviz.state.set({ point: [-0.4, 512] })")
    page.wait_for_function("() => attnviz.state.get().point[0] === 0")
    says(page, "What (0, 511) attends to")
    says(page, "peak")
