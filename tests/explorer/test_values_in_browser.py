"""What the page computes is what Python computes, to 2e-3 of each map's peak."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import detr_attnviz as av
from detr_attnviz.detector import Detector
from detr_attnviz.explanation import Kind
from detr_attnviz.explorer.grids import grid_row
from detr_attnviz.explorer.page import explore
from detr_attnviz.grid import Grid
from detr_attnviz.methods.explain import explain
from detr_attnviz.methods.heads import Chosen
from detr_attnviz.methods.samples import samples_of
from detr_attnviz.sites import AttentionCall
from detr_attnviz.trace import Trace
from tests.explorer.browser import OpenPage
from tests.hf.saved import save_folder, write
from tests.methods.sampling import sampling_detector
from tests.tiny import drawn_picture, tiny_detector

if TYPE_CHECKING:
    from playwright.sync_api import Page

SAMPLES = Path(__file__).parents[2] / "samples"
PICTURE = drawn_picture(192, 150)
CLOSE = 2e-3
KINDS: tuple[Kind, ...] = ("cross", "encoder", "decoder-self")
JOINS = ("mean", "max", "entropy-weighted", 0, 1)
COMPUTE = """([kind, layer, asked]) => {
    const site = attnviz.arrays.document().pictures[0].kinds[kind][layer];
    return asked.map(({ token, point, pointLevel, direction, term, level, head }) => {
        const own = point ? attnviz.attention.tokenAt(site, ...point, pointLevel) : token;
        const found = attnviz.attention.maps(site, own, { direction, term, level });
        return Array.from(attnviz.attention.join(found, head));
    });
}"""
Ask = dict[str, Any]
Maps = NDArray[np.float32]


def computed(page: "Page", kind: Kind, layer: int, asked: list[Ask]) -> list[Maps]:
    """The page's maps, flat."""
    return [np.array(values, np.float32) for values in page.evaluate(COMPUTE, [kind, layer, asked])]


def in_python(trace: Trace, kind: Kind, layer: int, ask: Ask) -> Maps:
    """The same by ``explain``."""
    where: Ask = {"points": ask["point"]} if "point" in ask else {"queries": ask["token"]}
    names = {"direction": "direction", "term": "term", "level": "level", "head": "head", "pointLevel": "point_level"}
    more = {names[name]: value for name, value in ask.items() if name in names}
    return cast(Maps, explain(trace, kind=kind, layer=layer, **where, **more).maps[0].ravel())


def check(page: "Page", trace: Trace, kind: Kind, layer: int, asked: list[Ask], close: float = CLOSE) -> None:
    for ask, own in zip(asked, computed(page, kind, layer, asked), strict=True):
        true = in_python(trace, kind, layer, ask)
        assert own.shape == true.shape, ask
        np.testing.assert_allclose(own, true, rtol=0, atol=close * float(true.max()), err_msg=f"{kind} {ask}")


def asks(kind: Kind, trace: Trace, **more: Any) -> list[Ask]:
    """Every join of heads, for a few queries, or for places in the middle and at the edges."""
    if kind == "encoder":
        return [{"point": point, "head": head, **more} for point in on_picture(trace) for head in JOINS]
    chosen = sorted({0, 1, len(trace.detections) - 1})
    return [{"token": query, "head": head, **more} for query in chosen for head in JOINS]


def to_cells(trace: Trace, **more: Any) -> list[Ask]:
    """Who looks at those places; heads that look at few cells are not known of a column alone."""
    every = asks("encoder", trace, direction="to", **more)
    return [ask for ask in every if ask["head"] != "entropy-weighted"]


def on_picture(trace: Trace) -> list[tuple[float, float]]:
    width, height = trace.image.size
    return [(3, 4), (width / 2, height / 2), (width - 1, height - 1)]


def layers_of(trace: Trace, kind: Kind) -> list[int]:
    """Of a decoder's or an encoder's own attention; a site that is of another form has no maps of this kind."""
    ends = {"cross": ".cross", "encoder": ".self", "decoder-self": ".self"}
    start = "encoder." if kind == "encoder" else "decoder."
    return [trace.site(name).layer for name in trace.sites if name.startswith(start) and name.endswith(ends[kind])]


