"""Words that say exactly what a map is, with nothing left open."""

import re
from typing import Any

import pytest

import detr_attnviz as av
from detr_attnviz.explanation import Direction, Kind
from detr_attnviz.methods.catalogue import LOGIT_TERMS, METHODS, RAW
from detr_attnviz.methods.definitions import definition, definition_of, heads_in_words, layers_in_words, sum_in_words
from tests.methods.sampling import sampling_detector
from tests.tiny import drawn_picture, tiny_detector

OTHERS = [name for name in METHODS if name != RAW]


@pytest.mark.parametrize(
    ("kind", "direction"), [("cross", "from"), ("encoder", "from"), ("encoder", "to"), ("decoder-self", "from")]
)
def test_every_attention_says_its_softmax_layer_and_heads(kind: Kind, direction: Direction) -> None:
    words = definition(kind=kind, direction=direction)
    assert "softmax(q kᵀ / √d)" in words
    assert set(re.findall(r"\{(\w+)\}", words)) == (
        {"layer", "heads"} if direction == "to" else {"layer", "heads", "sum"}
    )


@pytest.mark.parametrize("method", OTHERS)
def test_every_method_has_words_of_its_own(method: str) -> None:
    words = definition(method)
    assert len(words) > 80
    assert words not in [definition(other) for other in OTHERS if other != method]


@pytest.mark.parametrize("kind", ["cross", "encoder"])
def test_sampled_attention_says_what_is_missing_from_the_sum(kind: Kind) -> None:
    assert "places" in definition(kind=kind, form="sampled")
    assert "less what falls outside the picture" in sum_in_words(kind, form="sampled")
    assert "only those of level 1 are shown" in sum_in_words(kind, form="sampled", level=1)


@pytest.mark.parametrize(("kind", "direction"), [("cross", "from"), ("encoder", "from"), ("encoder", "to")])
def test_a_part_of_an_attention_names_no_encoder_and_no_decoder(kind: Kind, direction: Direction) -> None:
    words = definition(kind=kind, direction=direction, is_part=True)
    assert "coder" not in words
    assert "less than 1" in sum_in_words(kind, is_part=True)


@pytest.mark.parametrize("term", LOGIT_TERMS)
def test_a_term_is_named_in_the_formula(term: str) -> None:
    assert f"softmax(the {term} term of q kᵀ / √d)" in definition(term=term)


def test_heads_and_layers_in_words() -> None:
    assert heads_in_words("mean", 8) == "mean of 8 heads"
    assert heads_in_words("max") == "largest of all heads, cell by cell"
    assert heads_in_words(3) == "head 3 alone"
    assert layers_in_words([5]) == "5"
    assert layers_in_words([3, 5]) == "mean of 3, 5"


@pytest.mark.parametrize("head", ["mean", "max", "entropy-weighted", 2])
@pytest.mark.parametrize("kind", ["cross", "encoder", "decoder-self"])
def test_what_is_said_of_the_sum_is_so(kind: Kind, head: str | int) -> None:
    trace = tiny_detector().trace(drawn_picture())
    asked: dict[str, Any] = {"points": [(3, 3)]} if kind == "encoder" else {"queries": [0]}
    found = av.explain(trace, kind=kind, head=head, **asked)
    says_one = bool(re.search(r"all (cells|queries) add up to 1\.$", definition_of(found)))
    assert says_one == (head != "max")
    assert (abs(float(found.maps.sum()) - 1) < 1e-5) == says_one


def test_the_largest_of_sampled_heads_is_still_sampled_attention() -> None:
    trace = sampling_detector().trace(drawn_picture(), shortest_px=128, longest_px=192)
    found = av.explain(trace, head="max", queries=[0])
    assert definition_of(found).startswith("Deformable cross-attention")
    assert definition_of(found).endswith("they need not add up to 1.")


def test_an_explanation_leaves_nothing_open() -> None:
    trace = tiny_detector().trace(drawn_picture())
    words = definition_of(av.explain(trace, layer=0, head=1, queries=[0]))
    assert "layer 0, head 1 alone" in words
    assert "{" not in words
    to = definition_of(av.explain(trace, kind="encoder", points=(3, 3), direction="to"), 2)
    assert "to one cell" in to
    assert "mean of 2 heads" in to
