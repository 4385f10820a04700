from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from detr_attnviz.detector import Detector
from detr_attnviz.explorer import dense
from detr_attnviz.explorer.arrays import TOLERANCE
from detr_attnviz.explorer.page import explore
from detr_attnviz.recording.multihead import read_multihead
from detr_attnviz.sites import AttentionCall
from detr_attnviz.trace import Trace
from tests.explorer.reading import ReadPage, worst
from tests.tiny import drawn_picture, tiny_detector

KINDS = ("cross", "encoder", "decoder-self")


@pytest.fixture
def detector() -> Detector:
    return tiny_detector()


def traced(detector: Detector) -> Trace:
    return detector.trace(drawn_picture())


def changed(detector: Detector, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Trace:
    """A trace whose sites read their calls with ``changes``, functions of the call."""

    def read(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AttentionCall:
        call = read_multihead(module, args, kwargs)
        return replace(call, **{name: change(call) for name, change in changes.items()})

    monkeypatch.setitem(vars(detector), "sites", tuple(replace(site, read=read) for site in detector.sites))
    return traced(detector)


@pytest.mark.parametrize("kind", KINDS)
def test_every_map_of_every_layer_and_head_is_the_records(detector: Detector, kind: str) -> None:
    trace = traced(detector)
    page = ReadPage(explore(trace))
    sites = page.sites(kind)
    assert [site["name"] for site in sites] == [name for name in trace.sites if kind_of(trace, name) == kind]
    for site in sites:
        true = trace.records[site["name"]].map()[0].numpy()
        assert worst(page.maps(site), true) <= TOLERANCE
        assert site["error"] <= TOLERANCE
        assert page.array(site["query"]["values"]).dtype == np.int16


def kind_of(trace: Trace, name: str) -> str:
    return {"encoder-self": "encoder", "decoder-cross": "cross"}.get(kind := trace.site(name).kind, kind)


def test_log_sums_turn_logits_into_columns(detector: Detector) -> None:
    trace = traced(detector)
    page = ReadPage(explore(trace))
    (site,) = page.sites("encoder")
    columns = np.exp(page.logits(site) - page.array(site["log_sums"])[..., None])
    true = trace.records["encoder.0.self"].columns(range(site["tokens"]))[0].numpy()
    assert worst(columns.transpose(0, 2, 1), true.transpose(0, 2, 1)) <= TOLERANCE
    assert page.sites("cross")[0]["log_sums"] is None


def test_a_site_knows_its_grid_and_says_how_it_is_counted(detector: Detector) -> None:
    trace = traced(detector)
    page = ReadPage(explore(trace))
    (encoder,), cross = page.sites("encoder"), page.sites("cross")[1]
    assert (cross["layer"], cross["heads"], cross["queries"], cross["tokens"]) == (1, 4, 10, trace.grid.tokens)
    assert cross["grid"] == encoder["grid"]
    assert cross["grid"]["canvas"] == [trace.grid.rows, trace.grid.cols]
    assert page.sites("decoder-self")[0]["grid"] is None
    assert (cross["form"], cross["is_part"], cross["shown"], cross["terms"]) == ("dense", False, None, {})


def test_numbers_that_sixteen_bits_do_not_keep_are_written_in_thirty_two(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = changed(detector, monkeypatch, scale=lambda call: 1000 * call.scale)
    page = ReadPage(explore(trace))
    for kind in KINDS:
        for site in page.sites(kind):
            true = trace.records[site["name"]].map()[0].numpy()
            assert worst(page.maps(site), true) <= TOLERANCE
    assert any("scale" not in site["key"] for kind in KINDS for site in page.sites(kind))


@pytest.mark.parametrize("is_hidden", [False, True])
def test_what_all_queries_have_in_common_is_added_exactly(
    detector: Detector, monkeypatch: pytest.MonkeyPatch, is_hidden: bool
) -> None:
    def mask(call: AttentionCall) -> Tensor | None:
        return hidden(call, per_query=True, number=-torch.inf) if is_hidden else None

    def opposed(call: AttentionCall) -> Tensor:
        """Two dimensions that nearly cancel for a query with the same in both, however large."""
        far = torch.linspace(-30, 30, call.key.shape[2])[:, None] * torch.tensor([1.0, -1.0])
        return torch.cat((far + 0.01 * call.key[..., :2], call.key[..., 2:]), -1)

    def alike(call: AttentionCall) -> Tensor:
        both = 100 + 0.1 * call.query[..., :1]
        return torch.cat((both, both, call.query[..., 2:]), -1)

    trace = changed(detector, monkeypatch, query=alike, key=opposed, mask=mask)
    page = ReadPage(explore(trace))
    for kind in KINDS:
        site = page.sites(kind)[0]
        assert site["bias"]["shape"] == [4, 1, site["tokens"]]
        assert "scale" in site["query"]
        assert (site["hidden"] is not None) == is_hidden
        assert worst(page.maps(site), trace.records[site["name"]].map()[0].numpy()) <= TOLERANCE


def test_values_that_are_not_finite_are_written_as_they_are(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(call: AttentionCall) -> Tensor:
        query = call.query.clone()
        query[:, 1, 2, 0] = torch.nan
        return query

    trace = changed(detector, monkeypatch, query=broken)
    found = explore(trace)
    page = ReadPage(found)
    site = page.sites("cross")[0]
    maps, true = page.maps(site), trace.records[site["name"]].map()[0].numpy()
    assert np.isnan(maps[1, 2]).all()
    np.testing.assert_array_equal(np.isnan(maps), np.isnan(true))
    np.testing.assert_allclose(maps, true, atol=1e-5)
    assert found.largest_error <= TOLERANCE


def test_a_head_that_looks_everywhere_alike_is_packed(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = changed(detector, monkeypatch, query=lambda call: torch.zeros_like(call.query))
    page = ReadPage(explore(trace))
    site = page.sites("cross")[0]
    assert "scale" in site["query"]
    np.testing.assert_allclose(page.maps(site), 1 / site["tokens"], rtol=1e-6)


def hidden(call: AttentionCall, *, per_query: bool, number: float) -> Tensor:
    queries = call.query.shape[2] if per_query else 1
    mask = torch.zeros(1, 1, queries, call.key.shape[2])
    mask[..., 2] = number
    mask[:, :, 1:, 0] = number
    return mask


@pytest.mark.parametrize("per_query", [False, True])
@pytest.mark.parametrize("number", [-torch.inf, -1e9])
def test_hidden_tokens_are_ones_and_get_nothing(
    detector: Detector, monkeypatch: pytest.MonkeyPatch, per_query: bool, number: float
) -> None:
    trace = changed(detector, monkeypatch, mask=lambda call: hidden(call, per_query=per_query, number=number))
    page = ReadPage(explore(trace))
    for kind in KINDS:
        site = page.sites(kind)[0]
        assert site["bias"] is None
        assert site["hidden"]["dtype"] == "uint8"
        assert len(site["hidden"]["shape"]) == (2 if per_query else 1)
        maps = page.maps(site)
        assert (maps[..., 2] == 0).all()
        assert worst(maps, trace.records[site["name"]].map()[0].numpy()) <= TOLERANCE


def test_tokens_that_nobody_sees_cost_no_precision(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_garbage(call: AttentionCall) -> Tensor:
        key = call.key.clone()
        key[:, :, 2] = 1e6
        return key

    trace = changed(
        detector,
        monkeypatch,
        key=with_garbage,
        mask=lambda call: hidden(call, per_query=False, number=-torch.inf),
    )
    page = ReadPage(explore(trace))
    assert all("scale" in site["key"] for kind in KINDS for site in page.sites(kind))


def test_a_query_that_sees_nothing_has_no_numbers(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(call: AttentionCall) -> Tensor:
        mask = torch.zeros(1, 1, call.query.shape[2], call.key.shape[2])
        mask[:, :, 3] = -torch.inf
        return mask

    page = ReadPage(explore(changed(detector, monkeypatch, mask=blind)))
    site = page.sites("cross")[0]
    with np.errstate(invalid="ignore"):
        maps = page.maps(site)
    assert np.isnan(maps[:, 3]).all()
    assert np.isfinite(np.delete(maps, 3, axis=1)).all()
    assert site["error"] <= TOLERANCE


@pytest.mark.parametrize("shape", [(1, 1, 1, 0), (1, 4, 1, 0), (1, 1, 0, 0), (1, 4, 0, 1)])
def test_a_mask_of_numbers_is_added(
    detector: Detector, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]
) -> None:
    def added(call: AttentionCall) -> Tensor:
        full = (1, 4, call.query.shape[2], call.key.shape[2])
        mask = torch.randn(*(size or whole for size, whole in zip(shape, full, strict=True)))
        mask[..., -1] = -torch.inf if shape[-1] == 0 else 0.5
        return mask

    trace = changed(detector, monkeypatch, mask=added)
    page = ReadPage(explore(trace))
    for kind in KINDS:
        site = page.sites(kind)[0]
        assert site["hidden"] is None
        assert worst(page.maps(site), trace.records[site["name"]].map()[0].numpy()) <= TOLERANCE


def test_hidden_by_finite_numbers_everywhere_still_weighs_as_the_record_does(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = changed(detector, monkeypatch, mask=lambda call: torch.full((1, 1, 1, call.key.shape[2]), -2e4))
    page = ReadPage(explore(trace))
    site = page.sites("cross")[0]
    assert site["hidden"] is None
    # The record's own float32 logits near −20,000 are whole steps of 0.002 apart.
    assert worst(page.maps(site), trace.records[site["name"]].map()[0].numpy()) <= 1e-2


def test_a_mask_that_hides_nothing_is_left_out(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = changed(detector, monkeypatch, mask=lambda call: torch.zeros(1, 1, 1, call.key.shape[2]))
    site = ReadPage(explore(trace)).sites("cross")[0]
    assert site["hidden"] is site["bias"] is None


def test_terms_alone_are_the_records_too(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    terms = {"content": slice(0, 3), "spatial": slice(3, None)}
    trace = changed(detector, monkeypatch, terms=lambda call: terms)
    page = ReadPage(explore(trace))
    site = page.sites("cross")[0]
    assert site["terms"] == {"content": [0, 3], "spatial": [3, 8]}
    for term in terms:
        true = trace.records[site["name"]].map(term=term)[0].numpy()
        assert worst(page.maps(site, term), true) <= TOLERANCE


def test_the_error_found_is_the_error_there_is(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = changed(detector, monkeypatch, scale=lambda call: 30 * call.scale)
    monkeypatch.setattr(dense, "TOLERANCE", 1.0)
    page = ReadPage(explore(trace))
    for kind in KINDS:
        for site in page.sites(kind):
            true = trace.records[site["name"]].map()[0].numpy()
            own = page.maps(site)
            found = [worst(own, true), worst(own.mean(0), true.mean(0))]
            if kind == "encoder":
                found.append(worst(own.transpose(0, 2, 1), true.transpose(0, 2, 1)))
                assert found[2] > 1.2 * found[0]
            assert site["error"] == pytest.approx(max(found), rel=0.05, abs=2e-6)
            assert "scale" in site["key"]


def test_the_error_of_a_term_counts(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two terms that cancel: of both together there is nothing to get wrong."""

    def opposed(call: AttentionCall) -> Tensor:
        return torch.cat((50 * call.key[..., :4], -50 * call.key[..., :4]), -1)

    trace = changed(
        detector,
        monkeypatch,
        query=lambda call: torch.cat((call.query[..., :4], call.query[..., :4]), -1),
        key=opposed,
        terms=lambda call: {"content": slice(0, 4), "spatial": slice(4, 8)},
    )
    monkeypatch.setattr(dense, "TOLERANCE", 1.0)
    page = ReadPage(explore(trace))
    site = page.sites("encoder")[0]
    found = [worst(page.maps(site, t), trace.records[site["name"]].map(term=t)[0].numpy()) for t in site["terms"]]
    assert site["error"] == pytest.approx(max(found), rel=0.05)
    assert max(found) > 1e-5


def test_tokens_that_are_all_shown_are_no_part(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = changed(detector, monkeypatch, shown=lambda call: slice(0, call.key.shape[2]))
    page = ReadPage(explore(trace))
    assert [(site["shown"], site["is_part"]) for site in page.sites("cross")] == [(None, False)] * 2


def test_what_only_some_heads_may_not_see_is_added(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    def of_one_head(call: AttentionCall) -> Tensor:
        mask = torch.zeros(1, 4, 1, call.key.shape[2])
        mask[:, 2, :, 1] = -torch.inf
        return mask

    trace = changed(detector, monkeypatch, mask=of_one_head)
    page = ReadPage(explore(trace))
    site = page.sites("cross")[0]
    assert (site["hidden"], site["bias"]["shape"]) == (None, [4, 1, site["tokens"]])
    maps = page.maps(site)
    assert (maps[2, :, 1] == 0).all()
    assert (maps[[0, 1, 3], :, 1] > 0).all()


def test_rows_compared_in_chunks_are_compared_all(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = traced(detector)
    whole = explore(trace)
    monkeypatch.setattr(dense, "_CHUNK_VALUES", 500)
    assert explore(trace).largest_error == pytest.approx(whole.largest_error, rel=1e-2)
    assert len(explore(trace).html) == pytest.approx(len(whole.html), abs=200)
