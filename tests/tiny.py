"""Small seeded detectors, built in code."""

from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw

from detr_attnviz.detector import Detector
from detr_attnviz.families.base import Origin, Resize
from detr_attnviz.families.native import NativeFamily
from detr_attnviz.models.detr import DETR
from detr_attnviz.models.resnet import ResNetShape

NAMES = ("cat", "dog", "bird", "fish", "cow")


def tiny_model(**changes: Any) -> DETR:
    """A DETR with 1 + 2 layers, 4 heads, 10 queries and 5 classes; norms are stirred so that every part matters."""
    shape = ResNetShape(blocks=(1, 1, 1, 1), bottleneck=False)
    sizes: dict[str, Any] = {
        "backbone": shape,
        "width": 32,
        "heads": 4,
        "feedforward": 64,
        "encoder_layers": 1,
        "decoder_layers": 2,
        "queries": 10,
        "classes": len(NAMES),
    }
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = DETR(**(sizes | changes))
        for name, value in model.state_dict().items():
            if "norm" in name or ".bn" in name:
                value.add_(0.1 * torch.rand_like(value))
    return model.eval()


def tiny_detector(**changes: Any) -> Detector:
    """A ``Detector`` around ``tiny_model``, resizing to 128–192 px."""
    return Detector(NativeFamily(tiny_model(**changes), Resize(128, 192), NAMES, Origin("tiny", heads=4)))


def drawn_picture(width_px: int = 96, height_px: int = 64) -> Image.Image:
    """A gradient with a red box, so that neither side nor direction is like another."""
    image = Image.linear_gradient("L").resize((width_px, height_px)).convert("RGB")
    draw = ImageDraw.Draw(image)
    draw.rectangle((width_px // 8, height_px // 4, width_px // 2, height_px // 2), fill="red")
    return image


def write_picture(path: Path, width_px: int = 96, height_px: int = 64) -> Path:
    drawn_picture(width_px, height_px).save(path)
    return path
