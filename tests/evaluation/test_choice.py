"""The notation of methods."""

import pytest

from detr_attnviz.errors import ChoiceError
from detr_attnviz.evaluation.choice import SEVERAL_MAPS, MethodChoice, comparable, parse_methods
from detr_attnviz.methods.catalogue import METHODS


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("raw", MethodChoice("raw")),
        (" raw:max ", MethodChoice("raw", head="max")),
        ("raw:entropy-weighted@all", MethodChoice("raw", "all", "entropy-weighted")),
        ("raw:3@4", MethodChoice("raw", 4, "3")),
        ("value-norm@3+5", MethodChoice("value-norm", (3, 5))),
        ("attn-gradcam@-2", MethodChoice("attn-gradcam", -2)),
        ("relevance", MethodChoice("relevance")),
    ],
)
def test_notation_there_and_back(text: str, choice: MethodChoice) -> None:
    assert MethodChoice.parse(text) == choice
    assert choice.name == text.strip()
    assert MethodChoice.parse(choice.name) == choice


@pytest.mark.parametrize("text", ["raw:mean", "raw@-1", "raw:mean@-1"])
def test_what_a_method_does_anyway_is_not_in_its_name(text: str) -> None:
    assert MethodChoice.parse(text).name == "raw"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("relevence", "did you mean relevance"),
        pytest.param("raw@" + "9" * 5000, "is no method: give METHOD", id="digits"),
        ("zebra", "methods to evaluate are raw, "),
        ("decompose", "several maps a query, which rank no cells"),
        ("rollout:max", "rollout:max: method rollout leaves no choice of heads"),
        ("relevance@3", "relevance@3: method relevance leaves no choice of layer"),
        ("attn-gradcam@all", "explains one layer at a time"),
        ("raw:sharpest", "head is 'sharpest'"),
        ("raw@first", "METHOD[:HEAD][@LAYERS]"),
        ("raw:", "METHOD[:HEAD][@LAYERS]"),
        ("raw,raw:mean", "raw is given twice"),
        (" , ", "no method to evaluate"),
    ],
)
def test_wrong_methods_are_told_in_words(text: str, words: str) -> None:
    with pytest.raises(ChoiceError) as told:
        parse_methods(text)
    assert words in str(told.value)


def test_order_is_kept() -> None:
    assert [choice.name for choice in parse_methods("relevance, raw:max,raw")] == ["relevance", "raw:max", "raw"]


def test_every_method_with_one_map_a_query_is_comparable() -> None:
    assert set(comparable()) == set(METHODS) - SEVERAL_MAPS
