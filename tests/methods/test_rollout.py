"""Rollout against the whole matrices, written out plainly, and against the results of the authors' code."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import detr_attnviz as av
from detr_attnviz.errors import ChoiceError
from detr_attnviz.methods.rollout import rollout
from detr_attnviz.sites import SiteKind
from detr_attnviz.trace import Trace
from tests.methods.detectors import without
from tests.parity.cases import RELEVANCE_CASES, golden
from tests.tiny import drawn_picture, tiny_detector


def product_of(trace: Trace, sites: list[str]) -> Tensor:
    """Rows of (A + I) divided by their sums; later layers on the left."""
    total = torch.eye(trace.records[sites[0]].queries)
    for site in sites:
        both = trace.records[site].map()[0].mean(0) + torch.eye(len(total))
        total = (both / both.sum(-1, keepdim=True)) @ total
    return total


@pytest.mark.parametrize("changes", [{}, {"pre_norm": True}, {"encoder_layers": 3, "decoder_layers": 4}])
def test_the_chosen_rows_of_the_whole_product(changes: dict[str, object]) -> None:
    trace = tiny_detector(**changes).trace(drawn_picture())
    cells = product_of(trace, [name for name in trace.sites if name.startswith("encoder")])
    listening = [name for name in trace.sites if name.startswith("decoder") and name.endswith("self")]
    last = trace.records[trace.sites[-1]].map()[0].mean(0)
    expected = product_of(trace, listening).T @ last @ cells
    assert_close(rollout(trace, [7, 2]).flatten(1), expected[[7, 2]])
    assert_close(rollout(trace, range(10)).flatten(1), expected)


@pytest.mark.parametrize("name", RELEVANCE_CASES)
def test_the_authors_results(name: str, tmp_path: Path) -> None:
    official = golden(name)
    detector = av.load(official.write_training_checkpoint(tmp_path), device="cpu", precision="official")
    trace = detector.trace(official.picture, shortest_px=official.shortest_px)
    queries = official.relevance["queries"].tolist()
    for method, key in (("rollout", "rollout"), ("raw", "raw")):
        found = av.explain(trace, method=method, queries=queries).maps.reshape(len(queries), -1)
        for query, ours in zip(queries, found, strict=True):
            theirs = official.relevance[f"{key}.{query}"]
            assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max(), (method, query)


@pytest.mark.parametrize(
    ("kind", "words"),
    [("encoder-self", "needs encoder self-attention"), ("decoder-self", "needs decoder self-attention")],
)
def test_attention_that_is_missing_is_named(kind: SiteKind, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = without(tiny_detector(), kind, monkeypatch).trace(drawn_picture())
    with pytest.raises(ChoiceError, match=f"method rollout {words}, and this detector has none"):
        av.explain(trace, method="rollout", queries=[1])


def test_tokens_that_are_no_cells_are_named() -> None:
    detector = tiny_detector()
    site = next(site for site in detector.sites if site.name == "encoder.0.self")
    site.module.add_zero_attn = True  # type: ignore[assignment]
    trace = detector.trace(drawn_picture())
    with pytest.raises(ChoiceError, match="over the same tokens in every layer: found 25 where 24 were expected"):
        rollout(trace, [1])


def test_a_query_that_is_not_there() -> None:
    with pytest.raises(ChoiceError, match="no query 10"):
        rollout(tiny_detector().trace(drawn_picture()), [10])
