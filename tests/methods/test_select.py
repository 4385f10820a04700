"""Which queries are looked at."""

from dataclasses import replace

import pytest

from detr_attnviz.detections import NO_CLASS, Detection
from detr_attnviz.errors import ChoiceError
from detr_attnviz.methods.request import Request
from detr_attnviz.methods.select import chosen_detections, select
from detr_attnviz.trace import Trace
from tests.tiny import drawn_picture, tiny_detector

SCORES = [0.2, 0.9, 0.8, 0.71, 0.3, 0.1, 0.1, 0.1, 0.1, 0.1]
LABELS = [0, 1, 0, 0, 2, 3, 3, 3, 3, 3]
NAMES = ("cat", "dog", "bird", "fish", "cow")


@pytest.fixture(scope="module")
def trace() -> Trace:
    seen = tuple(
        Detection(index, score, label, NAMES[label], (0, 0, 1, 1))
        for index, (score, label) in enumerate(zip(SCORES, LABELS, strict=True))
    )
    return replace(tiny_detector().trace(drawn_picture()), detections=seen)


def test_best_first_above_the_threshold(trace: Trace) -> None:
    assert select(trace) == (1, 2, 3)
    assert select(trace, threshold=0.25) == (1, 2, 3, 4)


@pytest.mark.parametrize("label", ["cat", "CAT", ["cat"], "0", 0])
def test_label_by_name_in_any_case_or_id(trace: Trace, label: str | int | list[str]) -> None:
    assert select(trace, label=label) == (2, 3)


def test_several_labels(trace: Trace) -> None:
    assert select(trace, label=["cat", "dog"], top_k=2) == (1, 2)


def test_nothing_passes(trace: Trace) -> None:
    assert select(trace, threshold=0.95) == ()
    assert select(trace, threshold=0.95, fallback=3) == (1, 2, 3)
    assert select(trace, threshold=0.95, fallback=3, label="bird") == (4,)
    assert select(trace, label="cow", fallback=3) == ()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threshold": 1.5}, "threshold is 1.5: it must be in 0–1"),
        ({"top_k": 0}, "top_k is 0"),
        ({"label": "cta"}, "no class 'cta' in this checkpoint; did you mean cat"),
        ({"label": "zzz"}, "its classes are cat, dog, bird, fish, cow"),
        ({"label": "5"}, "no class '5'"),
    ],
)
def test_bad_choices(trace: Trace, options: dict[str, object], words: str) -> None:
    with pytest.raises(ChoiceError, match=words):
        select(trace, **options)  # type: ignore[arg-type]


def test_unknown_query_names_the_range(trace: Trace) -> None:
    with pytest.raises(ChoiceError, match="no query 10: queries are 0–9"):
        chosen_detections(trace, [3, 10])


def test_request_says_when_nothing_was_sure(trace: Trace) -> None:
    unsure = Request(threshold=0.95)
    assert unsure.settled(trace.detector).remark(unsure.answer(trace)) == (
        "no detection reaches the threshold 0.95: showing the 3 best instead"
    )
    assert "3 best instead" in unsure.answer(trace).provenance["note"]
    sure = Request()
    assert sure.settled(trace.detector).remark(sure.answer(trace)) == ""
    named = Request(queries=(5,))
    assert named.queries_of(trace) == (5,)
    assert named.settled(trace.detector).remark(named.answer(trace)) == ""


def test_request_without_any_object(trace: Trace) -> None:
    nothing = Request(labels=("cow",))
    assert (
        nothing.settled(trace.detector)
        .remark(nothing.answer(trace))
        .startswith("no detection of cow to show: lower --threshold (0.7)")
    )


def test_request_names_the_labels_it_was_unsure_of(trace: Trace) -> None:
    birds = Request(labels=("bird",))
    assert birds.settled(trace.detector).remark(birds.answer(trace)) == (
        "no detection of bird reaches the threshold 0.7: showing the 1 best instead"
    )


@pytest.fixture
def unscored(trace: Trace) -> Trace:
    without = {"score": float("nan"), "label": NO_CLASS, "name": "no class"}
    return replace(trace, detections=tuple(replace(one, **without) for one in trace.detections))  # type: ignore[arg-type]


def test_query_without_a_class_has_none_of_the_labels(unscored: Trace) -> None:
    assert select(unscored, fallback=3) == (0, 1, 2)
    assert select(unscored, label=[*NAMES[:4], "4"], fallback=3) == ()
    for label in ("no class", "-1", NO_CLASS):
        with pytest.raises(ChoiceError, match=f"no class '{label}'"):
            select(unscored, label=label)


def test_request_says_when_no_score_is_a_number(unscored: Trace) -> None:
    remark = Request(threshold=0.5).remark(Request(threshold=0.5).answer(unscored))
    assert remark == "no detection has a score that is a number: showing 3 of them"


def test_request_refuses_what_no_model_could_answer() -> None:
    with pytest.raises(ChoiceError, match="rollout explains kind cross, not encoder"):
        Request(method="rollout", kind="encoder", points=((1, 1),))
    with pytest.raises(ChoiceError, match="layer is 'last'"):
        Request(layer="last")  # type: ignore[arg-type]


def test_request_of_several_maps_a_query_counts_queries(trace: Trace) -> None:
    unsure = Request(method="decompose", threshold=0.95)
    assert "showing the 3 best instead" in unsure.settled(trace.detector).remark(unsure.answer(trace))
