"""Original DETR checkpoints on the package's own model, to the pixel as the official code runs them."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detr_attnviz.detections import Detection
from detr_attnviz.errors import ChoiceError
from detr_attnviz.families.base import THRESHOLDS, Origin, Padded, Prediction, Prepared, Resize
from detr_attnviz.families.scores import detections_of, softmax_scores
from detr_attnviz.grid import Grid
from detr_attnviz.models.detr import DETR, DetrOutput
from detr_attnviz.models.fuse import Precision, fuse
from detr_attnviz.sites import AttentionSite, SiteKind

if TYPE_CHECKING:
    from PIL import Image


_DECODER_SITES: tuple[tuple[str, SiteKind, str], ...] = (
    ("self", "decoder-self", "self_attn"),
    ("cross", "decoder-cross", "multihead_attn"),
)


class NativeFamily:
    """A ``DETR`` of this package with its preprocessing and postprocessing.

    A model that nobody else holds (``is_own``) is made faster in place; one that a caller built stays as it is.
    """

    holds_still = True
    threshold = THRESHOLDS["softmax"]
    takes_batches = True

    def __init__(
        self, model: DETR, resize: Resize, class_names: tuple[str, ...], origin: Origin, *, is_own: bool = False
    ) -> None:
        self.model = model
        self.is_own = is_own
        self.resize = resize
        self.class_names = class_names
        self.origin = origin

    def prepare(
        self, image: "Image.Image", *, shortest_px: int | None = None, longest_px: int | None = None
    ) -> Prepared:
        pixels = normalised(image, resized_rule(self.resize, shortest_px, longest_px))
        return Prepared({"images": pixels}, grid_of(image, pixels, self.model.stride_px))

    def padded(self, inputs: Mapping[str, Tensor]) -> Padded:
        pixels, margin = inputs["images"], 2 * self.model.stride_px
        images = F.pad(pixels, (0, margin, 0, margin))
        is_padding = torch.ones_like(images[:, 0], dtype=torch.bool)
        is_padding[:, : pixels.shape[2], : pixels.shape[3]] = False
        cells = [math.ceil(side / self.model.stride_px) for side in images.shape[2:]]
        return Padded(
            {"images": images, "is_padding": is_padding}, self.model.cell_padding(is_padding, cells[0], cells[1])[0]
        )

    def forward(self, inputs: Mapping[str, Tensor]) -> Prediction:
        output = self._output(inputs)
        return Prediction(output.logits, output.boxes)

    def layer_predictions(self, inputs: Mapping[str, Tensor]) -> tuple[Prediction, ...]:
        output = self._output(inputs, all_layers=True)
        return tuple(map(Prediction, output.layer_logits, output.layer_boxes))

    def sites(self) -> tuple[AttentionSite, ...]:
        transformer = self.model.transformer
        encoder = [
            AttentionSite(f"encoder.{number}.self", "encoder-self", number, layer.get_submodule("self_attn"))
            for number, layer in enumerate(transformer.encoder.layers)
        ]
        decoder = [
            AttentionSite(f"decoder.{number}.{short}", kind, number, layer.get_submodule(attribute))
            for number, layer in enumerate(transformer.decoder.layers)
            for short, kind, attribute in _DECODER_SITES
        ]
        return (*encoder, *decoder)

    def projection(self) -> nn.Module:
        return self.model.input_proj

    def resumed(self, inputs: Mapping[str, Tensor], projected: Tensor) -> Mapping[str, Tensor]:
        return {**inputs, "features": projected.clone()}  # a batch's other pictures, and inference mode, stay behind

    def scores(self, logits: Tensor) -> Tensor:
        return softmax_scores(logits)

    def detections(self, prediction: Prediction, grid: Grid) -> tuple[Detection, ...]:
        return detections_of(self.scores(prediction.logits[0]), prediction.boxes[0], grid, self.class_names)

    def settle(self, device: torch.device | None, precision: Precision) -> None:
        if device is not None:
            self.model.to(device)
        if self.is_own:
            fuse(self.model, precision)
            self.origin = replace(self.origin, precision=precision)
        else:
            refuse_precision(precision)

    def _output(self, inputs: Mapping[str, Tensor], **asked: bool) -> DetrOutput:
        device = next(self.model.parameters()).device
        moved = {name: value.to(device, non_blocking=True) for name, value in inputs.items()}
        return self.model(**moved, **asked)  # type: ignore[no-any-return]


def resized_rule(rule: Resize, shortest_px: int | None, longest_px: int | None) -> Resize:
    """``rule`` with what the caller overrides.

    A shortest side above the rule's lifts the cap in proportion; a cap below the shortest side lowers that.
    """
    shortest = rule.shortest_px if shortest_px is None else shortest_px
    ratio = max(1.0, shortest / rule.shortest_px)
    longest = int(rule.longest_px * ratio) if longest_px is None else longest_px
    if shortest_px is None:
        shortest = min(shortest, longest)
    return Resize(shortest, longest, rule.mean, rule.std)


def refuse_precision(precision: Precision) -> None:
    """A built module is run as it is.

    Raises: ChoiceError for a precision that would change it.
    """
    if precision not in ("official", "fp32"):
        raise ChoiceError(f"precision {precision} is for checkpoints; a built module runs in its own: leave it out")


def normalised(image: "Image.Image", rule: Resize) -> Tensor:
    """The resized picture as float32 ``[1 3 height_px width_px]`` with mean 0 and deviation 1 per channel.

    Source: Pillow's bilinear resize, then ToTensor and Normalize, in that order, as the official transforms.
    """
    resized = image.resize(rule.size(*image.size), resample=2)  # 2 is Pillow's BILINEAR
    pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1).to(torch.float32).div_(255)
    mean, std = (torch.tensor(values)[:, None, None] for values in (rule.mean, rule.std))
    return pixels.sub_(mean).div_(std)[None]


def grid_of(image: "Image.Image", pixels: Tensor, stride_px: int, *, rounds_up: bool = True) -> Grid:
    """The grid of one unpadded picture: sides divided by the stride, rounded up as padded convolutions do."""
    height, width = pixels.shape[-2:]
    return Grid(
        rows=math.ceil(height / stride_px) if rounds_up else height // stride_px,
        cols=math.ceil(width / stride_px) if rounds_up else width // stride_px,
        stride_px=stride_px,
        height_px=image.height,
        width_px=image.width,
        input_height_px=height,
        input_width_px=width,
    )
