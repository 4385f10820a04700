"""What a reader does on a page and sees there: its state, places on its picture, the words under it."""

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import detr_attnviz as av
from detr_attnviz.detector import Detector
from detr_attnviz.explorer.assets import as_json
from detr_attnviz.explorer.page import explore
from detr_attnviz.trace import Trace
from tests.explorer.browser import drawn

if TYPE_CHECKING:
    from playwright.sync_api import Page

SAMPLES = Path(__file__).parents[2] / "samples"
DOCUMENT = b'<script type="application/json" id="document">'
HOSTILE = '</script><b id="planted">lorry</b> & "two", 100 %'
Box = tuple[float, float, float, float]


@functools.cache
def demo_detector() -> Detector:
    return av.load("demo")


@functools.cache
def demo_trace(name: str = "square") -> Trace:
    """One of the sample pictures as the trained demo detector sees it."""
    return demo_detector().trace(SAMPLES / f"shapes_{name}.png")


@functools.cache
def demo_html() -> bytes:
    """A page of one picture: a triangle (query 10), a ring (18), a hexagon (14) and four more."""
    return explore(demo_trace()).html


@functools.cache
def album_html() -> bytes:
    """A page of two pictures and two methods, of which one has four signed terms."""
    return explore([demo_trace(), demo_trace("landscape")], methods=("relevance", "decompose")).html


@functools.cache
def sampled_html() -> bytes:
    """A page of sampled attention with cells of two levels to look from."""
    trace = av.load(SAMPLES / "deformable").trace(SAMPLES / "shapes_square.png")
    return explore(trace, point_levels=(1, 2)).html


def edited(html: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The page with a change in its document."""
    start = html.index(DOCUMENT) + len(DOCUMENT)
    end = html.index(b"</script>", start)
    document = json.loads(html[start:end])
    change(document)
    return html[:start] + as_json(document).encode() + html[end:]


def renamed(trace: Trace, names: dict[str, str]) -> Trace:
    """The trace with other class names."""
    changed = (dataclasses.replace(one, name=names.get(one.name, one.name)) for one in trace.detections)
    return dataclasses.replace(trace, detections=tuple(changed))


def boxed(trace: Trace, boxes: dict[int, Box]) -> Trace:
    """The trace with these queries alone above every threshold, in these boxes."""
    changed = (
        dataclasses.replace(one, score=0.95 if one.index in boxes else 0.01, box=boxes.get(one.index, one.box))
        for one in trace.detections
    )
    return dataclasses.replace(trace, detections=tuple(changed))


def middle(trace: Trace, query: int) -> tuple[float, float]:
    """The middle of a query's box, in original pixels."""
    left, top, right, bottom = trace.detections[query].box
    return (left + right) / 2, (top + bottom) / 2


def on_screen(page: "Page", x: float, y: float) -> tuple[float, float]:
    """The place in the window where a page shows the original pixel (x, y)."""
    place = page.evaluate(
        """([x, y]) => {
            const { width_px, height_px } = attnviz.shown.now().picture;
            const { left, top, width, height } = document.getElementById("frame").getBoundingClientRect();
            return [left + (x / width_px) * width, top + (y / height_px) * height];
        }""",
        [x, y],
    )
    return place[0], place[1]


def hover(page: "Page", x: float, y: float) -> None:
    page.mouse.move(*on_screen(page, x, y))


def click(page: "Page", x: float, y: float) -> None:
    page.mouse.click(*on_screen(page, x, y))


def settled(page: "Page", **expected: Any) -> None:
    """Waits until the state is as expected and all of it is drawn."""
    is_so = "wanted => Object.entries(wanted).every(([name, value]) => same(attnviz.state.get()[name], value))"
    same = "const same = (one, other) => JSON.stringify(one) === JSON.stringify(other)"
    try:
        page.wait_for_function(f"wanted => {{ {same}; return ({is_so})(wanted); }}", arg=expected, timeout=5000)
    except Exception as error:
        raise AssertionError(f"wanted {json.dumps(expected)}, the state is {json.dumps(state(page))}") from error
    drawn(page)


def says(page: "Page", words: str, where: str = "#caption") -> None:
    """Waits until these words are in a part of the page; marks that keep names apart do not count."""
    is_said = """([where, words]) =>
        document.querySelector(where).innerText.replace(/[\u2068\u2069]/g, "").includes(words)"""
    try:
        page.wait_for_function(is_said, arg=[where, words], timeout=5000)
    except Exception as error:
        raise AssertionError(f"wanted {words!r} in {where}, there is {page.inner_text(where)!r}") from error


def state(page: "Page") -> dict[str, Any]:
    return cast(dict[str, Any], page.evaluate("attnviz.state.get()"))


def painted(page: "Page", canvas: str) -> int:
    """The sum of a canvas's opacities."""
    return sum(_sums(page, canvas)[3:])


def coloured(page: "Page", canvas: str) -> int:
    """The sum of a canvas's colours."""
    return sum(_sums(page, canvas)[:3])


def _sums(page: "Page", canvas: str) -> list[int]:
    """Sums of red, green, blue and opacity; read from a copy, for browsers warn of reading what is drawn on again."""
    script = """(id) => {
        const shown = document.getElementById(id);
        const copy = new OffscreenCanvas(shown.width, shown.height).getContext("2d", { willReadFrequently: true });
        copy.drawImage(shown, 0, 0);
        const sums = [0, 0, 0, 0];
        copy.getImageData(0, 0, shown.width, shown.height).data.forEach((value, at) => (sums[at % 4] += value));
        return sums;
    }"""
    return cast(list[int], page.evaluate(script, canvas))


def listed(page: "Page") -> list[int]:
    """Queries in the side list, first to last."""
    rows = page.eval_on_selector_all("#detections li", "rows => rows.map((row) => row.dataset.query)")
    return [int(query) for query in rows]
