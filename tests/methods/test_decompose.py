"""Four terms of the logits: that they are right one by one, add up, and share the whole between them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from detr_attnviz.detector import exact_inference
from detr_attnviz.errors import CaptureError, ChoiceError
from detr_attnviz.methods.decompose import TERMS, decompose
from detr_attnviz.methods.explain import explain
from detr_attnviz.models.detr import DETR
from detr_attnviz.recording.hooks import record
from detr_attnviz.trace import Trace
from tests.methods.detectors import with_biases, with_own_reader, without
from tests.tiny import drawn_picture, tiny_detector

MODELS: dict[str, dict[str, Any]] = {
    "post-norm": {},
    "pre-norm": {"pre_norm": True},
    "learned positions": {"positions": "learned"},
    "notebook": {"notebook": True, "positions": "learned"},
    "deeper": {"encoder_layers": 2, "decoder_layers": 3, "pre_norm": True},
}


@pytest.fixture(scope="module", params=MODELS)
def trace(request: pytest.FixtureRequest) -> Trace:
    return with_biases(tiny_detector(**MODELS[request.param])).trace(drawn_picture())


@pytest.fixture(scope="module")
def plain() -> Trace:
    return with_biases(tiny_detector()).trace(drawn_picture())


def logits_of(trace: Trace, site: str) -> Tensor:
    """``[heads queries tokens]`` before the softmax."""
    call = trace.records.dense(site).call
    return call.scale * (call.query @ call.key.mT)[0]


def model_of(trace: Trace) -> DETR:
    return trace.detector.family.model  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("head", ["mean", 0, "3"])
def test_terms_add_up_to_the_logits_at_every_site(trace: Trace, head: str | int) -> None:
    for site in [name for name in trace.sites if not name.startswith("decoder") or name.endswith("cross")]:
        logits = logits_of(trace, site)
        expected = logits.mean(0) if head == "mean" else logits[int(head)]
        found = decompose(trace, site, head=head)
        assert_close(found.maps.view(-1, 4, 24).sum(1), expected, atol=2e-6, rtol=1e-5)
        shares = torch.tensor(found.shares).view(-1, 4)
        assert_close(shares.sum(1), torch.ones(len(shares)))


def test_each_term_by_hand_from_the_models_own_positions(trace: Trace) -> None:
    model, grid = model_of(trace), trace.grid
    with torch.no_grad():
        queries = model.query_embed.weight
        cells = model.backbone[1](torch.zeros(1, grid.rows, grid.cols, dtype=torch.bool))[0].flatten(1).T
        if model.notebook:  # there both joined the content before the first layer
            queries, cells = torch.zeros_like(queries), torch.zeros_like(cells)
        site, head = trace.sites[-1], slice(8, 16)
        module = trace.site(site).module
        assert isinstance(module, nn.MultiheadAttention)
        went_in = trace.records[site].inputs
        wq, wk, _ = (weight[head] for weight in module.in_proj_weight.chunk(3))
        bq, bk, _ = (bias[head] for bias in module.in_proj_bias.chunk(3))
        of_queries = ((went_in.query[0] - queries) @ wq.T + bq, queries @ wq.T)
        of_cells = ((went_in.key[0] - cells) @ wk.T + bk, cells @ wk.T)
        expected = [query @ cell.T / 8**0.5 for query in of_queries for cell in of_cells]
    found = decompose(trace, site, head=1).maps.view(-1, 4, 24)
    assert_close(found, torch.stack(expected, dim=1), atol=2e-6, rtol=1e-4)


def test_at_an_encoder_point_the_point_is_the_query(plain: Trace) -> None:
    cell = plain.grid.token_at(70, 20)
    at_point = decompose(plain, "encoder.0.self", head=2, points=(70, 20))
    assert_close(at_point.maps.flatten(1).sum(0), logits_of(plain, "encoder.0.self")[2, cell])
    of_all = decompose(plain, "encoder.0.self", head=2)
    assert_close(at_point.maps, of_all.maps[4 * cell : 4 * cell + 4])


def test_without_positions_content_is_all_there_is() -> None:
    trace = tiny_detector(notebook=True, positions="learned").trace(drawn_picture())
    found = explain(trace, method="decompose", queries=[1])
    assert found.maps[1:].any() == np.False_
    assert found.shares == pytest.approx((1, 0, 0, 0))


def test_a_share_is_the_covariance_with_the_whole(plain: Trace) -> None:
    found = decompose(plain, "decoder.1.cross", head=3, queries=[5])
    terms = found.maps.flatten(1).double().numpy()
    whole = terms.sum(0)
    expected = [np.cov(term, whole)[0, 1] / np.var(whole, ddof=1) for term in terms]
    assert found.shares == pytest.approx(expected, rel=1e-4)


def test_shares_of_the_mean_are_of_all_heads_together(plain: Trace) -> None:
    covariances = np.zeros(4)
    for head in range(4):
        terms = decompose(plain, "decoder.1.cross", head=head, queries=[5]).maps.flatten(1).double().numpy()
        covariances += [np.cov(term, terms.sum(0))[0, 1] for term in terms]
    found = decompose(plain, "decoder.1.cross", queries=[5]).shares
    assert found == pytest.approx(covariances / covariances.sum(), rel=1e-4)


def test_logits_equal_everywhere_have_no_shares() -> None:
    detector = tiny_detector()
    module = detector.sites[-1].module
    assert isinstance(module, nn.MultiheadAttention)
    module.in_proj_weight.data[:32] = 0
    module.in_proj_bias.data[:32] = 0
    assert decompose(detector.trace(drawn_picture()), "decoder.1.cross", queries=[5]).shares == (0, 0, 0, 0)


def test_a_masked_cell_is_zero_and_leaves_the_shares_of_the_others_alone(plain: Trace) -> None:
    is_padding = torch.zeros(1, 128, 192, dtype=torch.bool)
    is_padding[:, :, 160:] = True  # the last of six columns
    with exact_inference(torch.device("cpu")), record(plain.detector.sites) as records:
        model_of(plain)(plain.prepared.inputs["images"], is_padding)
    masked = replace(plain, records=records)
    assert records["decoder.1.cross"].map(queries=[5])[..., 5].max() == 0
    for head in ("mean", 2):
        found = decompose(masked, "decoder.1.cross", head=head, queries=[5])
        assert found.maps[:, :, 5].abs().max() == 0
        assert found.maps[:, :, :5].abs().min() > 0
        assert sum(found.shares) == pytest.approx(1)
    terms = found.maps[:, :, :5].flatten(1).double().numpy()
    expected = [np.cov(term, terms.sum(0))[0, 1] / np.var(terms.sum(0), ddof=1) for term in terms]
    assert found.shares == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("shape", [(1, 1, 1, 24), (1, 1, 10, 24), (1, 4, 10, 24)])
@pytest.mark.parametrize("hiding", [-torch.inf, -1e9])
def test_masks_of_any_shape_hide_only_their_own_cells(shape: tuple[int, ...], hiding: float) -> None:
    trace = tiny_detector().trace(drawn_picture())
    is_hidden = torch.rand(shape) < 0.3
    mask = torch.zeros(shape).masked_fill(is_hidden, hiding)
    call = trace.records["decoder.1.cross"].call
    object.__setattr__(call, "mask", mask)
    found = decompose(trace, "decoder.1.cross", head=3, queries=[7, 5]).maps.flatten(1)
    expected = is_hidden.expand(1, 4, 10, 24)[0, 3, [7, 5]].repeat_interleave(4, dim=0)
    assert torch.equal(found == 0, expected)


def test_an_explanation_repeats_whom_its_terms_are_of(plain: Trace) -> None:
    found = explain(plain, method="decompose", queries=[5, 2], layer=0)
    assert [seen.index for seen in found.detections] == [5] * 4 + [2] * 4
    assert found.terms == TERMS * 2
    assert (found.maps.shape, len(found.shares), found.is_signed) == ((8, 4, 6), 8, True)
    assert (found.site, found.quantity, found.head) == ("decoder.0.cross", "logit", "mean")
    at_points = explain(plain, method="decompose", kind="encoder", points=[(5, 5), (70, 20)])
    assert at_points.points == ((5, 5),) * 4 + ((70, 20),) * 4


def test_what_positions_are_told_by_is_named_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = without(tiny_detector(), "decoder-self", monkeypatch).trace(drawn_picture())
    with pytest.raises(ChoiceError, match=r"needs decoder self-attention in layer 1, which tells a query's position"):
        explain(trace, method="decompose", queries=[1])
    read = with_own_reader(tiny_detector(), monkeypatch).trace(drawn_picture())
    with pytest.raises(ChoiceError, match=r"decoder\.1\.cross is none: choose raw or value-norm"):
        explain(read, method="decompose", queries=[1])
    with pytest.raises(CaptureError, match="Attention has a reader of its own"):
        decompose(read, "decoder.1.cross", queries=[1])


def test_tokens_that_were_added_are_no_cells() -> None:
    detector = tiny_detector()
    detector.sites[-1].module.add_zero_attn = True  # type: ignore[assignment]
    with pytest.raises(ChoiceError, match="positions of decoder.1.cross cannot be told from content"):
        explain(detector.trace(drawn_picture()), method="decompose", queries=[1])


def test_choices_that_are_not_there(plain: Trace) -> None:
    with pytest.raises(ChoiceError, match="no head 4: head must be in 0–3"):
        decompose(plain, "decoder.1.cross", head=4, queries=[0])
    with pytest.raises(ChoiceError, match="head is 'max': it must be mean or a head's number"):
        decompose(plain, "decoder.1.cross", head="max", queries=[0])
