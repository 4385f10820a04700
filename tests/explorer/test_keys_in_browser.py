"""Everything on the page by keyboard alone."""

from typing import TYPE_CHECKING, Any

import pytest

from tests.explorer.browser import OpenPage
from tests.explorer.interface import album_html, demo_html, demo_trace, listed, sampled_html, says, settled, state

if TYPE_CHECKING:
    from playwright.sync_api import Page

STEPS: list[tuple[str, str, dict[str, Any]]] = [
    ("", "e", {"view": "encoder"}),
    ("", "s", {"view": "decoder-self"}),
    ("#v=encoder", "c", {"view": "cross"}),
    ("", "m", {"view": "relevance"}),
    ("#v=relevance", "m", {"view": "decompose"}),
    ("", "j", {"query": 18}),
    ("#q=18", "k", {"query": 10}),
    ("", "n", {"picture": 1}),
    ("#p=1", "n", {"picture": 0}),
    ("", "p", {"picture": 1}),
    ("", "[", {"layer": 4}),
    ("#l=0", "[", {"layer": 0}),
    ("#l=0", "]", {"layer": 1}),
    ("", "7", {"head": 7}),
    ("#h=7", "a", {"head": "mean"}),
    ("", "x", {"head": "max"}),
    ("", "f", {"head": "entropy-weighted"}),
    ("", ",", {"head": 7}),
    ("", ".", {"head": "max"}),
    ("", "w", {"wall": True}),
    ("#w=1", "W", {"scale": "shared"}),
    ("#v=encoder", "r", {"direction": "to"}),
    ("#v=decompose", "t", {"term": "content · position"}),
    ("#v=decoder-self", "q", {"rows": "all"}),
    ("", "h", {"follow": False}),
    ("", "b", {"boxes": False}),
    ("", "o", {"alpha": 0.7}),
    ("", "O", {"alpha": 0.9}),
    ("#a=1", "O", {"alpha": 1}),
    ("", "u", {"smooth": "bilinear"}),
    ("#c=inferno", "y", {"cmap": "magma"}),
    ("#c=magma", "Y", {"cmap": "inferno"}),
    ("", "l", {"theme": "light"}),
    ("", "+", {"threshold": 0.75}),
    ("", "-", {"threshold": 0.65}),
]


@pytest.mark.parametrize(("at", "key", "expected"), STEPS, ids=[f"{at}{key}" for at, key, _ in STEPS])
def test_key(open_page: OpenPage, at: str, key: str, expected: dict[str, Any]) -> None:
    page = open_page(album_html(), at=at)
    settled(page)
    page.keyboard.press(key)
    settled(page, **expected)


@pytest.mark.parametrize(
    ("at", "key", "expected"),
    [
        ("", "d", {"dots": True}),
        ("", "g", {"level": 0}),
        ("#e=2", "g", {"level": "all"}),
        ("#v=encoder", "G", {"pointLevel": 2}),
    ],
)
def test_key_of_sampled_attention(open_page: OpenPage, at: str, key: str, expected: dict[str, Any]) -> None:
    page = open_page(sampled_html(), at=at)
    settled(page)
    page.keyboard.press(key)
    settled(page, **expected)


def test_keys_of_what_is_not_there_do_nothing(open_page: OpenPage) -> None:
    page = open_page(demo_html())
    settled(page)
    before = state(page)
    for key in "mnprtgGdqW9":
        page.keyboard.press(key)
    settled(page)
    assert state(page) == before


def test_arrows_move_the_cell_of_the_encoder(open_page: OpenPage) -> None:
    page, grid = open_page(demo_html(), at="#v=encoder&at=250,250"), demo_trace().grid
    page.focus("#stage")
    token = grid.token_at(250, 250)
    for key, step in (
        ("ArrowRight", 1),
        ("ArrowDown", grid.cols),
        ("Shift+ArrowLeft", -5),
        ("Shift+ArrowUp", -5 * grid.cols),
    ):
        page.keyboard.press(key)
        token += step
        settled(page, point=list(grid.center_of(token)))
    for _ in range(grid.rows):
        page.keyboard.press("Shift+ArrowUp")
    settled(page, point=list(grid.center_of(token % grid.cols)))
    page.wait_for_url("**/*&at=*")


def test_arrows_move_the_cell_that_is_read(open_page: OpenPage) -> None:
    page, grid = open_page(demo_html()), demo_trace().grid
    says(page, "row 11, column 15", "#reading")
    page.focus("#stage")
    page.keyboard.press("ArrowRight")
    settled(page, cursor=list(grid.center_of(11 * grid.cols + 16)), query=10)
    says(page, "row 11, column 16", "#reading")
    assert page.is_visible("#spot")


def test_arrows_walk_the_list(open_page: OpenPage) -> None:
    page = open_page(demo_html(), at="#t=0")
    settled(page, query=10)
    queries = listed(page)
    page.focus("#detections")
    for key, place in (("ArrowDown", 1), ("End", -1), ("ArrowDown", -1), ("ArrowUp", -2), ("Home", 0)):
        page.keyboard.press(key)
        settled(page, query=queries[place])
        active = page.get_attribute("#detections", "aria-activedescendant")
        assert active == f"query-{queries[place]}"
        assert page.get_attribute(f"#{active}", "aria-selected") == "true"
        assert is_in_sight(page, f"#{active}")
    assert page.locator('#detections [aria-selected="true"]').count() == 1


