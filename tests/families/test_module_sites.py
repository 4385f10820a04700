"""Sites that an owner names."""

from collections.abc import Mapping
from typing import Any

import pytest
from torch import nn

from detr_attnviz.errors import ChoiceError
from detr_attnviz.families.module_sites import checked_sites
from detr_attnviz.sites import AttentionCall, AttentionSite


def read(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AttentionCall:
    return AttentionCall(args[0], args[1], 1.0)


@pytest.fixture
def model() -> nn.ModuleDict:
    return nn.ModuleDict({"own": nn.Linear(2, 2), "usual": nn.MultiheadAttention(4, 2)})


def test_good_sites_stay_in_their_order(model: nn.ModuleDict) -> None:
    sites = [
        AttentionSite("decoder.1.cross", "decoder-cross", 1, model["own"], read),
        AttentionSite("decoder.1.self", "decoder-self", 1, model["usual"]),
    ]
    assert checked_sites(model, sites) == tuple(sites)


def test_all_faults_are_listed_at_once(model: nn.ModuleDict) -> None:
    sites = [
        AttentionSite("cross", "decoder-cross", 3, model["own"], read),
        AttentionSite("decoder.0.self", "decoder-self", 0, nn.Linear(2, 2), read),
        AttentionSite("decoder.0.self", "decoder-self", 0, model["own"]),
        AttentionSite("encoder.0.self", "encoder-self", 0, model["usual"], form="sampled"),
        AttentionSite("x", "encoder", 0, model["own"], read),  # type: ignore[arg-type]
    ]
    with pytest.raises(ChoiceError) as caught:
        checked_sites(model, sites)
    for words in (
        "cross is decoder-cross of layer 3, which is called decoder.3.cross",
        "decoder.0.self watches a Linear that is not inside the module",
        "decoder.0.self is no nn.MultiheadAttention but Linear: it needs a reader",
        "encoder.0.self is sampled: it needs a reader",
        "kind of x is 'encoder': it must be encoder-self, decoder-self, decoder-cross",
        "there are several decoder.0.self",
    ):
        assert words in str(caught.value)


def test_queries_alone_are_not_enough(model: nn.ModuleDict) -> None:
    with pytest.raises(ChoiceError, match="nothing looks at the picture"):
        checked_sites(model, [AttentionSite("decoder.0.self", "decoder-self", 0, model["usual"])])
    with pytest.raises(ChoiceError, match="nothing looks at the picture"):
        checked_sites(model, [])


def test_what_is_no_site_is_named() -> None:
    with pytest.raises(ChoiceError, match="sites must be AttentionSites; found str, tuple"):
        checked_sites(nn.Linear(2, 2), ["decoder.0.cross", ("decoder",)])  # type: ignore[list-item]
