"""The state is in the address, and comes back from it."""

from typing import Any

import pytest

from detr_attnviz.explorer.page import explore
from tests.explorer.browser import OpenPage
from tests.explorer.interface import (
    album_html,
    demo_html,
    demo_trace,
    listed,
    renamed,
    sampled_html,
    says,
    settled,
    state,
)

CHOICES: dict[str, Any] = {
    "picture": 1,
    "view": "encoder",
    "query": 4,
    "point": [123.4, 56.7],
    "direction": "to",
    "layer": 2,
    "head": 5,
    "cmap": "viridis",
    "alpha": 0.35,
    "smooth": "nearest",
    "threshold": 0.15,
    "labels": ["triangle", "heart"],
    "theme": "dark",
    "wall": True,
    "scale": "shared",
    "rows": "all",
    "boxes": False,
    "follow": False,
}


def test_all_choices_come_back(open_page: OpenPage) -> None:
    page = open_page(album_html())
    settled(page)
    page.evaluate(
        "choices => { const { picture, ...rest } = choices; attnviz.state.set({ picture }); attnviz.state.set(rest); }",
        CHOICES,
    )
    settled(page, **CHOICES)
    page.wait_for_url("**/*#p=1&v=encoder*f=0")
    address = page.evaluate("attnviz.state.address()")
    assert page.url == address
    page.reload()
    settled(page, **CHOICES)
    says(page, "Who attends to (123, 56)")
    again = open_page(album_html(), at=address[address.index("#") :])
    settled(again, **CHOICES)


def test_choices_of_sampled_attention_come_back(open_page: OpenPage) -> None:
    choices: dict[str, Any] = {"view": "encoder", "level": 1, "pointLevel": 2, "dots": True}
    page = open_page(sampled_html())
    settled(page)
    page.evaluate("choices => attnviz.state.set(choices)", choices)
    page.wait_for_url("**/*points=1*")
    page.reload()
    settled(page, **choices)


def test_terms_come_back(open_page: OpenPage) -> None:
    page = open_page(album_html(), at="#v=decompose")
    page.click("#term >> text=position · content")
    page.wait_for_url("**/*&m=*")
    page.reload()
    settled(page, view="decompose", term="position · content")


def test_nothing_chosen_is_an_empty_address(open_page: OpenPage) -> None:
    page = open_page(demo_html())
    settled(page)
    assert "#" not in page.url
    page.keyboard.press("[")
    page.wait_for_url("**/*#l=4")


@pytest.mark.parametrize(
    "at",
    [
        "#p=9&v=nowhere&q=999&at=9000,5&l=77&h=12&e=3&c=rainbow&a=7&t=-1&s=cubic&theme=pink&w=2&n=nobody",
        "#p=-1&q=1.5&at=5&l=x&h=&a=NaN&t=1e9&n=%E0%A4%A",
        "#v=__proto__&h=toString&e=constructor&c=__proto__&m=valueOf&pl=-3",
        "#v=decompose&m=nothing&d=to&v",
        "#=&&&==&%%%",
        "#<script>alert(1)</script>",
    ],
)
def test_impossible_values_fall_back(open_page: OpenPage, at: str) -> None:
    page = open_page(demo_html(), at=at)
    settled(page, picture=0, view="cross", query=10, layer=5, head="mean", level="all", alpha=0.8, threshold=0.7)
    settled(page, point=[256, 256], direction="from", term="", cmap="", smooth="bicubic", theme="auto", labels=[])
    says(page, "triangle 1.00")


def test_a_direction_that_the_view_lacks_falls_back(open_page: OpenPage) -> None:
    page = open_page(demo_html(), at="#v=encoder&d=to&h=entropy-weighted")
    settled(page, direction="to", head="mean")
    page.keyboard.press("c")
    settled(page, direction="from", head="entropy-weighted")


def test_back_and_forward(open_page: OpenPage) -> None:
    page = open_page(album_html())
    settled(page)
    for key, url in (("e", "**/*#v=encoder"), ("n", "**/*#p=1&v=encoder")):
        page.keyboard.press(key)
        page.wait_for_url(url)
    page.go_back()
    settled(page, picture=0, view="encoder")
    page.go_back()
    settled(page, picture=0, view="cross")
    page.go_forward()
    settled(page, picture=0, view="encoder")


@pytest.mark.parametrize(
    "detour", ["attnviz.state.set({ view: 'cross' })", "location.hash = '#q=14'"], ids=["back at once", "typed over"]
)
def test_a_view_that_was_left_at_once_makes_no_entry_in_the_history(open_page: OpenPage, detour: str) -> None:
    page = open_page(demo_html(), at="#v=cross&q=18")
    settled(page, query=18)
    page.evaluate(f"attnviz.state.set({{ view: 'encoder' }}); {detour}")
    settled(page, view="cross")
    page.wait_for_function("() => attnviz.state.isWritten()")
    entries = page.evaluate("history.length")
    page.keyboard.press("[")
    page.wait_for_url("**/*l=4*")
    assert page.evaluate("history.length") == entries


def test_an_address_typed_over_is_followed(open_page: OpenPage) -> None:
    page = open_page(demo_html())
    settled(page)
    page.evaluate("location.hash = '#q=18&l=1&h=max'")
    settled(page, query=18, layer=1, head="max")


def test_names_with_commas_and_percent_signs_in_the_address(open_page: OpenPage) -> None:
    name = "50 % off, really & #1="
    page = open_page(explore(renamed(demo_trace(), {"ring": name})).html)
    settled(page)
    page.evaluate("name => attnviz.state.set({ labels: [name] })", name)
    page.wait_for_url("**/*#n=*")
    page.reload()
    settled(page, labels=[name])
    assert listed(page) == [18]


def test_a_page_inside_a_notebook_works_without_an_address(open_page: OpenPage) -> None:
    inside = explore(demo_trace())._repr_html_()
    page = open_page(f"<!doctype html><title>notebook</title>{inside}".encode())
    frame = page.frames[-1]
    frame.wait_for_function("() => globalThis.attnviz?.state?.get().query === 10")
    frame.click("#query-18")
    frame.click("#views >> text=Encoder")
    frame.wait_for_function("() => attnviz.state.get().view === 'encoder' && attnviz.state.get().query === 18")
    frame.wait_for_function("() => attnviz.state.isWritten()")
    assert not frame.is_visible("#copy")
    assert frame.evaluate("document.getElementById('overlay').width") > 100


def test_the_state_is_settled_before_anything_is_drawn(open_page: OpenPage) -> None:
    page = open_page(demo_html(), at="#q=14&l=0")
    settled(page, query=14, layer=0)
    assert state(page)["preview"] is None
    says(page, "hexagon 1.00")
