"""From a kind and layers to recorded sites."""

from typing import Any

import pytest

from detr_attnviz.errors import ChoiceError
from detr_attnviz.methods.catalogue import METHODS
from detr_attnviz.methods.explain import explain
from detr_attnviz.methods.layers import ChosenSites, find_sites, missing_for, records_of
from detr_attnviz.trace import Trace
from tests.methods.sampling import sampling_detector
from tests.tiny import drawn_picture, tiny_detector


@pytest.fixture(scope="module")
def trace() -> Trace:
    return tiny_detector(decoder_layers=3).trace(drawn_picture())


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (-1, ChosenSites("decoder.2.cross", (2,), ("decoder.2.cross",))),
        ([0], ChosenSites("decoder.0.cross", (0,), ("decoder.0.cross",))),
        ((-1, 0, 2), ChosenSites("decoder.0+2.cross", (0, 2), ("decoder.0.cross", "decoder.2.cross"))),
    ],
)
def test_one_or_several_layers_in_their_order(trace: Trace, layer: Any, expected: ChosenSites) -> None:
    assert find_sites(trace, "cross", layer) == expected


@pytest.mark.parametrize("layer", ["all", (2, 1, 0)])
def test_all_layers(trace: Trace, layer: Any) -> None:
    found = find_sites(trace, "decoder-self", layer)
    assert (found.name, found.layers, len(found.names)) == ("decoder.all.self", (0, 1, 2), 3)


def test_all_of_one_layer(trace: Trace) -> None:
    assert find_sites(trace, "encoder", "all").name == "encoder.all.self"
    assert find_sites(trace, "encoder", 0).name == "encoder.0.self"


def test_layers_that_are_not_there(trace: Trace) -> None:
    with pytest.raises(ChoiceError, match=r"no layer 3, -4: this checkpoint's decoder has 3 layers, 0–2 \(−1 is"):
        find_sites(trace, "cross", (3, 1, -4))


def test_attention_that_is_not_there() -> None:
    trace = tiny_detector(encoder_layers=0).trace(drawn_picture())
    with pytest.raises(ChoiceError, match="no encoder self-attention, which kind encoder shows"):
        find_sites(trace, "encoder", -1)
    with pytest.raises(ChoiceError, match="method rollout needs encoder self-attention, and this detector has none"):
        records_of(trace, "encoder-self", "rollout")


@pytest.fixture
def some_layers(monkeypatch: pytest.MonkeyPatch) -> Trace:
    """Only decoder layers 1 and 3 of four are recorded."""
    trace = tiny_detector(decoder_layers=4).trace(drawn_picture())
    left = tuple(site for site in trace.detector.sites if site.kind == "encoder-self" or site.layer in (1, 3))
    monkeypatch.setitem(vars(trace.detector), "sites", left)
    return trace


def test_layers_keep_their_numbers_where_others_are_left_out(some_layers: Trace) -> None:
    for layer in (-1, 3):
        assert find_sites(some_layers, "cross", layer) == ChosenSites("decoder.3.cross", (3,), ("decoder.3.cross",))
    found = find_sites(some_layers, "cross", "all")
    assert (found.name, found.layers) == ("decoder.1+3.cross", (1, 3))
    with pytest.raises(ChoiceError, match="no layer 0: the decoder layers that are recorded here are 1, 3"):
        find_sites(some_layers, "cross", 0)


@pytest.mark.parametrize("method", ["rollout", "relevance"])
def test_methods_of_all_layers_miss_those_left_out(some_layers: Trace, method: str) -> None:
    with pytest.raises(ChoiceError, match="goes through all layers, and of decoder self-attention only layers 1, 3"):
        explain(some_layers, method=method, queries=[0])


def test_what_a_detector_allows_is_told_without_a_forward(some_layers: Trace, trace: Trace) -> None:
    methods = [name for name, facts in METHODS.items() if "cross" in facts.kinds]
    assert [name for name in methods if missing_for(trace.detector, name)] == []
    assert [name for name in methods if missing_for(some_layers.detector, name)] == ["rollout", "relevance"]
    sampled = sampling_detector()
    left = ["rollout", "attn-gradcam", "relevance", "value-norm", "decompose", "gradcam"]
    assert [name for name in methods if missing_for(sampled, name)] == left
