"""What clicks and hovers do on the page."""

import dataclasses
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from detr_attnviz.explorer.page import explore
from detr_attnviz.methods.explain import explain
from tests.explorer.browser import OpenPage
from tests.explorer.interface import (
    HOSTILE,
    album_html,
    boxed,
    click,
    coloured,
    demo_html,
    demo_trace,
    hover,
    listed,
    middle,
    painted,
    renamed,
    sampled_html,
    says,
    settled,
    state,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page

TRIANGLE, RING, HEXAGON = 10, 18, 14


def test_the_best_detection_is_shown_first(open_page: OpenPage) -> None:
    page = open_page(demo_html())
    settled(page, query=TRIANGLE, view="cross", layer=5, head="mean")
    says(page, "triangle 1.00")
    assert listed(page)[:3] == [TRIANGLE, RING, HEXAGON]
    assert painted(page, "overlay") > 0


def test_hovering_a_box_previews_its_map_and_leaving_takes_it_back(open_page: OpenPage) -> None:
    page = open_page(demo_html())
    settled(page, query=TRIANGLE)
    hover(page, *middle(demo_trace(), RING))
    settled(page, preview={"query": RING})
    says(page, "ring 1.00")
    says(page, "query 18")
    page.mouse.move(700, 20)
    settled(page, preview=None, query=TRIANGLE)
    says(page, "triangle 1.00")


def test_clicking_a_box_fixes_it(open_page: OpenPage) -> None:
    page = open_page(demo_html())
    click(page, *middle(demo_trace(), RING))
    page.mouse.move(700, 20)
    settled(page, query=RING, preview=None)
    says(page, "ring 1.00")
    assert page.get_attribute(f"#query-{RING}", "aria-selected") == "true"


def test_the_smallest_box_wins_and_clicks_in_one_place_go_through_those_below(open_page: OpenPage) -> None:
    trace = boxed(demo_trace(), {2: (50, 50, 450, 450), 6: (200, 200, 300, 300), 9: (100, 100, 400, 400)})
    page = open_page(explore(trace).html)
    settled(page, query=2)
    for query in (6, 9, 2, 6):
        click(page, 250, 250)
        settled(page, query=query)
        says(page, f"query {query} ")
    click(page, 150, 150)
    settled(page, query=9)


def test_the_list_previews_and_fixes(open_page: OpenPage) -> None:
    page = open_page(demo_html())
    page.hover(f"#query-{HEXAGON}")
    settled(page, preview={"query": HEXAGON}, query=TRIANGLE)
    says(page, "hexagon 1.00")
    page.click(f"#query-{HEXAGON}")
    page.mouse.move(700, 20)
    settled(page, preview=None, query=HEXAGON)
    says(page, "hexagon 1.00")


def test_any_place_of_the_encoder_from_and_to(open_page: OpenPage) -> None:
    page = open_page(demo_html())
    page.click("#views >> text=Encoder")
    settled(page, view="encoder")
    hover(page, 101.5, 203.5)
    says(page, "What (101, 203) attends to")
    click(page, 301.5, 103.5)
    page.mouse.move(700, 20)
    page.wait_for_function("() => attnviz.state.get().preview === null")
    point = state(page)["point"]
    assert point == pytest.approx([301.5, 103.5], abs=1.0), "a click is in whole pixels of the window"
    place = f"({int(point[0])}, {int(point[1])})"
    says(page, f"What {place} attends to")
    one_way = painted(page, "overlay")
    page.click("#direction >> text=to the cell")
    settled(page, direction="to")
    says(page, f"Who attends to {place}")
    assert painted(page, "overlay") != one_way
    assert page.locator("#heads-choice >> text=entropy-weighted").count() == 0


def test_numbers_under_the_cursor_are_those_of_python(open_page: OpenPage) -> None:
    page, trace = open_page(demo_html()), demo_trace()
    page.click("#follow >> text=reads numbers")
    settled(page, follow=False)
    token = 11 * trace.grid.cols + 15
    hover(page, *trace.grid.center_of(token))
    says(page, "row 11, column 15", "#reading")
    assert page.inner_text("#subject").strip("\u2068\u2069 ").startswith("triangle"), "reading keeps what is chosen"
    maps = trace.attention("decoder.5.cross", queries=[TRIANGLE])[:, 0].flatten(1)[:, token]
    assert shares(page, "#value") == pytest.approx([100 * float(maps.mean())], rel=0.05)
    bars = shares(page, "#heads-bars .amount")
    assert len(bars) == 8
    np.testing.assert_allclose(bars, 100 * maps.numpy(), rtol=0.06, atol=0.01)


def shares(page: "Page", where: str) -> list[float]:
    """Percentages as they are written."""
    texts = page.locator(where).all_inner_texts()
    return [float(text.replace("%", "").replace("<", "").strip()) for text in texts]


def test_shift_reads_while_the_pointer_previews(open_page: OpenPage) -> None:
    page = open_page(demo_html())
    page.keyboard.down("Shift")
    hover(page, *middle(demo_trace(), RING))
    page.wait_for_function("() => attnviz.state.get().cursor !== null")
    settled(page, preview=None)
    says(page, "triangle 1.00")
    says(page, "Under the cursor", "#reading")


def test_the_matrix_says_whom_a_query_listens_to(open_page: OpenPage) -> None:
    page = open_page(demo_html(), at="#v=decoder-self")
    settled(page, view="decoder-self", query=TRIANGLE)
    says(page, "itself")
    row, column = in_matrix(page, HEXAGON, RING)
    page.mouse.move(column, row)
    settled(page, preview={"query": HEXAGON}, column=RING)
    share = float(demo_trace().attention("decoder.5.self", queries=[HEXAGON])[:, 0].mean(0)[RING])
    says(page, f"query 14 (hexagon 1.00) → query 18 (ring 1.00): {100 * share:.2g}", "#matrix-note")
    page.mouse.click(column, row)
    settled(page, query=HEXAGON)
    page.click("#matrix-rows >> text=all")
    settled(page, rows="all")
    row, column = in_matrix(page, 0, 24)
    page.mouse.move(column, row)
    settled(page, preview={"query": 0}, column=24)


def in_matrix(page: "Page", query: int, other: int) -> tuple[float, float]:
    """Where (y, x) in the window the matrix has the share that ``query`` gives to ``other``."""
    queries = list(range(25)) if state(page)["rows"] == "all" else listed(page)
    box = page.locator("#matrix-canvas").bounding_box()
    assert box is not None
    cell, left, top = page.evaluate("(({ cell, left, top }) => [cell, left, top])(attnviz.matrix.layout())")
    return (
        box["y"] + top + (queries.index(query) + 0.5) * cell,
        box["x"] + left + (queries.index(other) + 0.5) * cell,
    )


def test_a_tile_of_the_wall_takes_its_layer_and_head(open_page: OpenPage) -> None:
    page = open_page(demo_html())
    page.click("#wall-toggle")
    settled(page, wall=True)
    assert page.locator("#wall-buttons button").count() == 6 * 9
    page.click('#wall-buttons button[aria-label="layer 2, head 5 alone"]')
    settled(page, layer=2, head=5)
    assert page.locator('#wall-buttons button[aria-pressed="true"]').count() == 1
    says(page, "layer 2 · head 5 alone")
    own = coloured(page, "wall-canvas")
    page.click("#wall-scale >> text=shared")
    settled(page, scale="shared")
    says(page, "in every map", "#wall-note")
    assert coloured(page, "wall-canvas") < own, "with one scale for all, all but one map get darker"


def test_layer_and_head_buttons(open_page: OpenPage) -> None:
    page = open_page(demo_html())
    page.fill("#layer", "3")
    settled(page, layer=3)
    says(page, "layer 3")
    for name, head in (("max", "max"), ("entropy-weighted", "entropy-weighted"), ("6", 6)):
        page.click(f'#heads-choice >> text="{name}"')
        settled(page, head=head)
        values = page.evaluate("Array.from(attnviz.shown.now().values)")
        expected = explain(demo_trace(), layer=3, head=head, queries=[TRIANGLE]).maps[0]
        np.testing.assert_allclose(values, expected.ravel(), rtol=0, atol=2e-3 * float(expected.max()))


def test_the_threshold_says_how_many_pass(open_page: OpenPage) -> None:
    page = open_page(demo_html())
    says(page, "7 of 25", "#passing")
    page.fill("#threshold", "0")
    settled(page, threshold=0)
    says(page, "25 of 25", "#passing")
    assert len(listed(page)) == 25
    page.fill("#threshold", "1")
    settled(page, threshold=1)
    says(page, "none of 25: the best 3", "#passing")
    assert listed(page) == [TRIANGLE, RING, HEXAGON]


def test_labels_are_filtered(open_page: OpenPage) -> None:
    page = open_page(demo_html())
    page.click("#label-filter summary")
    page.check('#labels input[value="triangle"]')
    settled(page, labels=["triangle"])
    assert listed(page) == [10, 12, 20]
    page.check('#labels input[value="ring"]')
    settled(page, labels=["triangle", "ring"])
    assert listed(page) == [10, 18, 12, 20]
    page.click("#all-labels")
    settled(page, labels=[])
    assert len(listed(page)) == 7


def test_colours_opacity_and_cells(open_page: OpenPage) -> None:
    page = open_page(demo_html())
    full = painted(page, "overlay")
    page.fill("#alpha", "0.4")
    settled(page, alpha=0.4)
    assert painted(page, "overlay") == pytest.approx(full / 2, rel=0.05)
    page.click('#cmaps [data-value="viridis"]')
    settled(page, cmap="viridis")
    page.click("#smooth >> text=nearest")
    settled(page, smooth="nearest")
    assert painted(page, "overlay") == pytest.approx(full / 2, rel=0.2)
    assert painted(page, "overlay") != painted_after(page, "#smooth >> text=bilinear")


def painted_after(page: "Page", button: str) -> int:
    before = state(page)["smooth"]
    page.click(button)
    page.wait_for_function("before => attnviz.state.get().smooth !== before", arg=before)
    settled(page)
    return painted(page, "overlay")


def test_boxes_go_away_but_the_chosen_one(open_page: OpenPage) -> None:
    page = open_page(demo_html())
    marked = painted(page, "marks")
    page.click("#boxes")
    settled(page, boxes=False)
    assert 0 < painted(page, "marks") < marked


def test_methods_with_terms_are_further_views(open_page: OpenPage) -> None:
    page = open_page(album_html())
    page.click("#views >> text=Relevance")
    settled(page, view="relevance")
    assert re.fullmatch(r"peak [\d.]+", page.inner_text("#range")), "the title before it says of what"
    assert not page.is_visible("#layers")
    page.click("#views >> text=Terms of the logit")
    settled(page, view="decompose", term="content · content")
    assert page.locator("#heads-bars li").count() == 4
    first = page.inner_text("#range")
    page.click("#term >> text=position · position")
    settled(page, term="position · position")
    assert page.inner_text("#range") != first
    assert page.inner_text("#bar-low").startswith("−"), "signed maps have two ends"


def test_sampled_attention_has_levels_and_dots(open_page: OpenPage) -> None:
    page = open_page(sampled_html())
    without = painted(page, "marks")
    page.click("#dots")
    settled(page, dots=True)
    assert painted(page, "marks") > without
    page.click("#level >> text=2")
    settled(page, level=2)
    says(page, "level 2")
    page.click("#views >> text=Encoder")
    settled(page, view="encoder", pointLevel=1)
    assert not page.is_visible("#direction-field")
    page.click("#pointLevel >> text=2")
    settled(page, pointLevel=2)
    hover(page, 200, 200)
    says(page, "What (200, 200) attends to")


def test_several_pictures_have_a_picker(open_page: OpenPage) -> None:
    page = open_page(album_html())
    says(page, "1 of 2", "#picker")
    first = page.get_attribute("#image", "src")
    page.click("#next-picture")
    settled(page, picture=1)
    says(page, "2 of 2", "#picker")
    assert page.get_attribute("#image", "src") != first
    best = max(demo_trace("landscape").detections, key=lambda one: one.score)
    says(page, f"{best.name} {best.score:.2f}")
    page.select_option("#picture", "0")
    settled(page, picture=0, query=TRIANGLE)
    page.click("#previous-picture")
    settled(page, picture=1)


def test_one_picture_has_no_picker(open_page: OpenPage) -> None:
    page = open_page(demo_html())
    assert not page.is_visible("#picker")
    assert page.inner_text("#picture-name") == "shapes_square.png"


def test_hostile_names_are_text(open_page: OpenPage) -> None:
    trace = renamed(demo_trace(), {"triangle": HOSTILE})
    page = open_page(explore(trace).html)
    says(page, HOSTILE)
    assert page.locator("#planted").count() == 0
    assert page.inner_text(f"#query-{TRIANGLE} .name") == HOSTILE
    page.click("#label-filter summary")
    page.check("#labels label:has-text('lorry') input")
    settled(page, labels=[HOSTILE])
    page.wait_for_url("**/*#n=*")
    page.reload()
    settled(page, labels=[HOSTILE])
    assert listed(page) == [10, 12, 20]


def test_numbers_that_are_none_are_said_and_drawn_nowhere(open_page: OpenPage) -> None:
    nan = float("nan")
    trace = demo_trace()
    broken = dataclasses.replace(trace.detections[RING], score=nan, box=(nan, nan, nan, nan))
    others = tuple(broken if one.index == RING else one for one in trace.detections)
    page = open_page(explore(dataclasses.replace(trace, detections=others)).html, at="#t=0")
    settled(page, query=TRIANGLE)
    page.fill("#threshold", "0")
    assert RING not in listed(page)
    page.evaluate("query => attnviz.state.set({ query })", RING)
    settled(page, query=RING)
    says(page, "ring NaN")
    assert painted(page, "overlay") > 0
