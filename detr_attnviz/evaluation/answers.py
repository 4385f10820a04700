"""What the model says of a chosen query: its class logit, its box against the undisturbed one, its score."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detr_attnviz.detections import Detection
from detr_attnviz.families.base import Prediction
from detr_attnviz.trace import Trace

Answers = NDArray[np.float64]
"""``[… queries quantities]`` in the order of ``settings.QUANTITIES``."""


@dataclass(frozen=True)
class Targets:
    """The chosen queries of a picture, and what they were in the undisturbed one."""

    detections: tuple[Detection, ...]
    boxes: Tensor  # [queries 4], cxcywh in 0–1
    scores: Callable[[Tensor], Tensor]  # logits to probabilities of the classes

    @classmethod
    def of(cls, trace: Trace, queries: Sequence[int]) -> "Targets":
        detections = tuple(trace.detections[query] for query in queries)
        return cls(detections, trace.boxes[list(queries)], trace.detector.family.scores)

    @property
    def queries(self) -> list[int]:
        return [detection.index for detection in self.detections]

    def answers(self, prediction: Prediction) -> Answers:
        """``[batch queries quantities]``: the raw logit of the class that the query was detected as, the IoU of its
        box with the undisturbed one, and that class's score.
        """
        labels = torch.tensor([detection.label for detection in self.detections])
        # In the host's memory, as not every device has float64.
        logits = prediction.logits[:, self.queries].cpu().double()  # [batch queries classes]
        boxes = prediction.boxes[:, self.queries].cpu().double()
        chosen = labels[None, :, None].expand(len(logits), -1, 1)
        values = (
            logits.gather(2, chosen)[..., 0],
            overlap(boxes, self.boxes.cpu().double()),
            self.scores(logits).gather(2, chosen)[..., 0],
        )
        stacked: Answers = torch.stack(values, -1).numpy()
        return stacked


def overlap(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of boxes ``[… 4]``, cxcywh in any units; 0 where both are empty."""
    low = torch.maximum(boxes[..., :2] - boxes[..., 2:] / 2, others[..., :2] - others[..., 2:] / 2)
    high = torch.minimum(boxes[..., :2] + boxes[..., 2:] / 2, others[..., :2] + others[..., 2:] / 2)
    shared = (high - low).clamp(min=0).prod(-1)
    union = boxes[..., 2:].prod(-1) + others[..., 2:].prod(-1) - shared
    return torch.where(union > 0, shared / union.clamp(min=torch.finfo(union.dtype).tiny), 0.0)
