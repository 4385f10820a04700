"""From a trace to an Explanation."""

import numpy as np
import pytest
import torch

import detr_attnviz as av
from detr_attnviz.errors import ChoiceError
from detr_attnviz.trace import Trace
from tests.tiny import drawn_picture, tiny_detector


@pytest.fixture(scope="module")
def trace() -> Trace:
    return tiny_detector().trace(drawn_picture())


def test_mean_of_heads_of_the_last_layer_by_default(trace: Trace) -> None:
    explanation = av.explain(trace, queries=[4, 1])
    expected = trace.attention("decoder.1.cross", queries=[4, 1]).mean(0).numpy()
    np.testing.assert_array_equal(explanation.maps, expected)
    assert (explanation.site, explanation.layer, explanation.head) == ("decoder.1.cross", 1, "mean")
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
        ({"method": "magic"}, "methods are raw"),
        ({"head": 4, "queries": [0]}, "no head 4: head must be in 0–3"),
        ({"head": "best", "queries": [0]}, "must be mean, max or a head's number"),
        ({"head": "-1", "queries": [0]}, "must be mean, max or a head's number"),
        ({"queries": 99}, "query must be in 0–9"),
        ({"kind": "encoder"}, "give points"),
        ({"points": [(1, 1)]}, "points belong to kind 'encoder'"),
    ],
)
def test_bad_choices(trace: Trace, options: dict[str, object], words: str) -> None:
    with pytest.raises(ChoiceError, match=words):
        av.explain(trace, **options)  # type: ignore[arg-type]


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
