"""From raw output to detections: what a logit says, and where a box lies in the picture."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from detr_attnviz.detections import NO_CLASS, Detection
from detr_attnviz.grid import Grid


def softmax_scores(logits: Float[Tensor, "*queries all_classes"]) -> Float[Tensor, "*queries classes"]:
    """Softmax over all classes, of which the last, no-object, is dropped."""
    return _wide(logits).softmax(-1)[..., :-1]


def sigmoid_scores(logits: Float[Tensor, "*queries classes"]) -> Float[Tensor, "*queries classes"]:
    """Each class by itself; there is no no-object."""
    return _wide(logits).sigmoid()


def _wide(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def detections_of(
    scores: Float[Tensor, "queries classes"], boxes: Float[Tensor, "queries 4"], grid: Grid, class_names: Sequence[str]
) -> tuple[Detection, ...]:
    """Each query's best class; boxes, cxcywh in 0–1 of the picture, as xyxy in original pixels.

    A query whose scores hold NaN has no class.

    Source: facebookresearch/detr, models/detr.py, PostProcess.
    """
    best, labels = scores.max(-1)  # NaN is the largest of all
    labels = labels.masked_fill(best.isnan(), NO_CLASS)
    cx, cy, w, h = boxes.float().unbind(-1)
    size = torch.tensor([grid.width_px, grid.height_px] * 2, device=boxes.device)
    corners = torch.stack((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), dim=-1) * size
    rows = zip(best.tolist(), labels.tolist(), corners.tolist(), strict=True)
    return tuple(
        Detection(index, score, label, name_of(label, tuple(class_names)), (box[0], box[1], box[2], box[3]))
        for index, (score, label, box) in enumerate(rows)
    )


def name_of(label: int, class_names: tuple[str, ...]) -> str:
    """The class's name, or ``class 17`` when none is known; ``no class`` of what is none."""
    if label == NO_CLASS:
        return "no class"
    return (class_names[label] if label < len(class_names) else "") or f"class {label}"
