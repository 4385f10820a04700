"""Explanations of sampled attention: maps, samples, and what lies outside."""

import numpy as np
import pytest
import torch

from detr_attnviz.drawing.captions import caption
from detr_attnviz.errors import ChoiceError
from detr_attnviz.methods.explain import explain
from detr_attnviz.recording.sampled import splat
from detr_attnviz.trace import Trace
from tests.methods.sampling import STRIDES_PX, sampling_detector
from tests.tiny import drawn_picture, tiny_detector


@pytest.fixture(scope="module")
def trace() -> Trace:
    return sampling_detector().trace(drawn_picture(), shortest_px=128, longest_px=192)


def test_the_map_and_what_is_outside_sum_to_one(trace: Trace) -> None:
    found = explain(trace, queries=[0, 3])
    assert found.maps.shape == (2, trace.grid.rows, trace.grid.cols)
    assert found.rest_where == "outside the picture"
    np.testing.assert_allclose(found.maps.sum((1, 2)) + found.rest, 1, atol=1e-6)
    assert max(found.rest) > 0.01  # the case tells something


def test_all_levels_lie_on_the_grid_of_sixteen_pixels_a_cell(trace: Trace) -> None:
    assert [grid.stride_px for grid in trace.levels] == list(STRIDES_PX)
    assert explain(trace, queries=[0]).grid == trace.grid == trace.levels[1]  # no cell reaches past this picture


