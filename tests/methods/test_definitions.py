"""Words that say exactly what a map is, with nothing left open."""

import re
from typing import get_args

import pytest

import detr_attnviz as av
from detr_attnviz.explanation import Direction, Kind
from detr_attnviz.methods.catalogue import LOGIT_TERMS, METHODS, RAW
from detr_attnviz.methods.definitions import definition, definition_of, heads_in_words, layers_in_words
from tests.tiny import drawn_picture, tiny_detector

OTHERS = [name for name in METHODS if name != RAW]


@pytest.mark.parametrize(
    ("kind", "direction"), [("cross", "from"), ("encoder", "from"), ("encoder", "to"), ("decoder-self", "from")]
)
def test_every_attention_says_its_softmax_layer_and_heads(kind: Kind, direction: Direction) -> None:
    words = definition(kind=kind, direction=direction)
    assert "softmax(q kᵀ / √d)" in words
    assert set(re.findall(r"\{(\w+)\}", words)) == {"layer", "heads"}


@pytest.mark.parametrize("method", OTHERS)
def test_every_method_has_words_of_its_own(method: str) -> None:
    words = definition(method)
    assert len(words) > 80
    assert words not in [definition(other) for other in OTHERS if other != method]


@pytest.mark.parametrize("kind", ["cross", "encoder"])
def test_sampled_attention_says_what_is_missing_from_the_sum(kind: Kind) -> None:
    assert "less what falls outside the picture" in definition(kind=kind, form="sampled")


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_part_of_an_attention_does_not_claim_to_add_up(kind: Kind) -> None:
    words = definition(kind=kind, is_part=True)
    assert "add up to 1" not in words
    assert "adds up to less" in words


@pytest.mark.parametrize("term", LOGIT_TERMS)
def test_a_term_is_named_in_the_formula(term: str) -> None:
    assert f"softmax(the {term} term of q kᵀ / √d)" in definition(term=term)


def test_heads_and_layers_in_words() -> None:
    assert heads_in_words("mean", 8) == "mean of 8 heads"
    assert heads_in_words("max") == "largest of all heads, cell by cell"
    assert heads_in_words(3) == "head 3 alone"
    assert layers_in_words([5]) == "5"
    assert layers_in_words([3, 5]) == "mean of 3, 5"


def test_an_explanation_leaves_nothing_open() -> None:
    trace = tiny_detector().trace(drawn_picture())
    words = definition_of(av.explain(trace, layer=0, head=1, queries=[0]))
    assert "layer 0, head 1 alone" in words
    assert "{" not in words
    to = definition_of(av.explain(trace, kind="encoder", points=(3, 3), direction="to"), 2)
    assert "to one cell" in to
    assert "mean of 2 heads" in to
