"""Sampled attention: weights on a grid against interpolation itself, and the record of a small deformable module."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from detr_attnviz.errors import CaptureError, ChoiceError
from detr_attnviz.recording.hooks import capture, record
from detr_attnviz.recording.records import DenseRecord
from detr_attnviz.recording.sampled import SampledRecord, splat
from detr_attnviz.sites import AttentionSite, Note, SampledCall

SHAPES = ((6, 8), (3, 4))


class Deformable(nn.Module):
    """Two heads that read two places on each of two feature maps around a reference point."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.offsets = nn.Linear(16, 2 * 4 * 2)
        self.weights = nn.Linear(16, 2 * 4)

    def places(self, x: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        offsets = self.offsets(x).unflatten(-1, (2, 4, 2)).transpose(1, 2)
        weights = self.weights(x).unflatten(-1, (2, 4)).softmax(-1).transpose(1, 2)
        return reference[:, None, :, None] + 0.3 * offsets, weights

    def forward(self, x: Tensor, *, reference: Tensor) -> Tensor:
        places, weights = self.places(x, reference)
        return (places.sum(-1) * weights).sum(-1)


def read(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> SampledCall:
    assert isinstance(module, Deformable)
    places, weights = module.places(args[0], kwargs["reference"])
    return SampledCall(places, weights, (0, 0, 1, 1), SHAPES, kwargs["reference"])


def inputs(batch: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(batch)
    return torch.randn(batch, 5, 16, generator=generator), torch.rand(batch, 5, 2, generator=generator)


@pytest.fixture
def recorded() -> SampledRecord:
    module = Deformable()
    x, reference = inputs(batch=2)
    with record([AttentionSite("decoder.0.cross", "decoder-cross", 0, module, read, "sampled")]) as records:
        module(x, reference=reference)
    return records.sampled("decoder.0.cross")


def test_a_sample_in_the_middle_of_a_cell_is_that_cell() -> None:
    middle_of_row_1_col_2 = torch.tensor([[(2 + 0.5) / 4, (1 + 0.5) / 3]])
    maps, outside = splat(middle_of_row_1_col_2, torch.ones(1), (3, 4))
    assert maps[1, 2] == pytest.approx(1)
    assert maps.sum() == pytest.approx(1)
    assert outside == pytest.approx(0)


def test_a_sample_between_cells_is_shared_by_distance() -> None:
    maps, _ = splat(torch.tensor([[0.75 / 4, 0.5]]), torch.ones(1), (1, 4))
    torch.testing.assert_close(maps, torch.tensor([[0.75, 0.25, 0, 0]]))


def test_a_sample_on_the_edge_is_half_outside_and_one_beyond_all_of_it() -> None:
    maps, outside = splat(torch.tensor([[[0.0, 0.5]], [[-0.5, 0.5]]]), torch.ones(2, 1), (1, 4))
    torch.testing.assert_close(maps.flatten(1).sum(-1), torch.tensor([0.5, 0.0]))
    torch.testing.assert_close(outside, torch.tensor([0.5, 1.0]))


def test_a_place_that_is_no_number_counts_as_outside() -> None:
    maps, outside = splat(torch.tensor([[float("nan"), 0.5], [float("inf"), 0.5]]), torch.tensor([0.3, 0.7]), (2, 2))
    assert maps.sum() == 0
    assert outside == pytest.approx(1)


@settings(deadline=None, max_examples=40)
@given(rows=st.integers(1, 7), cols=st.integers(1, 7), seed=st.integers(0, 10_000))
def test_weights_on_cells_are_what_interpolation_gave_each_value(rows: int, cols: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    places = torch.rand(3, 6, 2, generator=generator, dtype=torch.float64) * 1.6 - 0.3
    weights = torch.rand(3, 6, generator=generator, dtype=torch.float64)
    values = torch.zeros(1, 1, rows, cols, dtype=torch.float64, requires_grad=True)
    read_values = F.grid_sample(values, 2 * places[None] - 1, align_corners=False)[0, 0]  # [3 6]
    outputs = (read_values * weights).sum(-1)
    expected = torch.stack([torch.autograd.grad(one, values, retain_graph=True)[0][0, 0] for one in outputs])
    maps, outside = splat(places, weights, (rows, cols))
    torch.testing.assert_close(maps, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(maps.sum((-2, -1)) + outside, weights.sum(-1))


def test_map_and_outside_sum_to_one(recorded: SampledRecord) -> None:
    maps, outside = recorded.map()
    assert maps.shape == (2, 2, 5, *SHAPES[0])
    torch.testing.assert_close(maps.sum((-2, -1)) + outside, torch.ones(2, 2, 5))
    assert 0.05 < float(outside.mean()) < 0.95  # the case tells something


def test_levels_have_their_own_cells_and_share_the_weight(recorded: SampledRecord) -> None:
    parts = [recorded.map(level=level) for level in (0, 1)]
    assert [part.maps.shape[-2:] for part in parts] == list(SHAPES)
    totals = [part.maps.sum((-2, -1)) + part.outside for part in parts]
    torch.testing.assert_close(totals[0] + totals[1], torch.ones(2, 2, 5))
    torch.testing.assert_close(totals[1], recorded.weights[..., 2:].sum(-1))


def test_chosen_queries_and_heads_are_parts_of_the_whole(recorded: SampledRecord) -> None:
    whole, some = recorded.map(), recorded.map([4, 1], 1)
    torch.testing.assert_close(some.maps, whole.maps[:, [1]][:, :, [4, 1]])
    torch.testing.assert_close(some.outside, whole.outside[:, [1]][:, :, [4, 1]])


def test_many_queries_come_in_pieces_that_make_the_whole(
    recorded: SampledRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = recorded.map().maps
    monkeypatch.setattr("detr_attnviz.recording.sampled._CHUNK_VALUES", 1)
    torch.testing.assert_close(recorded.map().maps, whole, atol=0, rtol=0)


def test_a_picture_of_the_batch_is_that_picture_alone(recorded: SampledRecord) -> None:
    alone = recorded.picture(1)
    assert (alone.batch, alone.heads, alone.queries) == (1, 2, 5)
    torch.testing.assert_close(alone.map().maps, recorded.map().maps[[1]])
    assert 0 < alone.nbytes < recorded.nbytes
    with pytest.raises(ChoiceError, match=r"no picture 2"):
        recorded.picture(2).map()


@pytest.mark.parametrize(
    ("asked", "words"),
    [({"queries": 5}, "no query 5"), ({"heads": 2}, "no head 2"), ({"level": 2}, "no level 2: level must be in 0–1")],
)
def test_what_is_not_there_is_named(recorded: SampledRecord, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ChoiceError, match=words):
        recorded.map(**asked)


def test_columns_of_sampled_attention_are_refused(recorded: SampledRecord) -> None:
    with pytest.raises(ChoiceError, match="Deformable has no query × token weights"):
        recorded.columns(0)


def test_capture_takes_sampled_readers_and_copies() -> None:
    attention = Deformable()
    module = nn.ModuleDict({"attention": attention})
    x, reference = inputs()
    with capture(module, sampled_readers={Deformable: read}) as records:
        attention(x, reference=reference)
    before = Deformable().places(x.clone(), reference)[0]
    x.zero_()
    with torch.no_grad():
        attention.offsets.weight.zero_()
    found = records.sampled("attention")
    torch.testing.assert_close(found.locations, before.detach())


def test_capture_takes_sites_under_their_own_names() -> None:
    module = Deformable()
    attention = nn.MultiheadAttention(16, 2, batch_first=True)
    both = nn.ModuleList([module, attention])
    sites = [
        AttentionSite("decoder.0.cross", "decoder-cross", 0, module, read, "sampled"),
        AttentionSite("decoder.0.self", "decoder-self", 0, attention),
    ]
    x, reference = inputs()
    with capture(both, sites=sites) as records:
        attention(x, x, x)
        module(x, reference=reference)
    assert isinstance(records["decoder.0.cross"], SampledRecord)
    assert isinstance(records["decoder.0.self"], DenseRecord)
    with pytest.raises(ChoiceError, match=r"decoder\.0\.cross is sampled attention"):
        records.dense("decoder.0.cross")
    with pytest.raises(ChoiceError, match=r"decoder\.0\.self is dense attention"):
        records.sampled("decoder.0.self")


def test_sites_of_another_module_are_refused() -> None:
    site = AttentionSite("decoder.0.cross", "decoder-cross", 0, Deformable(), read, "sampled")
    with pytest.raises(CaptureError, match=r"decoder\.0\.cross watches a module that is not inside Linear"):
        with capture(nn.Linear(2, 2), sites=[site]):
            pass


def test_a_sampled_site_needs_a_reader() -> None:
    site = AttentionSite("decoder.0.cross", "decoder-cross", 0, Deformable(), None, "sampled")
    with pytest.raises(CaptureError, match="has a forward of its own|needs a reader"):
        with record([site]):
            pass


def test_shapes_that_do_not_fit_are_told() -> None:
    def wrong(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> SampledCall:
        call = read(module, args, kwargs)
        return SampledCall(call.locations, call.weights, (0, 1), call.shapes, call.reference)

    module = Deformable()
    x, reference = inputs()
    with capture(module, sampled_readers={Deformable: wrong}) as records:
        module(x, reference=reference)
    with pytest.raises(CaptureError, match=r"the reader of Deformable gave .* 2 levels and 2 shapes: expected"):
        records["Deformable"].heads  # noqa: B018


def test_a_site_that_says_how_it_is_heard_gets_no_hook() -> None:
    module = Deformable()
    heard: list[tuple[nn.Module, Note]] = []

    def listen(watched: nn.Module, note: Note) -> Callable[[], None]:
        heard.append((watched, note))
        return heard.clear

    x, reference = inputs()
    site = AttentionSite("decoder.0.cross", "decoder-cross", 0, module, read, "sampled", listen=listen)
    with record([site]) as records:
        assert not module._forward_hooks
        assert heard[0][0] is module
        heard[0][1]((x,), {"reference": reference})
    assert not heard
    found = records.sampled("decoder.0.cross")
    torch.testing.assert_close(found.locations, module.places(x, reference)[0].detach())
