"""What the model is trained on: the set loss of DETR, and the outline loss on the encoder's cells.

Axes: L decoder layers, B pictures, G query groups, Q queries, T cells, M places for objects,
K classes + no-object.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from outlines import CellTargets
from torch import Tensor, nn

CLASS_COST, L1_COST, GIOU_COST = 1.0, 5.0, 2.0
NO_OBJECT_WEIGHT = 0.1
_NO_OUTLINE_WEIGHT = 0.3


@dataclass(frozen=True)
class Predictions:
    """What all decoder layers say, in float32."""

    logits: Tensor  # [L B G Q K]
    boxes: Tensor  # [L B G Q 4], cxcywh in 0-1


@dataclass(frozen=True)
class _Matches:
    """For every matched pair: where the prediction is, and which object it is."""

    layer: Tensor
    picture: Tensor
    group: Tensor
    query: Tensor
    target: Tensor


class OutlineHeads(nn.Module):
    """Heads on every cell of the encoder that only training uses."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.early_class = nn.Linear(width, classes + 1)
        self.extremes = nn.Linear(width, 4)
        self.place = nn.Linear(width, 2)
        self.sides = nn.Linear(width, 4)


def to_corners(boxes: Tensor) -> Tensor:
    """cxcywh to xyxy."""
    centre, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat([centre - size / 2, centre + size / 2], dim=-1)


def generalised_iou(first: Tensor, second: Tensor) -> Tensor:
    """GIoU of boxes in xyxy, broadcast over the leading axes; in -1 to 1."""
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    inner = (high - low).clamp(min=0).prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(-1) for boxes in (first, second)]
    union = (areas[0] + areas[1] - inner).clamp(min=1e-9)
    outer_low = torch.minimum(first[..., :2], second[..., :2])
    outer_high = torch.maximum(first[..., 2:], second[..., 2:])
    outer = (outer_high - outer_low).prod(-1).clamp(min=1e-9)
    return inner / union - (outer - union) / outer


def set_loss(predictions: Predictions, boxes: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """The usual losses of DETR, summed over layers; every group of queries is matched by itself."""
    matches = _match(predictions, boxes, labels)
    logits = predictions.logits
    layers, _, groups, _, kinds = logits.shape
    at = (matches.layer, matches.picture, matches.group, matches.query)
    wanted = torch.full(logits.shape[:-1], kinds - 1)
    wanted[at] = labels[matches.picture, matches.target]
    weights = torch.ones(kinds)
    weights[-1] = NO_OBJECT_WEIGHT
    each = F.cross_entropy(logits.flatten(0, 3), wanted.flatten(), weights, reduction="none")
    classes = each.sum() / weights[wanted].sum() * layers
    found, truth = predictions.boxes[at], boxes[matches.picture, matches.target]
    objects = groups * (labels >= 0).sum().clamp(min=1)
    distance = (found - truth).abs().sum() / objects
    giou = (1 - generalised_iou(to_corners(found), to_corners(truth))).sum() / objects
    return {"class": CLASS_COST * classes, "l1": L1_COST * distance, "giou": GIOU_COST * giou}


@torch.no_grad()
def _match(predictions: Predictions, boxes: Tensor, labels: Tensor) -> _Matches:
    """The cheapest assignment of queries to objects in every layer, picture and group."""
    from scipy.optimize import linear_sum_assignment  # only training needs SciPy, measuring does not

    chosen = labels.clamp(min=0)[None, :, None, None]
    shape = predictions.logits.shape[:-1]
    probability = predictions.logits.softmax(-1).gather(-1, chosen.expand(*shape, -1))
    found, truth = predictions.boxes[..., None, :], boxes[None, :, None, None]
    distance = (found - truth).abs().sum(-1)
    giou = generalised_iou(to_corners(found), to_corners(truth))
    costs = (L1_COST * distance - CLASS_COST * probability - GIOU_COST * giou).numpy()
    counts = (labels >= 0).sum(1).tolist()
    pairs = []
    for layer, picture, group in np.ndindex(*shape[:3]):
        query, target = linear_sum_assignment(costs[layer, picture, group, :, : counts[picture]])
        where = np.broadcast_to([[layer], [picture], [group]], (3, len(query)))
        pairs.append(np.concatenate([where, query[None], target[None]]))
    return _Matches(*torch.from_numpy(np.concatenate(pairs, axis=1)))


def outline_loss(
    memory: Tensor,
    features: Tensor,
    classifier: nn.Linear,
    heads: OutlineHeads,
    targets: CellTargets,
    boxes: Tensor,
    labels: Tensor,
) -> dict[str, Tensor]:
    """Teaches the encoder to name outlines where they are, and nothing in the middle of a shape.

    Per cell `[B T D]`: the class of the object whose outline passes (also from the features before
    the encoder), which of its four extremities the cell holds and where exactly that side is, and
    the cell's own place.
    """
    owner = targets.owner.flatten(1)
    kinds = classifier.out_features
    named = labels.gather(1, owner.clamp(min=0)).masked_fill(owner < 0, kinds - 1).flatten()
    weights = torch.ones(kinds)
    weights[-1] = _NO_OUTLINE_WEIGHT
    late = F.cross_entropy(classifier(memory).flatten(0, 1), named, weights)
    early = F.cross_entropy(heads.early_class(features).flatten(0, 1), named, weights)
    is_end = targets.extremes.flatten(2).transpose(1, 2)  # [B T 4]
    is_line = (owner >= 0)[..., None]
    ends = F.binary_cross_entropy_with_logits(
        heads.extremes(memory), is_end.float(), weight=is_line.float(), reduction="sum"
    )
    sides = to_corners(boxes).gather(1, owner.clamp(min=0)[..., None].expand(-1, -1, 4))
    wrong = (heads.sides(memory) - sides).abs() * is_end
    place = (heads.place(memory) - _places(targets)).abs().mean()
    return {
        "outline": 4 * late,
        "early": 2 * early,
        "ends": ends / is_line.sum().clamp(min=1),
        "sides": 10 * wrong.sum() / is_end.sum().clamp(min=1),
        "place": 10 * place,
    }


def outline_accuracy(logits: Tensor, targets: CellTargets, labels: Tensor) -> float:
    """The part of the outline's cells that are named rightly."""
    owner = targets.owner.flatten(1)
    named = labels.gather(1, owner.clamp(min=0))
    is_right = (logits.argmax(-1) == named)[owner >= 0]
    return is_right.float().mean().item()


def _places(targets: CellTargets) -> Tensor:
    """Every cell's middle, (x, y) in 0-1: `[1 T 2]`."""
    rows, cols = targets.owner.shape[1:]
    y = ((torch.arange(rows) + 0.5) / rows)[:, None].expand(rows, cols)
    x = ((torch.arange(cols) + 0.5) / cols)[None].expand(rows, cols)
    return torch.stack([x, y], dim=-1).flatten(0, 1)[None]
