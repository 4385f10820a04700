"""How the feature maps of a transformers model lie on a picture, known before any forward of it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from detr_attnviz.errors import CheckpointError
from detr_attnviz.families import layout
from detr_attnviz.families.hf_levels import levels_on, side_multiple_px
from detr_attnviz.families.hf_table import Known
from detr_attnviz.grid import Grid

Size = tuple[int, int]

_PROBES_PX = ((64, 64), (64, 97))
"""(height, width) of two blank pictures that no two strides up to 32, rounded up or down, lay out alike."""


@dataclass(frozen=True)
class Layout:
    """Feature maps of an input, the finest first, by ``shapes(height_px, width_px)``: (rows, cols) of each.

    Both sides of an input must be multiples of ``multiple_px``.
    """

    shapes: Callable[[int, int], tuple[Size, ...]]
    strides_px: tuple[int, ...]
    multiple_px: int = 1

    @property
    def margin_px(self) -> int:
        """Two cells of the coarsest feature map, and a size that the model takes."""
        return 2 * max(*self.strides_px, self.multiple_px)

    def grids(self, original: Size, real: Size, canvas: Size) -> tuple[Grid, ...]:
        """Every feature map's grid, by (height, width) of the picture, of the resized one, and of that with padding.

        A cell that is padding in part belongs to the picture.
        """
        return tuple(
            Grid(
                rows=min(rows, math.ceil(real[0] / stride)),
                cols=min(cols, math.ceil(real[1] / stride)),
                stride_px=stride,
                height_px=original[0],
                width_px=original[1],
                input_height_px=real[0],
                input_width_px=real[1],
                canvas_px=None if real == canvas else canvas,
            )
            for (rows, cols), stride in zip(self.shapes(*canvas), self.strides_px, strict=True)
        )


def layout_of(model: nn.Module, known: Known) -> Layout:
    """The layout of a model: from its configuration, or learned from what it does with two small blank pictures.

    Raises: CheckpointError for a backbone whose strides are not known; ChoiceError for one that keeps to none.
    """
    config: Any = model.config
    if known.form == "sampled":
        strides = tuple(level.stride_px for level in levels_on(config, 1024, 1024))
        if not strides or min(strides) < 1:
            raise CheckpointError(f"the configuration of {known.title} names no feature maps for its decoder to read")

        def shapes(height_px: int, width_px: int) -> tuple[Size, ...]:
            return tuple((level.rows, level.cols) for level in levels_on(config, height_px, width_px))

        return Layout(shapes, strides, side_multiple_px(config))
    return _of_level(layout.Level(config.patch_size, False) if config.model_type == "yolos" else _probed(model))


def _of_level(level: layout.Level) -> Layout:
    return Layout(lambda height_px, width_px: (level.shape(height_px, width_px),), (level.stride_px,))


def _probed(model: nn.Module) -> layout.Level:
    """What the backbone makes of small pictures, seen where its last features are projected."""
    shapes: list[Size] = []

    def see(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        shapes.append((args[0].shape[-2], args[0].shape[-1]))

    handle = model.get_submodule("model.input_projection").register_forward_pre_hook(see)
    weight = next(model.parameters())
    try:
        with torch.no_grad():
            for size in _PROBES_PX:
                model(torch.zeros(1, 3, *size, device=weight.device, dtype=weight.dtype))
    finally:
        handle.remove()
    (level,) = layout.learned([layout.Seen(size, (shape,)) for size, shape in zip(_PROBES_PX, shapes, strict=True)])
    return level