def is_in_sight(page: "Page", row: str) -> bool:
    """Whether a row of the list is inside the part of it that is seen."""
    own, whole = page.locator(row).bounding_box(), page.locator("#detections").bounding_box()
    assert own is not None
    assert whole is not None
    return whole["y"] <= own["y"] and own["y"] + own["height"] <= whole["y"] + whole["height"] + 1


def test_arrows_walk_the_matrix(open_page: OpenPage) -> None:
    page = open_page(demo_html(), at="#v=decoder-self")
    settled(page, query=10)
    page.focus("#matrix-canvas")
    page.keyboard.press("ArrowDown")
    settled(page, query=18)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    settled(page, column=18)
    says(page, "query 18 (ring 1.00) → query 18 (ring 1.00): 60", "#matrix-note")


def test_arrows_walk_the_wall(open_page: OpenPage) -> None:
    page = open_page(demo_html(), at="#w=1")
    settled(page, layer=5, head="mean")
    page.focus('#wall-buttons button[aria-pressed="true"]')
    for key, layer, head in (("ArrowUp", 4, "mean"), ("ArrowRight", 4, 0), ("ArrowRight", 4, 1), ("ArrowDown", 5, 1)):
        page.keyboard.press(key)
        settled(page, layer=layer, head=head)
    page.keyboard.press("ArrowDown")
    settled(page, layer=5, head=1)
    assert page.evaluate("document.activeElement.ariaLabel") == "layer 5, head 1 alone"


def test_escape_goes_back_to_the_peak(open_page: OpenPage) -> None:
    page = open_page(demo_html())
    settled(page)
    page.focus("#stage")
    page.keyboard.press("ArrowLeft")
    says(page, "row 11, column 14", "#reading")
    says(page, "; cell row 11, column 14:", "#live")
    page.keyboard.press("Escape")
    settled(page, cursor=None)
    says(page, "At the peak", "#reading")


def test_the_help_sheet_lists_every_key(open_page: OpenPage) -> None:
    page = open_page(demo_html())
    page.keyboard.press("?")
    assert page.is_visible("#help")
    shown = set(page.locator("#help kbd").all_inner_texts())
    assert shown >= {key for _, key, _ in STEPS if not key.isdecimal()} | {
        "d",
        "g",
        "G",
        "i",
        "S",
        "L",
        "/",
        "?",
        "Escape",
    }
    page.keyboard.press("j")
    page.keyboard.press("Escape")
    assert not page.is_visible("#help")
    settled(page, query=10)


def test_details_open_and_close(open_page: OpenPage) -> None:
    page = open_page(demo_html())
    page.keyboard.press("i")
    assert page.is_visible("#details")
    page.keyboard.press("i")
    assert not page.is_visible("#details")


def test_labels_by_keyboard(open_page: OpenPage) -> None:
    page = open_page(demo_html())
    page.keyboard.press("/")
    page.keyboard.press("Space")
    settled(page, labels=["cross"])
    assert listed(page) == [21]


def test_keys_of_the_browser_are_left_alone(open_page: OpenPage) -> None:
    page = open_page(album_html())
    settled(page)
    page.keyboard.press("Control+j")
    page.focus("#picture")
    page.keyboard.press("j")
    settled(page, query=10)


def test_every_control_is_reached_by_tab_with_a_name(open_page: OpenPage) -> None:
    page = open_page(album_html(), at="#w=1")
    settled(page)
    page.keyboard.press("Tab")
    reached: list[str] = []
    while (found := focused(page)) and found not in reached:
        reached.append(found)
        page.keyboard.press("Tab")
    assert len(reached) > 40
    assert all("|" in one and not one.endswith("|") for one in reached), reached
    names = " ".join(reached)
    for control in (
        "save|",
        "copy|",
        "open-details|",
        "open-help|",
        "stage|",
        "layer|",
        "threshold|",
        "detections|",
        "alpha|",
    ):
        assert control in names
    assert "layer 5, mean of all heads" in names


def focused(page: "Page") -> str:
    """id|name of the element that has the focus; empty for the page itself."""
    return str(
        page.evaluate(
            """() => {
                const own = document.activeElement;
                if (own === document.body) return "";
                if (getComputedStyle(own).outlineStyle === "none") throw new Error(`no ring: ${own.outerHTML}`);
                const ids = (own.getAttribute("aria-labelledby") ?? "").split(" ");
                const labels = ids.map((id) => document.getElementById(id));
                const named = [...labels, ...(own.labels ?? [])].map((one) => one?.innerText ?? "").join("");
                const place = own.id || `${own.parentElement.id}[${own.dataset.value}]`;
                return `${place}|${own.getAttribute("aria-label") || named || own.innerText}`;
            }"""
        )
    )


def test_what_is_shown_is_read_aloud(open_page: OpenPage) -> None:
    page = open_page(demo_html())
    says(page, "triangle 1.00, query 10", "#live")
    page.keyboard.press("j")
    page.keyboard.press("3")
    says(page, "ring 1.00, query 18 · decoder cross-attention · layer 5 · head 3 alone, peak", "#live")
