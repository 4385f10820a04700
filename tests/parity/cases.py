"""The official implementation's results, and the checkpoints they were computed with, rebuilt from names."""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tests.parity.seeded import seeded_state_dict

FOLDER = Path(__file__).parent
CASES = ("finetuned-r18", "r50", "r50-dc5", "r101-panoptic")
RELEVANCE_CASES = ("finetuned-r18", "r50")
"""Those with results of the authors' code of arXiv 2103.15679."""


@dataclass(frozen=True)
class Golden:
    """One case: its picture, what the official code printed for it, and how large it was run."""

    name: str
    spec: dict[str, Any]
    arrays: dict[str, NDArray[Any]]

    @property
    def relevance(self) -> dict[str, NDArray[Any]]:
        """``queries``, and ``relevance.Q``, ``attn_gradcam.Q``, ``rollout.Q``, ``raw.Q`` ``[tokens]`` for each."""
        with np.load(FOLDER / f"{self.name}.relevance.npz") as arrays:
            return dict(arrays)

    @property
    def picture(self) -> Path:
        return FOLDER / f"{self.name}.png"

    @property
    def shortest_px(self) -> int:
        return int(self.spec["resize"]["shortest"])

    def write_training_checkpoint(self, folder: Path) -> Path:
        """The checkpoint as the official main.py saves it."""
        path = folder / f"{self.name}.pth"
        torch.save({"model": state_of(self.name), "epoch": 1, "args": argparse.Namespace(**self.spec["args"])}, path)
        return path


def state_of(name: str) -> dict[str, torch.Tensor]:
    """The case's state dict under official names."""
    return seeded_state_dict(json.loads((FOLDER / f"{name}.spec.json").read_text())["tensors"])


def golden(name: str) -> Golden:
    spec = json.loads((FOLDER / f"{name}.spec.json").read_text())
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return Golden(name, spec, dict(arrays))