@pytest.fixture(scope="module")
def demo() -> Trace:
    return av.load("demo").trace(SAMPLES / "shapes_portrait.png")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Trace]:
    """A trace of a tiny model of transformers: by its type, and what is changed in its ``preprocessor_config.json``."""
    pytest.importorskip("transformers", reason="transformers is not installed")

    def trace(model_type: str, changes: Ask | None = None, **config: Any) -> Trace:
        folder = save_folder(model_type, tmp_path_factory.mktemp(model_type), **config)
        write(folder / "preprocessor_config.json", **(changes or {}))
        return av.load(folder).trace(PICTURE)

    return trace


@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_and_every_join_of_heads(demo: Trace, open_page: OpenPage, kind: Kind) -> None:
    page = open_page(explore(demo).html)
    layers = layers_of(demo, kind)
    assert layers
    for layer in layers:
        check(page, demo, kind, layer, asks(kind, demo))


def test_who_looks_at_a_cell(demo: Trace, open_page: OpenPage) -> None:
    page = open_page(explore(demo).html)
    for layer in layers_of(demo, "encoder"):
        check(page, demo, "encoder", layer, to_cells(demo))


@pytest.mark.parametrize(
    "grid",
    [
        Grid(5, 7, 32, height_px=300, width_px=450, input_height_px=150, input_width_px=200),
        Grid(3, 4, 32, height_px=110, width_px=150, input_height_px=110, input_width_px=150),  # drops what is left
        Grid(2, 3, 16, height_px=60, width_px=90, input_height_px=30, input_width_px=45, canvas_px=(64, 96)),
    ],
)
def test_cells_lie_where_python_finds_them(open_page: OpenPage, grid: Grid) -> None:
    page = open_page(explore(tiny_detector().trace(PICTURE)).html)
    places = [(x + 0.5, y + 0.5) for x in range(0, grid.width_px, 7) for y in range(0, grid.height_px, 7)]
    script = """([grid, places]) => {
        const found = places.map(([x, y]) => attnviz.grid.cellAt(grid, x, y));
        const [boxes, middles, onCanvas] = ["cellBox", "center", "onCanvas"].map((name) =>
            found.map((cell) => attnviz.grid[name](grid, cell)));
        const outside = [[-1, 3], [3, -0.1], [grid.width_px, 3], [3, grid.height_px], [NaN, 3]];
        return [found, boxes, middles, onCanvas, outside.map(([x, y]) => attnviz.grid.cellAt(grid, x, y))];
    }"""
    cells, boxes, middles, on_canvas, outside = page.evaluate(script, [grid_row(grid), places])
    assert cells == [grid.token_at(*place) for place in places]
    assert on_canvas == [grid.on_canvas(cell) for cell in cells]
    np.testing.assert_allclose(boxes, [grid.cell_box(cell) for cell in cells], rtol=1e-12)
    np.testing.assert_allclose(middles, [grid.center_of(cell) for cell in cells], rtol=1e-12)
    assert set(outside) == {-1}


def test_the_whole_matrix_of_object_queries(demo: Trace, open_page: OpenPage) -> None:
    page = open_page(explore(demo).html)
    script = """(head) => {
        const site = attnviz.arrays.document().pictures[0].kinds["decoder-self"].at(-1);
        return Array.from(attnviz.attention.matrix(site, head));
    }"""
    for head in JOINS:
        every = range(len(demo.detections))
        true = explain(demo, kind="decoder-self", queries=every, head=head).maps
        own = np.array(page.evaluate(script, head)).reshape(true.shape)
        assert np.abs(own - true).max(-1).max() <= CLOSE * true.max(-1).min()


