"""How pictures are prepared for validation."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

SHORTEST_PX = 160


def make_coco_transforms(image_set: str) -> Callable[[Image.Image, Any], tuple[Tensor, Any]]:
    assert image_set == "val"

    def transform(image: Image.Image, target: Any) -> tuple[Tensor, Any]:
        scale = SHORTEST_PX / min(image.size)
        resized = image.resize((round(image.width * scale), round(image.height * scale)))
        return torch.from_numpy(np.array(resized)).permute(2, 0, 1) / 255 - 0.5, target

    return transform
