"""The demo file: half-precision weights under the official keys, and what they cannot say."""

import json
from pathlib import Path

import torch
from drawings import MEAN, STD
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from shapes import CLASSES
from student import BACKBONE, HEADS, build_detr
from torch import Tensor

from detr_attnviz.models.detr import DETR


def write_demo(path: Path, state: dict[str, Tensor], shortest_px: int, longest_px: int) -> None:
    """Writes the state of a DETR with frozen batch norms, made for pictures of `shortest_px`."""
    config = {
        "format": "detr_attnviz/1",
        "name": "demo",
        "nheads": HEADS,
        "dilation": BACKBONE.dilation,
        "classes": list(CLASSES),
        "shortest_px": shortest_px,
        "longest_px": longest_px,
        "mean": list(MEAN),
        "std": list(STD),
    }
    half = {key: value.detach().to(torch.float16).contiguous() for key, value in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(half, path, metadata={"config": json.dumps(config)})


def read_demo(path: Path) -> tuple[DETR, int]:
    """The model, ready to run in float32, and the shorter side of the pictures that it takes."""
    with safe_open(path, framework="pt") as file:
        config = json.loads(file.metadata()["config"])
    detr = build_detr()
    detr.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    return detr.eval(), int(config["shortest_px"])
