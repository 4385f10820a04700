"""From a trace to the figure of one query by all methods."""

import pytest

import detr_attnviz as av
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.errors import ChoiceError
from detr_attnviz.figures.methods import ORDER, methods_figure
from detr_attnviz.methods.catalogue import METHODS
from detr_attnviz.methods.definitions import definition_of
from detr_attnviz.trace import Trace
from tests.drawing.prints.sheets import words_of
from tests.methods.sampling import sampling_detector
from tests.tiny import drawn_picture, tiny_detector

OPTIONS = PrintOptions(dpi=72)


@pytest.fixture(scope="module")
def trace() -> Trace:
    return tiny_detector().trace(drawn_picture(192, 128))


def test_every_method_has_a_panel_and_its_definition(trace: Trace) -> None:
    made = methods_figure(trace, options=OPTIONS, query=2)
    words = [one.text for one in words_of(made.figure)]
    assert sorted(ORDER) == sorted(METHODS)
    single = [method for method in ORDER if method != "decompose"]
    assert [word for word in words if word in METHODS] == single
    assert [word for word in words if " · " in word] == list(av.explain(trace, method="decompose", queries=2).terms)
    for method in METHODS:
        assert definition_of(av.explain(trace, method=method, queries=2), 4) in made.caption
    assert made.provenance["method"] == ", ".join([*single, "decompose"])
    assert not [note for note in made.notes if "left out" in note]


def test_methods_are_named_in_the_caption_once(trace: Trace) -> None:
    caption = methods_figure(trace, options=OPTIONS, query=2, methods=["rollout", "raw"]).caption
    assert "Rollout: attention of all layers" in caption
    assert "rollout: Rollout" not in caption
    assert "raw: Decoder cross-attention" in caption
    assert caption.index("Rollout") < caption.index("raw: ")
    assert "either sign" not in caption


def test_caption_tells_the_range_by_the_colours_in_use(trace: Trace) -> None:
    viridis = PrintOptions(dpi=72, cmap="viridis")
    caption = methods_figure(trace, options=viridis, query=2, methods=["raw"]).caption
    assert "to its largest value (the upper end of the colour map viridis)" in caption
    signed = methods_figure(trace, options=viridis, query=2, methods=["decompose"]).caption
    assert "own range" not in signed
    assert "0 in the middle of their colours and a side of them for either sign" in signed


def test_what_the_detector_does_not_allow_is_noted_with_the_reason() -> None:
    made = methods_figure(sampling_detector().trace(drawn_picture(192, 128)), options=OPTIONS, query=1)
    assert "One object query by one method" in made.caption
    assert made.notes[-2:] == (
        "left out: value-norm, rollout, relevance, attn-gradcam, decompose: they need attention over all cells, and "
        "this detector's is sampled",
        "gradcam is left out: method gradcam needs a single projection of the backbone's last features",
    )


def test_a_word_for_methods_is_one_method(trace: Trace) -> None:
    made = methods_figure(trace, options=OPTIONS, query=2, methods="rollout")
    assert made.provenance["method"] == "rollout"
    with pytest.raises(ChoiceError, match="no method 'row'"):
        methods_figure(trace, options=OPTIONS, query=2, methods="row")


def test_a_layer_is_for_the_methods_that_have_one(trace: Trace) -> None:
    made = methods_figure(trace, options=OPTIONS, query=2, layer=0, methods=["raw", "rollout"])
    assert "layer 0, mean of 4 heads" in made.caption
    several = methods_figure(trace, options=OPTIONS, query=2, layer="all", methods=None)
    assert any("attn-gradcam is left out: method attn-gradcam explains one layer" in note for note in several.notes)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"query": 99}, "no query 99"),
        ({"query": 0, "methods": ["raw", "magic"]}, "no method 'magic': methods are raw"),
        ({"query": 0, "methods": []}, "no method is named"),
        ({"query": 0, "layer": 9}, "no layer 9"),
        ({"query": 0, "layer": "all", "methods": ["raw", "decompose"]}, "one layer at a time"),
    ],
)
def test_what_is_not_there(trace: Trace, asked: dict[str, object], words: str) -> None:
    with pytest.raises(ChoiceError, match=words):
        methods_figure(trace, **asked)  # type: ignore[arg-type]


def test_named_methods_that_do_not_go_are_all_told_at_once() -> None:
    trace = sampling_detector().trace(drawn_picture(192, 128))
    with pytest.raises(ChoiceError, match=r"method rollout needs .*; method value-norm needs"):
        methods_figure(trace, query=0, methods=["rollout", "value-norm"])