@pytest.mark.parametrize("head", ["mean", "1", "entropy-weighted"])
def test_the_map_is_the_splat_of_the_samples(trace: Trace, head: str) -> None:
    found = explain(trace, queries=[2, 4], head=head)
    assert found.samples is not None
    places = torch.from_numpy(found.samples.places) / torch.tensor([trace.grid.width_px, trace.grid.height_px])
    maps, outside = splat(places, torch.from_numpy(found.samples.weights), (trace.grid.rows, trace.grid.cols))
    np.testing.assert_allclose(maps, found.maps, atol=1e-5)
    np.testing.assert_allclose(outside, found.rest, atol=1e-5)
    assert found.samples.weights.shape == (2, 6 if head == "1" else 18)
    np.testing.assert_allclose(found.samples.weights.sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("level", [None, 0, 2])
def test_points_and_map_agree_where_no_stride_divides_the_picture(level: int | None) -> None:
    trace = sampling_detector().trace(drawn_picture(100, 70), shortest_px=70, longest_px=100)
    found = explain(trace, queries=range(5), level=level)
    assert found.samples is not None
    rows, cols = found.maps.shape[1:]
    places = torch.from_numpy(found.samples.places / np.array([100, 70], np.float32))
    maps, _ = splat(places, torch.from_numpy(found.samples.weights), (rows, cols))
    np.testing.assert_allclose(maps, found.maps, atol=1e-5)
    # so the cells that the maps are drawn by must share the picture out evenly, though 100 is no multiple of a stride
    for token in (0, rows * cols - 1):
        row, col = divmod(token, cols)
        expected = (col * 100 / cols, row * 70 / rows, (col + 1) * 100 / cols, (row + 1) * 70 / rows)
        np.testing.assert_allclose(found.grid.cell_box(token), expected, rtol=1e-6)


def test_a_level_alone_lies_on_its_own_cells_with_its_share(trace: Trace) -> None:
    whole = explain(trace, queries=[1])
    parts = [explain(trace, queries=[1], level=level) for level in range(3)]
    assert [part.grid for part in parts] == list(trace.levels)
    assert [set(part.samples.levels) for part in parts if part.samples] == [{0}, {1}, {2}]
    shares = [part.maps.sum() + part.rest[0] for part in parts]
    assert sum(shares) == pytest.approx(1, abs=1e-6)
    assert whole.samples is not None
    for level, share in enumerate(shares):
        own = np.array(whole.samples.levels) == level
        assert whole.samples.weights[0, own].sum() == pytest.approx(share, abs=1e-6)


def test_layers_together_share_the_weight(trace: Trace) -> None:
    both, alone = explain(trace, queries=[1], layer="all"), [explain(trace, queries=[1], layer=n) for n in (0, 1)]
    np.testing.assert_allclose(both.maps, (alone[0].maps + alone[1].maps) / 2, atol=1e-6)
    assert both.samples is not None
    assert both.samples.weights.shape == (1, 36)
    np.testing.assert_allclose(both.samples.weights.sum(), 1, atol=1e-6)


def test_references_are_in_pixels_of_the_picture(trace: Trace) -> None:
    found = explain(trace, queries=[3])
    assert found.samples is not None
    x, y = trace.detector.family.model.references[0, 3].tolist()  # type: ignore[attr-defined]
    np.testing.assert_allclose(found.samples.references, [[x * 96, y * 64]], rtol=1e-5)


def test_the_largest_head_has_a_map_and_no_samples(trace: Trace) -> None:
    found = explain(trace, queries=[0], head="max")
    assert (found.samples, found.rest, found.rest_where) == (None, (), "")
    heads = trace.attention("decoder.1.cross", queries=[0])
    np.testing.assert_allclose(found.maps[0], heads.amax(0)[0], atol=0)


@pytest.mark.parametrize("level", [0, 2])
def test_a_point_looks_from_the_cell_of_the_level_asked_for(trace: Trace, level: int) -> None:
    found = explain(trace, kind="encoder", points=[(40, 20)], point_level=level)
    grid = trace.levels[level]
    before = sum(one.tokens for one in trace.levels[:level])
    token = before + grid.token_at(40, 20)
    assert trace.cells_at([(40, 20)], "encoder.0.self", level=level) == [token]
    maps, _ = trace.records.sampled("encoder.0.self").map([token], shape=(trace.grid.rows, trace.grid.cols))
    np.testing.assert_allclose(found.maps[0], maps[0].mean(0)[0], atol=1e-6)
    assert found.point_level == level
    assert caption(found, 0).title == f"what (40, 20) attends to (cell of level {level})"
    assert found.samples is not None
    np.testing.assert_allclose(found.samples.references[0], grid.center_of(grid.token_at(40, 20)), atol=1e-3)


@pytest.mark.parametrize("method", ["value-norm", "rollout", "relevance", "attn-gradcam", "decompose"])
def test_methods_that_need_all_cells_say_so(trace: Trace, method: str) -> None:
    with pytest.raises(ChoiceError, match=r"sampled attention|needs decoder self-attention"):
        explain(trace, method=method, queries=[0])


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"level": 3}, "no level 3: levels are 0–2, the finest first"),
        ({"level": -1}, "levels count from 0"),
        ({"term": "content"}, "decoder.1.cross is sampled attention, of which there are no terms"),
        ({"term": "position"}, "no term 'position': terms are content and spatial"),
        ({"method": "relevance", "level": 1}, "method relevance takes attention as a whole"),
        ({"point_level": 1}, "point_level belongs to kind 'encoder'"),
        ({"kind": "encoder", "points": [(1, 1)], "direction": "to"}, "no direction 'to'"),
        ({"kind": "encoder", "points": [(1, 1)], "point_level": 5}, "no level 5"),
        ({"head": 3}, "no head 3"),
        ({"layer": 2}, "no layer 2: this checkpoint's decoder has 2 layers"),
    ],
)
def test_what_is_not_there_is_named(trace: Trace, asked: dict[str, object], words: str) -> None:
    queries = None if "points" in asked else [0]
    with pytest.raises(ChoiceError, match=words):
        explain(trace, queries=queries, **asked)  # type: ignore[arg-type]


def test_dense_attention_has_no_levels_or_terms() -> None:
    dense = tiny_detector().trace(drawn_picture())
    with pytest.raises(ChoiceError, match=r"level 0: decoder\.1\.cross is not sampled attention"):
        explain(dense, queries=[0], level=0)
    words = "no term 'content': the logits of Attention are of one piece; leave term out"
    with pytest.raises(ChoiceError, match=words):
        explain(dense, queries=[0], term="content")
    found = explain(dense, queries=[0])
    assert (found.samples, found.rest, found.level, found.term) == (None, (), None, "")
