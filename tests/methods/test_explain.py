"""From a trace to an Explanation."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import detr_attnviz as av
from detr_attnviz.errors import ChoiceError
from detr_attnviz.methods.attn_gradcam import attn_gradcam
from detr_attnviz.methods.catalogue import METHODS
from detr_attnviz.trace import Trace
from tests.tiny import drawn_picture, tiny_detector


@pytest.fixture(scope="module")
def trace() -> Trace:
    return tiny_detector().trace(drawn_picture())


def test_mean_of_heads_of_the_last_layer_by_default(trace: Trace) -> None:
    explanation = av.explain(trace, queries=[4, 1])
    expected = trace.attention("decoder.1.cross", queries=[4, 1]).mean(0).numpy()
    np.testing.assert_array_equal(explanation.maps, expected)
    assert (explanation.site, explanation.layers, explanation.head) == ("decoder.1.cross", (1,), "mean")
    assert [seen.index for seen in explanation.detections] == [4, 1]
    assert explanation.maps.dtype == np.float32


@pytest.mark.parametrize("head", [2, "2"])
def test_one_head(trace: Trace, head: int | str) -> None:
    found = av.explain(trace, layer=0, head=head, queries=[3]).maps
    np.testing.assert_array_equal(found, trace.attention("decoder.0.cross", queries=[3])[2].numpy())


def test_largest_of_the_heads(trace: Trace) -> None:
    found = av.explain(trace, head="max", queries=[3]).maps
    np.testing.assert_array_equal(found, trace.attention("decoder.1.cross", queries=[3]).amax(0).numpy())


def test_encoder_at_points(trace: Trace) -> None:
    explanation = av.explain(trace, kind="encoder", points=[(5, 5), (90, 60)], direction="to")
    assert explanation.maps.shape == (2, 4, 6)
    assert explanation.points == ((5, 5), (90, 60))
    assert explanation.direction == "to"


def test_decoder_self_keeps_everyone(trace: Trace) -> None:
    explanation = av.explain(trace, kind="decoder-self", queries=[0])
    assert explanation.maps.shape == (1, 10)
    assert len(explanation.everyone) == 10
    loudest = int(explanation.maps[0].argmax())
    left, top, right, bottom = explanation.everyone[loudest].box
    assert explanation.peak(0) == ((left + right) / 2, (top + bottom) / 2)


def test_peak_is_the_middle_of_the_largest_cell(trace: Trace) -> None:
    explanation = av.explain(trace, queries=[0])
    assert explanation.grid.token_at(*explanation.peak(0)) == int(explanation.maps[0].argmax())


def test_without_queries_the_sure_ones_or_the_best(trace: Trace) -> None:
    assert len(av.explain(trace)) >= 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layer": 2}, "no layer 2: this checkpoint's decoder has 2 layers, 0–1"),
        ({"layer": -3}, "no layer -3"),
        ({"kind": "encoder", "points": [(1, 1)], "layer": 1}, "encoder has 1 layers, 0–0"),
        ({"kind": "sideways"}, "kinds are cross, encoder, decoder-self"),
        ({"method": "magic"}, "methods are raw, rollout"),
        ({"method": "rollout", "kind": "decoder-self"}, "rollout explains kind cross, not decoder-self"),
        ({"method": "relevance", "layer": 1}, "relevance leaves no choice of layer"),
        ({"method": "gradcam", "head": 0}, "gradcam leaves no choice of heads"),
        ({"layer": (0, 2, 3)}, "no layer 2, 3: this checkpoint's decoder has 2 layers, 0–1"),
        ({"head": 4, "queries": [0]}, "no head 4: head must be in 0–3"),
        ({"head": "best", "queries": [0]}, "must be mean, max, entropy-weighted or a head's number"),
        ({"head": "-1", "queries": [0]}, "must be mean, max, entropy-weighted or a head's number"),
        ({"queries": 99}, "no query 99: queries are 0–9"),
        ({"kind": "encoder"}, "give points"),
        ({"points": [(1, 1)]}, "points belong to kind 'encoder'"),
    ],
)
def test_bad_choices(trace: Trace, options: dict[str, object], words: str) -> None:
    with pytest.raises(ChoiceError, match=words):
        av.explain(trace, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_a_map_a_query(trace: Trace, method: str) -> None:
    facts = METHODS[method]
    found = av.explain(trace, method=method, queries=[4, 1])
    each = 4 if method == "decompose" else 1
    assert found.maps.shape == (2 * each, 4, 6)
    assert found.maps.dtype == np.float32
    assert np.isfinite(found.maps).all()
    assert found.maps.any()
    assert (found.maps < 0).any() == facts.is_signed
    assert [seen.index for seen in found.detections] == [4] * each + [1] * each
    assert (found.method, found.quantity, found.is_signed) == (method, facts.quantity, facts.is_signed)
    assert found.head == ("mean" if facts.has_heads else "")


@pytest.mark.parametrize("method", METHODS)
def test_no_query_no_map_and_a_query_twice_two_maps(trace: Trace, method: str) -> None:
    assert len(av.explain(trace, method=method, queries=[])) == 0
    twice = av.explain(trace, method=method, queries=[4, 4]).maps
    first, second = np.split(twice, 2)
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_a_picture_of_a_batch_is_explained_as_alone(method: str) -> None:
    detector = tiny_detector()
    pictures = [drawn_picture(), drawn_picture().transpose(Image.Transpose.ROTATE_180)]
    together = detector.trace_prepared([(picture, detector.prepare(picture), "") for picture in pictures])
    for picture, among in zip(pictures, together, strict=True):
        alone = av.explain(detector.trace(picture), method=method, queries=[4, 1]).maps
        found = av.explain(among, method=method, queries=[4, 1]).maps
        np.testing.assert_allclose(found, alone, rtol=1e-4, atol=1e-5 * np.abs(alone).max())


@pytest.mark.parametrize(
    ("method", "site", "layers"),
    [
        ("rollout", "decoder.all.cross", (0, 1)),
        ("relevance", "decoder.all.cross", (0, 1)),
        ("attn-gradcam", "decoder.1.cross", (1,)),
        ("decompose", "decoder.1.cross", (1,)),
        ("gradcam", "backbone", ()),
    ],
)
def test_where_a_method_reads(trace: Trace, method: str, site: str, layers: tuple[int, ...]) -> None:
    found = av.explain(trace, method=method, queries=[4])
    assert (found.site, found.layers) == (site, layers)


def test_one_layer_of_a_gradient_method_is_that_layer(trace: Trace) -> None:
    first = av.explain(trace, method="attn-gradcam", layer=0, queries=[4])
    np.testing.assert_array_equal(first.maps, attn_gradcam(trace, [4], layer=0).numpy())


@pytest.mark.parametrize("method", ["raw", "value-norm"])
@pytest.mark.parametrize("layer", ["all", [0, -1]])
def test_several_layers_are_averaged(trace: Trace, method: str, layer: Any) -> None:
    found = av.explain(trace, method=method, layer=layer, head="max", queries=[4])
    each = [av.explain(trace, method=method, layer=number, head="max", queries=[4]).maps for number in (0, 1)]
    np.testing.assert_allclose(found.maps, (each[0] + each[1]) / 2, rtol=1e-6)
    assert (found.site, found.layers) == ("decoder.all.cross", (0, 1))


def test_other_methods_at_encoder_points(trace: Trace) -> None:
    found = av.explain(trace, kind="encoder", method="value-norm", points=(70, 20), direction="to")
    assert found.maps.shape == (1, 4, 6)
    assert (found.points, found.direction, found.quantity) == (((70, 20),), "to", "length of what is written")


def test_provenance_names_software_and_checkpoint(trace: Trace) -> None:
    provenance = av.explain(trace, queries=[0]).provenance
    assert provenance["software"] == f"detr_attnviz {av.__version__}"
    assert provenance["checkpoint"] == "tiny"


def test_public_names_exist_and_are_sorted() -> None:
    assert av.__all__ == sorted(av.__all__)
    assert all(hasattr(av, name) for name in av.__all__)
    assert set(av.__all__) <= set(dir(av))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = av.nonsense


def test_maps_of_one_query_are_those_of_many(trace: Trace) -> None:
    alone = torch.from_numpy(av.explain(trace, queries=[6]).maps)
    among = torch.from_numpy(av.explain(trace, queries=[1, 6, 8]).maps[[1]])
    torch.testing.assert_close(alone, among, atol=1e-7, rtol=0)
