"""Deletion and insertion: what becomes of each query as the cells that a map ranks highest go, or alone stay.

A disturbed picture is run once, however many queries and maps ask for it: all queries of a forward are read off
together, and masks that several maps have in common count once.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detr_attnviz.batch.faults import no_room
from detr_attnviz.batch.room import Room
from detr_attnviz.detector import Detector, exact_inference
from detr_attnviz.errors import ChoiceError
from detr_attnviz.evaluation.answers import Answers, Targets
from detr_attnviz.evaluation.disturbed import baselines, disturbed, in_pixels
from detr_attnviz.evaluation.ranking import Order, kept
from detr_attnviz.evaluation.settings import BASELINES, DIRECTIONS, QUANTITIES
from detr_attnviz.families.base import Prepared


class Disturbances:
    """The masks that a picture's curves need, each once, and the answers to them."""

    def __init__(self, detector: Detector, prepared: Prepared, targets: Targets, undisturbed: Answers) -> None:
        """``undisturbed`` is ``[queries quantities]``."""
        self.detector = detector
        self.prepared = prepared
        self.targets = targets
        self.undisturbed = undisturbed
        self._numbers: dict[bytes, int] = {}
        self._masks: list[NDArray[np.bool_]] = []

    @property
    def forwards(self) -> int:
        """How many disturbed pictures there are to run."""
        return len(BASELINES) * (len(self._masks) - self._whole_pictures)

    @property
    def _whole_pictures(self) -> int:
        return sum(bool(mask.all()) for mask in self._masks)

    def ask(self, order: Order, shares: Sequence[float]) -> NDArray[np.int64]:
        """Numbers ``[directions shares]`` of the masks by which ``order`` is tried."""
        return np.array([[self._number(kept(order, share, way)) for share in shares] for way in DIRECTIONS])

    def run(self, batch_size: int, room: Room | None = None) -> NDArray[np.float64]:
        """Answers ``[masks queries baselines quantities]`` to all that was asked.

        Raises: ImageError when there is no memory for one disturbed picture.
        """
        answers = np.empty((len(self._masks), len(self.targets.queries), len(BASELINES), len(QUANTITIES)))
        disturbing = [number for number, mask in enumerate(self._masks) if not mask.all()]
        for number in set(range(len(self._masks))) - set(disturbing):
            answers[number] = self.undisturbed[:, None]
        room = room or Room(self.detector.device)
        with exact_inference(self.detector.device):
            pixels = self.prepared.inputs["images"].to(self.detector.device)
            for place, instead in enumerate(baselines(pixels).values()):
                for start in range(0, len(disturbing), batch_size):
                    some = disturbing[start : start + batch_size]
                    found = room.shared(some, pixels.numel(), partial(self._answer, pixels, instead))
                    answers[some, :, place] = _all(found, room.device)
        return answers

    def _answer(self, pixels: Tensor, instead: Tensor, numbers: Sequence[int]) -> Sequence[Answers]:
        grid = self.prepared.grid
        cells = np.stack([self._masks[number] for number in numbers]).reshape(-1, grid.rows, grid.cols)
        images = disturbed(pixels, instead, in_pixels(cells, grid, pixels.device))
        others = {name: value for name, value in self.prepared.inputs.items() if name != "images"}
        if len(images) > 1:
            if not all(isinstance(value, Tensor) for value in others.values()):
                raise ChoiceError("a preprocess of one's own prepares pictures one by one: leave batch_size at 1")
            others = {name: value.expand(len(images), *value.shape[1:]) for name, value in others.items()}
        return list(self.targets.answers(self.detector.family.forward({**others, "images": images})))

    def _number(self, mask: NDArray[np.bool_]) -> int:
        number = self._numbers.setdefault(mask.tobytes(), len(self._masks))
        if number == len(self._masks):
            self._masks.append(mask)
        return number


def _all(found: Sequence[Answers | None], device: torch.device) -> list[Answers]:
    if any(one is None for one in found):
        raise no_room(device)
    return [one for one in found if one is not None]


def curves(
    disturbances: Disturbances,
    orders: Mapping[str, Sequence[Order]],
    shares: Sequence[float],
    batch_size: int,
    room: Room | None = None,
) -> Mapping[str, NDArray[np.float64]]:
    """By map ``[queries baselines directions shares quantities]``; ``orders`` has one per map and query."""
    asked = {name: np.stack([disturbances.ask(order, shares) for order in each]) for name, each in orders.items()}
    answers = disturbances.run(batch_size, room)
    each_query = np.arange(len(disturbances.targets.queries))[:, None, None]
    return {name: np.moveaxis(answers[numbers, each_query], 3, 1) for name, numbers in asked.items()}
