"""Every DETR relative of transformers, run by its own code and watched where its attention is."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detr_attnviz.detections import Detection
from detr_attnviz.errors import ChoiceError
from detr_attnviz.families.base import THRESHOLDS, Origin, Padded, Prediction, Prepared
from detr_attnviz.families.hf_build import running
from detr_attnviz.families.hf_dense import dense_sites
from detr_attnviz.families.hf_layers import told_by_layers
from detr_attnviz.families.hf_layout import Layout
from detr_attnviz.families.hf_processing import Processing, real_size
from detr_attnviz.families.hf_prompt import Prompt
from detr_attnviz.families.hf_sampled import sampled_sites
from detr_attnviz.families.hf_table import Known
from detr_attnviz.families.hf_truth import with_own
from detr_attnviz.families.module import evaluating
from detr_attnviz.families.scores import detections_of, sigmoid_scores, softmax_scores
from detr_attnviz.grid import Grid, common_grid
from detr_attnviz.models.fuse import Precision
from detr_attnviz.sites import AttentionSite

if TYPE_CHECKING:
    from PIL import Image

_STILL = frozenset({"transformers", "torch", "timm"})
"""Packages whose modules leave what they were given as it is; a subclass may not."""


class HFFamily:
    """A ``…ForObjectDetection`` of transformers with its image processor.

    A model that nobody else holds (``is_own``) stays in ``eval()``; one that a caller built is so only while it runs
    here. With a ``prompt`` its phrases are the classes.
    """

    takes_batches = True

    def __init__(
        self,
        model: nn.Module,
        known: Known,
        processing: Processing,
        layout: Layout,
        class_names: tuple[str, ...],
        origin: Origin,
        *,
        prompt: Prompt | None = None,
        is_own: bool = False,
    ) -> None:
        self.model = model
        self.known = known
        self.processing = processing
        self.layout = layout
        self.class_names = class_names
        self.origin = origin
        self.prompt = prompt
        self.is_own = is_own
        self.holds_still = all(_home(module) in _STILL for module in model.modules())
        self.threshold = THRESHOLDS["text" if prompt is not None else known.score]
        sites = sorted((*dense_sites(model), *sampled_sites(model)), key=_order)
        self._sites = tuple(with_own(model, site) for site in sites)

    def prepare(
        self, image: "Image.Image", *, shortest_px: int | None = None, longest_px: int | None = None
    ) -> Prepared:
        inputs = self.processing.inputs(image, shortest_px, longest_px)
        grids = self.layout.grids((image.height, image.width), real_size(inputs), _sides(inputs["images"]))
        return Prepared(inputs, common_grid(grids), grids if self.known.form == "sampled" else ())

    def padded(self, inputs: Mapping[str, Tensor]) -> Padded | None:
        if not self.known.has_mask or "is_real" in inputs:
            return None
        images = inputs["images"]
        margin = (0, self.layout.margin_px, 0, self.layout.margin_px)
        is_real = F.pad(torch.ones_like(images[:, 0], dtype=torch.bool), margin)
        cells = common_grid(self.layout.grids(_sides(images), _sides(images), _sides(is_real))).canvas
        shown = F.interpolate(is_real[None].float(), size=cells)[0, 0].bool()  # nearest, as the models do
        return Padded({"images": F.pad(images, margin), "is_real": is_real}, ~shown)

    def forward(self, inputs: Mapping[str, Tensor]) -> Prediction:
        with self._still():
            return self._prediction(*self._in_decoder_order(self._output(inputs)))

    def layer_predictions(self, inputs: Mapping[str, Tensor]) -> tuple[Prediction, ...]:
        """() also where the last layer, so read, is not the model's answer: another version may predict otherwise."""
        with self._still():
            output, told = told_by_layers(self.model, partial(self._output, inputs))
        last = self._prediction(*self._in_decoder_order(output))
        found = tuple(self._prediction(logits, boxes) for logits, boxes in told)
        return found if found and _agree(found[-1], last) else ()

    def _output(self, inputs: Mapping[str, Tensor]) -> Any:
        weight = next(self.model.parameters())
        images = inputs["images"].to(weight.device, weight.dtype, non_blocking=True)
        options: dict[str, Any] = {"pixel_values": images, "return_dict": True}
        if self.known.has_mask and "is_real" in inputs:
            options["pixel_mask"] = inputs["is_real"].to(weight.device).long()
        if self.prompt is not None:
            options |= self.prompt.inputs(len(images), weight.device)
        with running(self.origin.name) if self.is_own else nullcontext():
            return self.model(**options)

    def _still(self) -> AbstractContextManager[None]:
        """A caller's model is in ``eval()`` inside."""
        return nullcontext() if self.is_own else evaluating(self.model)

    def _in_decoder_order(self, output: Any) -> tuple[Tensor, Tensor]:
        """Logits and boxes as attention counts the queries; PP-DocLayout v2 moves those that it keeps to the front."""
        if cast(Any, self.model.config).model_type != "pp_doclayout_v2":
            return output.logits, output.pred_boxes
        return output.intermediate_logits[:, -1], output.intermediate_reference_points[:, -1]

    def _prediction(self, logits: Tensor, boxes: Tensor) -> Prediction:
        return Prediction(logits if self.prompt is None else self.prompt.logits(logits), _upright(boxes))

    def sites(self) -> tuple[AttentionSite, ...]:
        return self._sites

    def projection(self) -> nn.Module | None:
        """Of the families whose encoder sees a single feature map."""
        found = getattr(getattr(self.model, "model", None), "input_projection", None)
        return found if isinstance(found, nn.Conv2d) else None

    def resumed(self, inputs: Mapping[str, Tensor], projected: Tensor) -> Mapping[str, Tensor]:
        return inputs

    def scores(self, logits: Tensor) -> Tensor:
        """``[… queries classes]`` without no-object."""
        has_no_object = self.known.score == "softmax" or not getattr(self.model.config, "use_focal_loss", True)
        return softmax_scores(logits) if has_no_object else sigmoid_scores(logits)

    def detections(self, prediction: Prediction, grid: Grid) -> tuple[Detection, ...]:
        return detections_of(self.scores(prediction.logits[0]), prediction.boxes[0], grid, self.class_names)

    def settle(self, device: torch.device | None, precision: Precision) -> None:
        if precision not in ("official", "fp32"):
            raise ChoiceError(
                f"precision {precision} is for DETR's own model; {self.known.title} runs as transformers has it: "
                "leave it out"
            )
        if device is not None:
            self.model.to(device)
        if self.is_own:
            self.origin = replace(self.origin, precision=precision)


def _order(site: AttentionSite) -> tuple[bool, int, bool]:
    return site.kind != "encoder-self", site.layer, site.kind == "decoder-cross"


def _home(module: nn.Module) -> str:
    return type(module).__module__.partition(".")[0]


def _agree(one: Prediction, other: Prediction) -> bool:
    """Up to rounding, also where nothing is finite."""
    pairs = ((one.logits, other.logits), (one.boxes, other.boxes))
    return all(
        a.shape == b.shape and torch.allclose(a.float(), b.float(), rtol=1e-3, atol=1e-3, equal_nan=True)
        for a, b in pairs
    )


def _upright(boxes: Tensor) -> Tensor:
    """``boxes`` as cxcywh; PP-DocLayout v4 has middles and four corners' offsets from them, each offset moved by ½."""
    if boxes.shape[-1] != 10:
        return boxes
    corners = boxes[..., None, :2] + boxes[..., 2:].unflatten(-1, (4, 2)) - 0.5
    first, last = corners.amin(-2), corners.amax(-2)
    return torch.cat(((first + last) / 2, last - first), dim=-1)


def _sides(images: Tensor) -> tuple[int, int]:
    return cast(tuple[int, int], tuple(images.shape[-2:]))
