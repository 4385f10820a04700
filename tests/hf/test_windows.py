"""Vision transformers that cut the picture into windows."""

from typing import Any

import pytest
import torch

from detr_attnviz.detector import load
from detr_attnviz.families.hf_dense import dense_sites
from detr_attnviz.methods.explain import explain
from tests.hf.tiny_dense import tiny, tiny_inputs
from tests.hf.truth import recorded
from tests.tiny import drawn_picture


@pytest.mark.parametrize(("model_type", "cols"), [("lw_detr", 12), ("rf_detr", 8), ("rf_detr", 12)])
def test_cells_of_windows_are_the_pixels_that_they_came_from(model_type: str, cols: int) -> None:
    model = tiny(model_type)
    inputs = tiny_inputs(model_type, 128, 16 * cols)
    changed = inputs["pixel_values"].clone()
    changed[:, :, 16:32, 80:96] += 1
    keys = [recorded(model, pixels)[0]["encoder.0.self"].call.key for pixels in (inputs, {"pixel_values": changed})]
    moved = (keys[0] - keys[1]).abs().amax(dim=(0, 1, 3))
    assert moved.nonzero().flatten().tolist() == [1 * cols + 5]


def test_windowed_layers_see_their_own_window_alone() -> None:
    records, _ = recorded(tiny("lw_detr"), tiny_inputs("lw_detr", 128, 192))
    own = records["encoder.0.self"].map(queries=[0])[0, 0, 0].view(8, 12) > 0
    assert own[:4, :6].all()
    assert own.sum() == 24
    assert (records["encoder.1.self"].map(queries=[0]) > 0).all()


def test_a_forward_that_began_before_anybody_listened_is_not_recorded() -> None:
    """It may be another thread's: nobody saw how many rows and columns its picture has."""
    model = tiny("lw_detr")
    site = dense_sites(model)[0]
    notes: list[Any] = []
    stops: list[Any] = []
    assert site.listen is not None
    listen = site.listen
    start = model.get_submodule("model.backbone.backbone.encoder").register_forward_pre_hook(
        lambda part, args: stops.append(listen(site.module, lambda args, kwargs: notes.append(kwargs)))
    )
    with torch.no_grad():
        model(**tiny_inputs("lw_detr", 128, 128))
        start.remove()
        assert notes == []
        model(**tiny_inputs("lw_detr", 128, 128))
    stops[0]()
    assert len(notes) == 1
    assert not model.get_submodule("model.backbone.backbone.embeddings.projection")._forward_hooks


@pytest.mark.parametrize(("scales", "level"), [([1.0], 0), ([2.0, 1.0], 1), ([2.0, 1.0, 0.5], 1)])
def test_backbone_is_of_the_level_that_has_its_patches(scales: list[float], level: int) -> None:
    sites = dense_sites(tiny("lw_detr", projector_scale_factors=scales))
    assert [(site.name, site.level) for site in sites[:2]] == [("encoder.0.self", level), ("encoder.1.self", level)]


def test_backbone_that_no_level_has_the_patches_of_has_a_grid_of_its_own() -> None:
    model = tiny("lw_detr", projector_scale_factors=[2.0, 0.5])
    sites = [site for site in dense_sites(model) if site.kind == "encoder-self"]
    patch_px = model.config.backbone_config.patch_size  # type: ignore[union-attr]
    assert [site.stride_px for site in sites] == [patch_px, patch_px]
    trace = load(model).trace(drawn_picture())
    found = explain(trace, kind="encoder", points=[(40, 20)])
    height_px, width_px = trace.prepared.inputs["images"].shape[-2:]
    assert found.grid.stride_px == patch_px
    assert found.maps.shape == (1, height_px // patch_px, width_px // patch_px)
    assert found.maps.sum() == pytest.approx(1, abs=1e-5)
