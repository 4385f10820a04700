"""What a method can be asked is known, and checked, without a model."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from detr_attnviz.errors import ChoiceError
from detr_attnviz.methods.catalogue import METHODS, checked_facts, head_number, layers_of

DEFAULTS: dict[str, Any] = {"method": "raw", "kind": "cross", "layer": -1, "head": "mean", "direction": "from"}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_asked_for_a_kind_of_its_own_by_default(method: str) -> None:
    for kind in METHODS[method].kinds:
        assert checked_facts(method, kind, -1, "mean", "from") is METHODS[method]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"method": "magic"}, "no method 'magic': methods are raw, rollout, .*gradcam"),
        ({"kind": "sideways"}, "no kind 'sideways': kinds are cross, encoder, decoder-self"),
        (
            {"method": "rollout", "kind": "encoder"},
            "method rollout explains kind cross, not encoder: for that choose raw or value-norm or decompose",
        ),
        (
            {"method": "decompose", "kind": "decoder-self"},
            "decompose explains kind cross and encoder, not decoder-self: for that choose raw or value-norm$",
        ),
        ({"direction": "up"}, "direction is 'up': it must be 'from' or 'to'"),
        ({"direction": "to"}, "direction belongs to kind 'encoder'; kind is 'cross'"),
        ({"method": "decompose", "kind": "encoder", "direction": "to"}, "decompose shows what a point looks at"),
        ({"method": "relevance", "layer": 3}, "relevance leaves no choice of layer .layer is 3.: leave it out"),
        ({"method": "rollout", "layer": "all"}, "leaves no choice of layer"),
        ({"method": "decompose", "layer": (3, 5)}, "decompose explains one layer at a time: layer is 3, 5"),
        ({"method": "attn-gradcam", "layer": "all"}, "attn-gradcam explains one layer at a time: layer is all"),
        ({"layer": "last"}, "layer is 'last': it must be a layer's number, several numbers, or 'all'"),
        ({"layer": ()}, "layer is .*: it must be"),
        ({"layer": 1.5}, "layer is 1.5: it must be"),
        ({"method": "gradcam", "head": 2}, "gradcam leaves no choice of heads .head is 2.: leave it out"),
        ({"head": "best"}, "head is 'best': it must be mean, max, entropy-weighted or a head's number"),
        ({"head": -1}, "head is -1: it must be"),
        ({"head": "9" * 5000}, "it must be mean"),
        ({"method": "decompose", "head": "max"}, "head is 'max': it must be mean or a head's number with method deco"),
        ({"method": "decompose", "head": "entropy-weighted"}, "must be mean or a head's number with method decompose"),
    ],
)
def test_what_cannot_be_asked_is_said(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ChoiceError, match=words):
        checked_facts(**DEFAULTS | asked)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ChoiceError, match=r"explains kind cross.*; .*no choice of layer.*; .*no choice of heads"):
        checked_facts("rollout", "encoder", 2, "max", "from")


def test_layers_as_they_were_given() -> None:
    assert layers_of(-1) == (-1,)
    assert layers_of([3, 5]) == (3, 5)
    assert layers_of(np.array([3, 5])) == (3, 5)  # type: ignore[arg-type]
    assert layers_of(np.int64(3)) == (3,)  # type: ignore[arg-type]
    assert layers_of("all") is None


def test_one_layer_may_be_given_as_a_list() -> None:
    checked_facts("decompose", "cross", [2, 2], "mean", "from")


def test_heads_by_number_and_by_how_they_join() -> None:
    assert head_number("3") == head_number(3) == 3
    assert head_number("max") is None


def test_only_attention_is_a_share_of_attention() -> None:
    assert [name for name, facts in METHODS.items() if facts.is_attention] == ["raw"]
    assert [name for name, facts in METHODS.items() if facts.is_signed] == ["decompose"]


def test_facts_are_known_without_torch() -> None:
    code = "import sys; import detr_attnviz.methods.catalogue; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
