"""A detector that somebody else built: an ``nn.Module`` run as it is, by what its owner says about it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from detr_attnviz.detections import Detection
from detr_attnviz.errors import ChoiceError
from detr_attnviz.families.base import THRESHOLDS, Origin, Prediction, Prepared, Resize
from detr_attnviz.families.given import Given
from detr_attnviz.families.layout import Level, Seen, learned
from detr_attnviz.families.module_sites import checked_sites, default_sites, projection_of
from detr_attnviz.families.native import normalised, refuse_precision, resized_rule
from detr_attnviz.families.own_code import OwnCode
from detr_attnviz.families.probe import probed
from detr_attnviz.families.scores import detections_of, sigmoid_scores, softmax_scores
from detr_attnviz.grid import Grid, common_grid
from detr_attnviz.models.fuse import Precision
from detr_attnviz.sites import AttentionSite

if TYPE_CHECKING:
    from PIL import Image

_IMAGES, _GIVEN = "images", "given"
_PROBES_PX = ((256, 256), (256, 291))
"""(height, width) of the blank pictures that are run to learn how tokens lie; 291 is a multiple of no usual stride."""


class ModuleFamily:
    """A built detector, which stays on its device and in its mode; only while it runs here it is in ``eval()``.

    By default it is called as ``module(images)`` with ``images [1 3 height_px width_px]``, and its output holds
    ``pred_logits`` (or ``logits``; the last class is no-object) and ``pred_boxes``, as a mapping or as attributes.
    ``own`` says otherwise. Two blank pictures are run at the start to learn how its tokens lie.
    """

    holds_still = False
    takes_batches = False

    def __init__(
        self,
        module: nn.Module,
        resize: Resize,
        class_names: tuple[str, ...],
        origin: Origin,
        own: OwnCode | None = None,
    ) -> None:
        self.model = module
        self.resize = resize
        self.class_names = class_names
        self.origin = origin
        self.own = own or OwnCode()
        self.threshold = THRESHOLDS[self.own.score]
        self._sites = default_sites(module) if self.own.sites is None else checked_sites(module, self.own.sites)
        self._levels = self._learned()

    def prepare(
        self, image: "Image.Image", *, shortest_px: int | None = None, longest_px: int | None = None
    ) -> Prepared:
        if self.own.preprocess is None:
            pixels = normalised(image, resized_rule(self.resize, shortest_px, longest_px))
            given = Given(pixels, pixels)
        elif shortest_px is None and longest_px is None:
            given = self.own.given(image)
        else:
            raise ChoiceError("preprocess decides how large the input is: leave shortest_px and longest_px out")
        canvas_px = given.pixels.shape[-2:]
        grids = tuple(_grid(level, image, given.size_px, canvas_px) for level in self._levels)
        is_sampled = any(site.form == "sampled" for site in self._sites)
        return Prepared(_inputs(given), common_grid(grids), grids if is_sampled else ())

    def padded(self, inputs: Mapping[str, Tensor]) -> None:
        return None

    def forward(self, inputs: Mapping[str, Tensor]) -> Prediction:
        """``inputs`` may have other pixels than those that were prepared."""
        return self.own.prediction(self._output(inputs))

    def layer_predictions(self, inputs: Mapping[str, Tensor]) -> tuple[Prediction, ...]:
        """Of a module whose output has DETR's ``aux_outputs``: one for every decoder layer but the last."""
        layers = sum(site.kind == "decoder-cross" for site in self._sites)
        return self.own.layer_predictions(self._output(inputs), layers)

    def sites(self) -> tuple[AttentionSite, ...]:
        return self._sites

    def projection(self) -> nn.Module | None:
        return projection_of(self.model)

    def resumed(self, inputs: Mapping[str, Tensor], projected: Tensor) -> Mapping[str, Tensor]:
        return inputs

    def scores(self, logits: Tensor) -> Tensor:
        """``[… queries classes]``, without no-object."""
        return softmax_scores(logits) if self.own.score == "softmax" else sigmoid_scores(logits)

    def detections(self, prediction: Prediction, grid: Grid) -> tuple[Detection, ...]:
        return detections_of(self.scores(prediction.logits[0]), prediction.boxes[0], grid, self.class_names)

    def settle(self, device: torch.device | None, precision: Precision) -> None:
        refuse_precision(precision)
        if device is not None:
            self.model.to(device)

    def _output(self, inputs: Mapping[str, Tensor]) -> Any:
        pixels = inputs[_IMAGES].to(self._device())
        given = Given.of(inputs[_GIVEN]) if _GIVEN in inputs else Given(pixels, pixels)
        with evaluating(self.model):
            return given.call(self.model, pixels)

    def _device(self) -> torch.device:
        return next((weight.device for weight in self.model.parameters()), torch.device("cpu"))

    def _learned(self) -> tuple[Level, ...]:
        """How tokens lie, from what blank pictures become.

        Raises: ChoiceError when they are not the cells of feature maps.
        """
        seen: dict[tuple[int, int], Seen] = {}
        for height_px, width_px in _PROBES_PX:
            inputs = self._blank(height_px, width_px)
            size_px = inputs[_IMAGES].shape[-2], inputs[_IMAGES].shape[-1]
            if size_px not in seen:
                seen[size_px] = probed(self._sites, partial(self._run, inputs), size_px)
        return learned(list(seen.values()))

    def _blank(self, height_px: int, width_px: int) -> Mapping[str, Tensor]:
        if self.own.preprocess is None:
            return {_IMAGES: torch.zeros(1, 3, height_px, width_px)}
        from PIL import Image

        return _inputs(self.own.given(Image.new("RGB", (width_px, height_px), "gray")))

    def _run(self, inputs: Mapping[str, Tensor]) -> Prediction:
        try:
            return self.forward(inputs)
        except Exception as error:
            size = "×".join(map(str, reversed(inputs[_IMAGES].shape[-2:])))
            error.add_note(f"(detr_attnviz ran the module on a blank picture of {size} px to learn how its tokens lie)")
            raise


def _inputs(given: Given) -> Mapping[str, Tensor]:
    if given.value is given.pixels:
        return {_IMAGES: given.pixels}
    return {_IMAGES: given.pixels, _GIVEN: cast(Tensor, given)}  # moves like a tensor


def _grid(level: Level, image: "Image.Image", size_px: tuple[int, int], canvas_px: Sequence[int]) -> Grid:
    height_px, width_px = canvas_px
    rows, cols = level.shape(*size_px)
    return Grid(
        rows=rows,
        cols=cols,
        stride_px=level.stride_px,
        height_px=image.height,
        width_px=image.width,
        input_height_px=size_px[0],
        input_width_px=size_px[1],
        canvas_px=None if size_px == (height_px, width_px) else (height_px, width_px),
    )


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """``eval()`` while the block runs, and every part's own mode again afterwards."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