def test_sites_in_32_bits_are_exact(demo: Trace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detr_attnviz.explorer.dense.TOLERANCE", 0.0)
    page = open_page(explore(demo).html)
    assert page.evaluate("attnviz.arrays.document().pictures[0].kinds.cross[1].key.values.dtype") == "float32"
    for kind in KINDS:
        check(page, demo, kind, 1, asks(kind, demo), close=1e-5)


def test_heads_without_numbers_have_none_on_the_page(open_page: OpenPage) -> None:
    detector = tiny_detector()
    attention = detector.family.model.transformer.decoder.layers[1].multihead_attn  # type: ignore[attr-defined]
    attention.in_proj_weight.data[0, 0] = torch.nan
    trace = detector.trace(PICTURE)
    page = open_page(explore(trace).html)
    assert page.evaluate("attnviz.arrays.document().pictures[0].kinds.cross[1].query.values.dtype") == "float32"
    own = computed(page, "cross", 1, asked := [{"token": 0, "head": head} for head in (*JOINS, 3)])
    for values, ask in zip(own, asked, strict=True):
        np.testing.assert_allclose(values, in_python(trace, "cross", 1, ask), rtol=1e-3)
    assert np.isnan(own[0]).all()
    assert np.isfinite(own[-1]).all()


@pytest.mark.parametrize("model_type", ["detr", "conditional_detr", "dab-detr"])
def test_padding_is_hidden(opened: Callable[..., Trace], open_page: OpenPage, model_type: str) -> None:
    trace = opened(model_type, {"pad_size": {"height": 224, "width": 192}})
    assert trace.grid.canvas > (trace.grid.rows, trace.grid.cols)
    page = open_page(explore(trace).html)
    assert page.evaluate("attnviz.arrays.document().pictures[0].kinds.cross[0].hidden") is not None
    for kind in KINDS:
        for layer in layers_of(trace, kind):
            check(page, trace, kind, layer, asks(kind, trace))
    check(page, trace, "encoder", 0, to_cells(trace))


@pytest.mark.parametrize("model_type", ["conditional_detr", "dab-detr"])
@pytest.mark.parametrize("term", ["content", "spatial"])
def test_terms_of_the_logit(opened: Callable[..., Trace], open_page: OpenPage, model_type: str, term: str) -> None:
    trace = opened(model_type)
    page = open_page(explore(trace).html)
    check(page, trace, "cross", 1, asks("cross", trace, term=term))


def reading(tmp_path: Path, change: Callable[[AttentionCall], AttentionCall]) -> Trace:
    """A trace of a detector whose first encoder layer is read with a change."""
    family: Any = av.load(save_folder("conditional_detr", tmp_path)).family
    first, *others = family.sites()
    changed = replace(first, read=lambda *given: change(first.read(*given)))
    family._sites = (changed, *others)
    return Detector(family).trace(PICTURE)


def test_who_looks_at_a_cell_by_one_term_alone(tmp_path: Path, open_page: OpenPage) -> None:
    terms = {"content": slice(0, 3), "spatial": slice(3, 8)}
    trace = reading(tmp_path, lambda call: replace(call, terms=terms))
    page = open_page(explore(trace).html)
    for term in terms:
        check(page, trace, "encoder", 0, asks("encoder", trace, term=term))
        check(page, trace, "encoder", 0, to_cells(trace, term=term))


@pytest.mark.parametrize(("by_head", "by_query"), [(True, False), (False, True), (True, True)])
def test_masks_that_add_numbers(tmp_path: Path, open_page: OpenPage, by_head: bool, by_query: bool) -> None:
    def masked(call: AttentionCall) -> AttentionCall:
        (_, heads, queries, _), tokens = call.query.shape, call.key.shape[2]
        mask = torch.randn(1, heads if by_head else 1, queries if by_query else 1, tokens)
        mask[0, 0, 0, :2] = -torch.inf
        return replace(call, mask=mask)

    trace = reading(tmp_path, masked)
    page = open_page(explore(trace).html)
    assert page.evaluate("attnviz.arrays.document().pictures[0].kinds.encoder[0].bias") is not None
    check(page, trace, "encoder", 0, asks("encoder", trace))
    check(page, trace, "encoder", 0, to_cells(trace))


def test_tokens_that_are_not_shown_take_their_share(opened: Callable[..., Trace], open_page: OpenPage) -> None:
    trace = opened("yolos")
    page = open_page(explore(trace).html)
    for kind in KINDS:
        check(page, trace, kind, 1, asks(kind, trace))
    check(page, trace, "encoder", 1, to_cells(trace))
    outside = """() => {
        const site = attnviz.arrays.document().pictures[0].kinds.cross[1];
        return Array.from(attnviz.attention.maps(site, 0).outside);
    }"""
    on_map = trace.attention("decoder.1.cross", queries=[0])[:, 0].sum((1, 2))
    np.testing.assert_allclose(page.evaluate(outside), 1 - on_map.numpy(), atol=1e-4)


@pytest.mark.parametrize("model_type", ["lw_detr", "rf_detr"])
def test_windows_of_a_backbone(opened: Callable[..., Trace], open_page: OpenPage, model_type: str) -> None:
    trace = opened(model_type)
    page = open_page(explore(trace).html)
    layers = layers_of(trace, "encoder")
    assert layers
    for layer in layers:
        check(page, trace, "encoder", layer, asks("encoder", trace))
        check(page, trace, "encoder", layer, to_cells(trace))


@pytest.mark.parametrize("level", [None, 0, 1, 2])
def test_sampled_attention_of_object_queries(open_page: OpenPage, level: int | None) -> None:
    trace = sampling_detector().trace(PICTURE)
    page = open_page(explore(trace).html)
    for layer in range(2):
        check(page, trace, "cross", layer, asks("cross", trace, level=level))


@pytest.mark.parametrize("level", [None, 1])
def test_sampled_attention_of_cells(open_page: OpenPage, level: int | None) -> None:
    trace = sampling_detector().trace(PICTURE)
    page = open_page(explore(trace, point_levels=[0, 2]).html)
    for point_level in (0, 2):
        check(page, trace, "encoder", 0, asks("encoder", trace, level=level, pointLevel=point_level))
    assert (
        page.evaluate("attnviz.attention.tokenAt(attnviz.arrays.document().pictures[0].kinds.encoder[0], 9, 9, 1)")
        == -1
    )


def test_sampled_attention_with_padding(opened: Callable[..., Trace], open_page: OpenPage) -> None:
    trace = opened("deformable_detr", {"pad_size": {"height": 128, "width": 160}})
    page = open_page(explore(trace, point_levels=[0, 1, 2, 3]).html)
    for level in (None, 0, 2):
        check(page, trace, "cross", 1, asks("cross", trace, level=level))
        for point_level in range(4):
            check(page, trace, "encoder", 1, asks("encoder", trace, level=level, pointLevel=point_level))


@pytest.mark.parametrize("head", ["mean", "entropy-weighted", 1, "max"])
def test_samples_lie_where_python_puts_them(open_page: OpenPage, head: str | int) -> None:
    trace = sampling_detector().trace(PICTURE)
    page = open_page(explore(trace).html)
    script = """(head) => {
        const site = attnviz.arrays.document().pictures[0].kinds.cross[1];
        return attnviz.sampled.samples(site, 3, head).map(({ x, y, weight, level }) => [weight, x, y, level]);
    }"""
    own = np.array(page.evaluate(script, head))
    true = samples_of(trace, ["decoder.1.cross"], Chosen(head, queries=[3]))
    if true is None:
        assert not len(own)
        return
    rows = list(zip(true.weights[0], *true.places[0].T, true.levels, strict=True))
    assert list(own[:, 0]) == sorted(own[:, 0], reverse=True)
    close = sorted(map(tuple, own), key=lambda row: row[1:]), sorted(rows, key=lambda row: row[1:])
    np.testing.assert_allclose(*close, atol=1e-2)


def test_what_falls_outside_the_picture_is_told(open_page: OpenPage) -> None:
    trace = sampling_detector().trace(PICTURE)
    page = open_page(explore(trace).html)
    script = """() => {
        const site = attnviz.arrays.document().pictures[0].kinds.cross[0];
        return Array.from(attnviz.attention.maps(site, 2).outside);
    }"""
    on_map = trace.attention("decoder.0.cross", queries=[2])[:, 0].sum((1, 2))
    np.testing.assert_allclose(page.evaluate(script), 1 - on_map.numpy(), atol=1e-4)


def test_a_page_inside_another_one_computes_too(demo: Trace, open_page: OpenPage) -> None:
    inner = explore(demo)._repr_html_()
    page = open_page(f"<!doctype html><meta charset='utf-8'><title>notebook</title>{inner}".encode())
    frame = page.frames[1]
    frame.wait_for_load_state()
    assert frame.url == "about:srcdoc"
    own = frame.evaluate(COMPUTE, ["cross", 0, [{"token": 1, "head": "mean"}]])
    true = in_python(demo, "cross", 0, {"token": 1})
    np.testing.assert_allclose(own[0], true, rtol=0, atol=CLOSE * float(true.max()))


def test_browsers_without_a_decoder_of_their_own_read_the_same(demo: Trace, open_page: OpenPage) -> None:
    script = """() => {
        const text = document.getElementById("a0").textContent;
        const own = Array.from(attnviz.arrays.bytes(text));
        const had = delete Uint8Array.fromBase64;
        return [had && Uint8Array.fromBase64 === undefined, own, Array.from(attnviz.arrays.bytes(text))];
    }"""
    is_gone, own, without = open_page(explore(demo).html).evaluate(script)
    assert is_gone
    assert own == without
    assert len(own) > 1000
