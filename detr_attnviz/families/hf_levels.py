"""How the feature maps of a transformers model with deformable attention lie on its input, before any forward."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from detr_attnviz.errors import CheckpointError

_WITH_VIT = ("lw_detr", "rf_detr")
_WITH_BACKBONE = ("deformable_detr", "grounding-dino", "mm-grounding-dino")


class Level(NamedTuple):
    """One feature map of an input: its rows and cols, and the input pixels that a cell is wide and high."""

    rows: int
    cols: int
    stride_px: int


def levels_on(config: Any, height_px: int, width_px: int) -> tuple[Level, ...]:
    """Every feature map of an input of this size, in the order that the attention reads them.

    Raises: CheckpointError for a backbone whose strides are not known here.
    """
    strides = level_strides(config)
    if config.model_type not in _WITH_VIT:
        return tuple(Level(-(-height_px // stride), -(-width_px // stride), stride) for stride in strides)
    # What is left of a patch at the edge is dropped, and what is left of two patches in a coarser level is not.
    patch = _patch_px(config.backbone_config)
    rows, cols = height_px // patch, width_px // patch
    return tuple(Level(-(-rows * patch // stride), -(-cols * patch // stride), stride) for stride in strides)


def level_strides(config: Any) -> tuple[int, ...]:
    """Input pixels between the cells of each feature map, in the order that the attention reads them.

    Raises: CheckpointError for a backbone whose strides are not known here, or levels that it has no strides for.
    """
    if config.model_type in _WITH_BACKBONE:
        return _doubled(_backbone_strides(config.backbone_config), config.num_feature_levels)
    if config.model_type == "lw_detr":
        return tuple(int(_patch_px(config.backbone_config) / scale) for scale in config.projector_scale_factors)
    if config.model_type == "rf_detr":
        strides: tuple[int, ...] = (_patch_px(config.backbone_config),)
    else:
        strides = tuple(getattr(config, "feat_strides", ()))
    if len(strides) != config.num_feature_levels:
        raise CheckpointError(
            f"the configuration of {config.model_type} has {config.num_feature_levels} feature levels, and strides for "
            f"{len(strides)} ({', '.join(map(str, strides)) or 'none'}): where the others lie is not known here"
        )
    return strides


def side_multiple_px(config: Any) -> int:
    """What both sides of an input must be a multiple of; 1 where any size will do.

    Hybrid encoders double their coarser levels to meet the finer ones; windowed backbones cut whole windows.
    """
    if config.model_type in _WITH_BACKBONE:
        return 1
    if config.model_type == "lw_detr":
        return _patch_px(config.backbone_config) * int(config.backbone_config.num_windows_side)
    if config.model_type == "rf_detr":
        return _patch_px(config.backbone_config) * int(config.backbone_config.num_windows)
    return max(level_strides(config))


def _patch_px(backbone: Any) -> int:
    patch = backbone.patch_size
    sides = set(patch) if isinstance(patch, Sequence) else {patch}
    if len(sides) != 1:
        raise CheckpointError(f"the configuration's patch_size is {patch}: only square patches are known here")
    return int(sides.pop())


def _doubled(strides: tuple[int, ...], levels: int) -> tuple[int, ...]:
    """Levels beyond the backbone's are convolutions of stride 2, one after the other."""
    return strides + tuple(strides[-1] << step for step in range(1, levels - len(strides) + 1))


def _backbone_strides(backbone: Any) -> tuple[int, ...]:
    kind, indices = backbone.model_type, backbone.out_indices
    if kind == "timm_backbone":
        return _timm_strides(backbone)
    if kind in ("resnet", "swin"):
        first = _patch_px(backbone) if kind == "swin" else 8 if backbone.downsample_in_first_stage else 4
        return tuple(first << (index - 1) for index in indices)
    raise CheckpointError(
        f"the configuration's backbone is a {kind}, whose strides are not known here: known are resnet, swin, and "
        "timm's resnets"
    )


def _timm_strides(backbone: Any) -> tuple[int, ...]:
    """``output_stride`` is DC5's: stages that would go beyond it are dilated instead."""
    if not str(backbone.backbone).startswith("resnet"):
        raise CheckpointError(
            f"the configuration's backbone is timm's {backbone.backbone}, whose strides are not known here: known are "
            "its resnets"
        )
    most = getattr(backbone, "output_stride", None) or 32
    return tuple(min(2 << range(5)[index], most) for index in backbone.out_indices)
