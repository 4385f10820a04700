"""A pretended GPU with little memory: it computes on the CPU, calls itself MPS and refuses what is too large."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from detr_attnviz.detector import Detector
from detr_attnviz.families.base import Family


class Scarce(Detector):
    """Has memory for so many pictures of so many pixels in a forward; ``sizes`` are of all forwards that were tried."""

    device = torch.device("mps")

    def __init__(self, family: Family, *, most_pictures: int = 100, most_px: int = 10**9) -> None:
        super().__init__(family)
        self.most_pictures = most_pictures
        self.most_px = most_px
        self.sizes: list[int] = []

    def forward(self, inputs: Mapping[str, Tensor]) -> Any:
        count, _, height_px, width_px = inputs["images"].shape
        self.sizes.append(count)
        if count > self.most_pictures or height_px * width_px > self.most_px:
            raise torch.OutOfMemoryError("out of memory")
        return super().forward(inputs)
