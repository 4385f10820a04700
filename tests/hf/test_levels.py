"""How feature maps lie on an input, against the shapes that a forward has."""

from typing import Any

import pytest
import torch
from torch import nn

from detr_attnviz.errors import CheckpointError
from detr_attnviz.families.hf_levels import level_strides, levels_on, side_multiple_px
from detr_attnviz.families.hf_sampled import sampled_sites
from tests.hf.tiny_sampled import FAMILIES, tiny, tiny_inputs, transformers

STRIDES = {
    "deformable_detr": (8, 16, 32, 64),
    "grounding-dino": (8, 16, 32, 64),
    "mm-grounding-dino": (8, 16, 32, 64),
    "lw_detr": (8, 32),
    "rf_detr": (16,),
}
ANY_SIZE = ("deformable_detr", "grounding-dino", "mm-grounding-dino")


def shapes_of(model: nn.Module, model_type: str, height_px: int, width_px: int) -> list[tuple[int, ...]]:
    found: list[list[tuple[int, ...]]] = []
    for site in sampled_sites(model):
        site.module.register_forward_pre_hook(
            lambda module, args, kwargs: found.append([tuple(shape) for shape in kwargs["spatial_shapes_list"]]),
            with_kwargs=True,
        )
    with torch.no_grad():
        model(**tiny_inputs(model_type, height_px, width_px))
    return found[-1]


@pytest.mark.parametrize("model_type", FAMILIES)
def test_levels_of_a_size_that_fits(model_type: str) -> None:
    model: Any = tiny(model_type)
    step = side_multiple_px(model.config)
    height_px, width_px = (96, 160) if step > 1 else (97, 131)
    assert height_px % step == width_px % step == 0
    levels = levels_on(model.config, height_px, width_px)
    assert [level[:2] for level in levels] == shapes_of(model, model_type, height_px, width_px)
    strides = STRIDES.get(model_type, (8, 16, 32))
    assert tuple(level.stride_px for level in levels) == level_strides(model.config) == strides


@pytest.mark.parametrize("model_type", ["lw_detr", "rf_detr"])
def test_what_is_left_of_a_patch_is_dropped(model_type: str) -> None:
    model: Any = tiny(model_type)
    assert [level[:2] for level in levels_on(model.config, 100, 132)] == shapes_of(model, model_type, 100, 132)


@pytest.mark.parametrize("model_type", [name for name in FAMILIES if name not in ANY_SIZE])
def test_a_size_that_does_not_fit_is_one_that_the_model_cannot_take(model_type: str) -> None:
    model: Any = tiny(model_type)
    step = side_multiple_px(model.config)
    with pytest.raises(RuntimeError):
        shapes_of(model, model_type, 3 * step + 16, 4 * step + 16)


@pytest.mark.parametrize("levels", [1, 3, 5])
def test_levels_beyond_the_backbones_double(levels: int) -> None:
    stages = ["stage4"] if levels == 1 else ["stage2", "stage3", "stage4"]
    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1] * 4, layer_type="basic", out_features=stages
    )
    model: Any = tiny("deformable_detr", backbone_config=backbone, num_feature_levels=levels)
    assert level_strides(model.config) == {1: (32,), 3: (8, 16, 32), 5: (8, 16, 32, 64, 128)}[levels]
    assert [level[:2] for level in levels_on(model.config, 193, 131)] == shapes_of(model, "deformable_detr", 193, 131)


def timm_config(**changes: Any) -> Any:
    return transformers.DeformableDetrConfig(
        backbone_config=transformers.TimmBackboneConfig(
            **({"backbone": "resnet50", "out_indices": [2, 3, 4]} | changes)
        )
    )


def test_timm_resnets_strides() -> None:
    assert level_strides(timm_config()) == (8, 16, 32, 64)
    assert level_strides(timm_config(out_indices=[-1], output_stride=16)) == (16, 32, 64, 128)


def test_backbones_of_unknown_strides_are_refused_by_name() -> None:
    with pytest.raises(CheckpointError, match="timm's pvt_v2_b0.*known are its resnets"):
        level_strides(timm_config(backbone="pvt_v2_b0"))
    convnext = transformers.ConvNextConfig(out_indices=[2, 3, 4])
    with pytest.raises(CheckpointError, match="a convnext.*known are resnet, swin"):
        level_strides(transformers.DeformableDetrConfig(backbone_config=convnext))


def test_levels_without_strides_are_refused() -> None:
    config = transformers.RTDetrConfig(num_feature_levels=4)
    with pytest.raises(CheckpointError, match=r"rt_detr has 4 feature levels, and strides for 3 \(8, 16, 32\)"):
        level_strides(config)
    with pytest.raises(CheckpointError, match="yolos"):
        level_strides(transformers.YolosConfig(num_feature_levels=1))


def test_patches_that_are_not_square_are_refused() -> None:
    model: Any = tiny("lw_detr")
    model.config.backbone_config.patch_size = (16, 8)
    with pytest.raises(CheckpointError, match="patch_size is .*only square"):
        level_strides(model.config)
