"""Where each family's deformable attention reads, against what its kernel was really given and what it gave back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detr_attnviz.errors import CaptureError, CheckpointError
from detr_attnviz.families.hf_sampled import sampled_sites
from detr_attnviz.recording.hooks import Records, record
from detr_attnviz.recording.sampled import SampledRecord
from detr_attnviz.sites import AttentionSite, SampledCall
from tests.hf.tiny_sampled import FAMILIES, WITH_MASK, tiny, tiny_inputs

CASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {name: (name, {}) for name in FAMILIES} | {
    "deformable_detr with box refinement": ("deformable_detr", {"with_box_refine": True}),
    "deformable_detr in two stages": ("deformable_detr", {"with_box_refine": True, "two_stage": True}),
    "deformable_detr with learned positions": ("deformable_detr", {"position_embedding_type": "learned"}),
    "rt_detr_v2 discrete": ("rt_detr_v2", {"decoder_method": "discrete"}),
    "d_fine discrete": ("d_fine", {"decoder_method": "discrete"}),
    "d_fine with equal points": ("d_fine", {"decoder_n_points": 2}),
    "lw_detr with one level": ("lw_detr", {"projector_scale_factors": [1.0]}),
}
BILINEAR = [case for case in CASES if not case.endswith("discrete")]


class Watched(NamedTuple):
    """What one module of attention was given, what it gave, and the grids that it asked ``grid_sample`` for."""

    given: Mapping[str, Any]
    output: Tensor
    weights: Tensor
    grids: Sequence[Tensor]


class Seen(NamedTuple):
    model: nn.Module
    sites: tuple[AttentionSite, ...]
    records: Records
    calls: Mapping[str, Watched]


def seen(case: str, inputs: Mapping[str, Tensor] | None = None) -> Seen:
    """One recorded forward of a family, watched from outside too."""
    model_type, changes = CASES[case]
    model = tiny(model_type, **changes)
    sites = sampled_sites(model)
    with record(sites) as records, watched(sites) as calls, torch.no_grad():
        model(**(tiny_inputs(model_type, batch=2) if inputs is None else inputs))
    return Seen(model, sites, records, calls)


@contextmanager
def watched(sites: Sequence[AttentionSite]) -> Iterator[Mapping[str, Watched]]:
    calls: dict[str, Watched] = {}
    grids: list[Tensor] = []
    sample = F.grid_sample

    def listening(values: Tensor, grid: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        grids.append(grid)
        return sample(values, grid, *args, **kwargs)

    def noting(name: str) -> Callable[..., None]:
        def note(module: nn.Module, args: Any, kwargs: Mapping[str, Any], output: tuple[Tensor, Tensor]) -> None:
            calls[name] = Watched(dict(kwargs), output[0], output[1], tuple(grids))
            grids.clear()

        return note

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "grid_sample", listening)
        handles = [site.module.register_forward_hook(noting(site.name), with_kwargs=True) for site in sites]
        yield calls
        for handle in handles:
            handle.remove()


def sampled(records: Records, name: str) -> SampledRecord:
    found = records[name]
    assert isinstance(found, SampledRecord)
    return found


@pytest.mark.parametrize("case", BILINEAR)
def test_places_are_the_ones_that_the_kernel_was_given(case: str) -> None:
    found = seen(case)
    for name, call in found.calls.items():
        places = sampled(found.records, name).call
        given = [grid.unflatten(0, (2, -1)) for grid in call.grids]
        assert torch.equal(2 * places.locations - 1, torch.cat(given, dim=3))
        assert places.levels == tuple(level for level, grid in enumerate(given) for _ in range(grid.shape[3]))


@pytest.mark.parametrize("case", CASES)
def test_weights_are_the_ones_that_the_module_gave_back(case: str) -> None:
    found = seen(case)
    for name, call in found.calls.items():
        weights = sampled(found.records, name).weights
        assert torch.equal(weights, call.weights.flatten(3).transpose(1, 2))
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
        assert weights.std(dim=1).max() > 0.01  # heads differ, or a mix-up of them would go unseen


@pytest.mark.parametrize("case", CASES)
def test_maps_of_the_levels_mix_the_values_into_the_output(case: str) -> None:
    """Every level's map is what each of its cells counted for: the sums over cells are the module's own output."""
    found = seen(case)
    for site in found.sites:
        call, places = found.calls[site.name], sampled(found.records, site.name)
        values = _values(site.module, call.given).split([rows * cols for rows, cols in places.shapes], dim=2)
        mixed = sum(places.map(level=level).maps.flatten(3) @ value for level, value in enumerate(values))
        assert isinstance(mixed, Tensor)
        output = mixed.transpose(1, 2).flatten(2)
        written = site.module.output_proj(output) if hasattr(site.module, "output_proj") else output  # type: ignore[operator]
        torch.testing.assert_close(written, call.output, rtol=0, atol=1e-5)  # sums in another order


def _values(module: Any, given: Mapping[str, Any]) -> Tensor:
    """``[batch heads tokens dim]``, zero where the module was told that there is padding."""
    tokens = given["encoder_hidden_states"]
    values = module.value_proj(tokens) if hasattr(module, "value_proj") else tokens
    mask = given.get("attention_mask")
    values = values if mask is None else values.masked_fill(~mask[..., None], 0.0)
    return values.unflatten(-1, (module.n_heads, -1)).transpose(1, 2)  # type: ignore[no-any-return]


@pytest.mark.parametrize("case", CASES)
def test_all_of_a_query_is_on_its_map_or_outside(case: str) -> None:
    found = seen(case)
    for site in found.sites:
        places = sampled(found.records, site.name)
        for level in (None, *range(len(places.shapes))):
            maps, outside = places.map(level=level)
            own = [level in (None, each) for each in places.call.levels]
            total = places.weights[..., own].sum(-1)
            torch.testing.assert_close(maps.sum((3, 4)) + outside, total, rtol=0, atol=1e-6)


def test_a_level_is_spread_as_it_was_read() -> None:
    """The map of a level is the gradient of what ``grid_sample`` reads there, weighted, by the level's own values."""
    found = seen("deformable_detr with box refinement")
    places = sampled(found.records, "decoder.1.cross")
    for level, shape in enumerate(places.shapes):
        own = [each == level for each in places.call.levels]
        grids, weights = 2 * places.locations[..., own, :] - 1, places.weights[..., own]
        values = torch.zeros(2 * places.heads * places.queries, 1, *shape, requires_grad=True)
        read = F.grid_sample(values, grids.flatten(0, 2)[:, None], align_corners=False)
        (gradient,) = torch.autograd.grad((read.flatten(1) * weights.flatten(0, 2)).sum(), values)
        expected = gradient.reshape(2, places.heads, places.queries, *shape)
        torch.testing.assert_close(places.map(level=level).maps, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", ["rt_detr_v2 discrete", "d_fine discrete"])
def test_a_discrete_sample_is_one_whole_cell(case: str) -> None:
    found = seen(case)
    places = sampled(found.records, "decoder.1.cross").call
    sizes = torch.tensor([places.shapes[level][::-1] for level in places.levels])
    cells = places.locations * sizes - 0.5
    torch.testing.assert_close(cells, cells.round(), rtol=0, atol=1e-5)
    assert (cells.round() >= 0).all()
    assert (cells.round() < sizes).all()


def test_a_discrete_sample_is_rounded_to_a_cells_number() -> None:
    """By hand: on 2 × 4 cells, offsets of 0.3 of a box 0.5 wide, one point, from (0.5, 0.5)."""
    read = sampled_sites(tiny("rt_detr_v2", decoder_method="discrete"))[0].read
    assert read is not None
    module = SimpleNamespace(
        n_heads=1,
        n_points_list=[1],
        n_points_scale=torch.ones(1),
        offset_scale=0.5,
        method="discrete",
        sampling_offsets=lambda x: torch.tensor([[[0.3, -9.0]]]),
        attention_weights=lambda x: torch.zeros(1, 1, 1),
    )
    given = {
        "hidden_states": torch.zeros(1, 1, 4),
        "reference_points": torch.tensor([[[[0.5, 0.5, 0.5, 0.5]]]]),
        "spatial_shapes_list": [(2, 4)],
    }
    call = read(module, (), given)  # type: ignore[arg-type]
    assert isinstance(call, SampledCall)
    # x: 0.5 + 0.3 · 0.5 · 0.5 = 0.575 of 4 columns is 2.3, which is column 2; y: −1.75 is above row 0.
    torch.testing.assert_close(call.locations, torch.tensor([[[[[2.5 / 4, 0.5 / 2]]]]]))


@pytest.mark.parametrize("case", CASES)
def test_offsets_start_from_the_reference(case: str) -> None:
    found = seen(case)
    for name, call in found.calls.items():
        reference = sampled(found.records, name).call.reference
        assert torch.equal(reference, call.given["reference_points"][:, :, 0, :2])


def test_an_encoders_cell_starts_from_its_own_middle() -> None:
    places = sampled(seen("deformable_detr").records, "encoder.0.self")
    middles = [
        ((col + 0.5) / cols, (row + 0.5) / rows)
        for rows, cols in places.shapes
        for row in range(rows)
        for col in range(cols)
    ]
    torch.testing.assert_close(places.call.reference[0], torch.tensor(middles))


@pytest.mark.parametrize("model_type", FAMILIES)
def test_sites_come_in_the_order_of_the_forward(model_type: str) -> None:
    model = tiny(model_type)
    sites, reached = sampled_sites(model), []
    for site in sites:
        site.module.register_forward_pre_hook(lambda module, args, name=site.name: reached.append(name))
    with torch.no_grad():
        model(**tiny_inputs(model_type))
    assert [site.name for site in sites] == reached
    kinds = {"encoder-self": "encoder.{}.self", "decoder-cross": "decoder.{}.cross"}
    assert all(site.name == kinds[site.kind].format(site.layer) for site in sites)
    assert [site.layer for site in sites if site.kind == "decoder-cross"] == [0, 1]
    has_sampled_encoder = model_type in ("deformable_detr", "grounding-dino", "mm-grounding-dino")
    assert [site.layer for site in sites if site.kind == "encoder-self"] == ([0, 1] if has_sampled_encoder else [])
    assert {site.form for site in sites} == {"sampled"}


@pytest.mark.parametrize("model_type", FAMILIES)
def test_recording_changes_no_bit_of_the_output(model_type: str) -> None:
    model, inputs = tiny(model_type), tiny_inputs(model_type)
    with torch.no_grad():
        plain = model(**inputs)
        with record(sampled_sites(model)):
            recorded = model(**inputs)
    assert torch.equal(plain.logits, recorded.logits)
    assert torch.equal(plain.pred_boxes, recorded.pred_boxes)
    assert not any(part._forward_hooks for name, part in model.named_modules() if name.endswith("_attn"))


def test_records_do_not_hold_the_feature_maps() -> None:
    found = seen("lw_detr")
    places, call = sampled(found.records, "decoder.0.cross"), found.calls["decoder.0.cross"]
    needed = [call.given[name] for name in ("hidden_states", "position_embeddings", "reference_points")]
    assert places.nbytes == sum(tensor.nbytes for tensor in needed)


def test_arguments_by_position_are_read_as_by_name() -> None:
    found = seen("deformable_detr")
    module, call = found.sites[0].module, found.calls["encoder.0.self"]
    names = ("hidden_states", "attention_mask", "encoder_hidden_states")
    rest = {name: value for name, value in call.given.items() if name not in names}
    with record(found.sites) as records, torch.no_grad():
        module(*(call.given[name] for name in names), **rest)
    expected = sampled(found.records, "encoder.0.self")
    assert torch.equal(sampled(records, "encoder.0.self").locations, expected.locations)


def test_arguments_that_a_forward_of_ones_own_only_passes_on() -> None:
    found, plain = seen("deformable_detr"), seen("deformable_detr")
    module, call = found.sites[0].module, found.calls["encoder.0.self"]

    class Passing(type(module)):  # type: ignore[misc]
        def forward(self, hidden_states: Tensor, *others: Any, **options: Any) -> Any:
            return super().forward(hidden_states, *others, **options)

    module.__class__ = Passing
    with record(found.sites) as records, torch.no_grad():
        module(**call.given)
    expected = sampled(plain.records, "encoder.0.self")
    assert torch.equal(sampled(records, "encoder.0.self").locations, expected.locations)
    hidden, others = call.given["hidden_states"], ("attention_mask", "encoder_hidden_states", "encoder_attention_mask")
    rest = ("position_embeddings", "reference_points", "spatial_shapes", "spatial_shapes_list", "level_start_index")
    by_position = [call.given.get(name) for name in (*others, *rest)]
    wrong = r"Passing was called without reference_points, spatial_shapes_list by name.*or pass them by name"
    with pytest.raises(CaptureError, match=wrong), record(found.sites), torch.no_grad():
        module(hidden, *by_position)
    assert not module._forward_hooks


def test_places_of_a_model_in_half_precision() -> None:
    model = tiny("rt_detr_v2").to(torch.bfloat16)
    sites = sampled_sites(model)
    inputs = {name: value.to(torch.bfloat16) for name, value in tiny_inputs("rt_detr_v2").items()}
    with record(sites) as records, watched(sites) as calls, torch.no_grad():
        model(**inputs)
    given = torch.cat([grid[None] for grid in calls["decoder.1.cross"].grids], dim=3)
    found = sampled(records, "decoder.1.cross").locations
    assert found.dtype == torch.float32
    assert torch.equal(2 * found.to(torch.bfloat16) - 1, given)


@pytest.mark.parametrize("case", [*WITH_MASK, "deformable_detr in two stages"])
def test_a_padded_picture_reads_as_by_itself(case: str) -> None:
    """Padding to the right and below moves no place, in pixels, and changes no weight.

    The backbone's features of the picture are put into the larger canvas, with noise where the padding is. What lets
    padding into the picture's own features elsewhere, in the original code too, is not attention and is left out: group
    norms over whole feature maps, the level that a convolution makes of the coarsest, and the embedding of a query's
    place on the canvas.
    """
    model_type, changes = CASES[case]
    levels = {} if model_type in ("lw_detr", "rf_detr") else {"num_feature_levels": 3}
    model = _blind_to_padding(tiny(model_type, **changes, **levels))
    sites = sampled_sites(model)
    backbone = getattr(model.model.backbone, "conv_encoder", model.model.backbone)
    features: list[Any] = []
    with record(sites) as alone, _hooked(backbone, lambda output: features.append(output)), torch.no_grad():
        model(**tiny_inputs(model_type, 128, 192))
    mask = torch.zeros(1, 192, 320, dtype=torch.long)
    mask[:, :128, :192] = 1
    with record(sites) as padded, _hooked(backbone, lambda output: _placed(features[0], output)), torch.no_grad():
        model(**tiny_inputs(model_type, 192, 320), pixel_mask=mask)
    canvas = torch.tensor([320 / 192, 192 / 128])
    for site in sites:
        one, two = sampled(alone, site.name).call, sampled(padded, site.name).call
        own = _cells_of(one.shapes, two.shapes) if site.kind == "encoder-self" else list(range(one.weights.shape[2]))
        # Positions and normed features differ in their last bits, and two layers carry that on.
        torch.testing.assert_close(two.locations[:, :, own] * canvas, one.locations, rtol=0, atol=1e-5)
        torch.testing.assert_close(two.weights[:, :, own], one.weights, rtol=0, atol=1e-5)
        torch.testing.assert_close(two.reference[:, own] * canvas, one.reference, rtol=0, atol=1e-5)


def _blind_to_padding(model: nn.Module) -> Any:
    for part in list(model.modules()):
        for name, child in part.named_children():
            if isinstance(child, nn.GroupNorm):
                setattr(part, name, nn.Identity())
    for name, value in model.state_dict().items():
        if "ref_point_head" in name or "reference_points_head" in name:
            value.zero_()
    return model


@contextmanager
def _hooked(module: nn.Module, answer: Callable[[Any], Any]) -> Iterator[None]:
    handle = module.register_forward_hook(lambda module, args, output: answer(output))
    yield
    handle.remove()


def _placed(own: Any, canvas: Any) -> Any:
    """The features of a picture in the corner of noise, with the canvas' masks."""
    if isinstance(own, list):
        return [_placed(*both) for both in zip(own, canvas, strict=True)]
    features, (empty, mask) = own[0], canvas
    placed = torch.randn_like(empty)
    placed[..., : features.shape[2], : features.shape[3]] = features
    return placed, mask


def _cells_of(shapes: Sequence[tuple[int, int]], canvas: Sequence[tuple[int, int]]) -> list[int]:
    """The tokens of a canvas that are the picture's."""
    tokens, start = [], 0
    for (rows, cols), (all_rows, all_cols) in zip(shapes, canvas, strict=True):
        tokens += [start + row * all_cols + col for row in range(rows) for col in range(cols)]
        start += all_rows * all_cols
    return tokens


def test_an_unknown_way_to_read_is_refused_by_name() -> None:
    model = tiny("rt_detr_v2")
    sites = sampled_sites(model)
    sites[1].module.method = "bicubic"  # type: ignore[assignment]
    with pytest.raises(CheckpointError, match="decoder_method is 'bicubic'.*RTDetrV2Multiscale.*default, discrete"):
        sampled_sites(model)


def test_another_familys_deformable_attention_is_refused() -> None:
    model: Any = tiny("deformable_detr")
    model.config.model_type = "mask2former"
    with pytest.raises(CaptureError, match="mask2former has deformable attention.*not known.*rt_detr_v2"):
        sampled_sites(model)


def test_a_module_built_in_another_way_is_refused() -> None:
    model = tiny("d_fine")
    module: Any = sampled_sites(model)[0].module
    module.num_points_list = [3, 6]
    with pytest.raises(CaptureError, match=r"88 offsets for 4 heads, 3 levels and \[3, 6\] points, expected 72"):
        sampled_sites(model)
    del module.num_points_list
    with pytest.raises(CaptureError, match="has no num_points_list.*transformers.*5.4"):
        sampled_sites(model)


def test_a_model_without_deformable_attention_has_no_such_sites() -> None:
    assert sampled_sites(nn.Transformer(8, 2, 1, 1, 8, batch_first=True)) == ()
