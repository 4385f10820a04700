"""What one forward gave, in a form that all peers share: to draw from, and to compare."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.peers.matplotlib_pictures import save_heatmap, save_overlay

BEST = 5
"""Queries shown of every picture."""
_OURS = "bicubic"


@dataclass(frozen=True)
class Seen:
    """A picture and the last decoder layer's mean maps ``[queries rows cols]`` of its best queries, best first.

    ``boxes [queries 4]`` are xyxy in pixels.
    """

    image: Image.Image
    queries: Sequence[int]
    boxes: NDArray[np.float32]
    maps: NDArray[np.float32]

    def save_overlays(self, out: Path) -> list[str]:
        """Draws every map over the picture by matplotlib; the files' names."""
        out.mkdir(parents=True, exist_ok=True)
        names = [f"query_{query:03d}.overlay.png" for query in self.queries]
        for name, box, values in zip(names, self.boxes, self.maps, strict=True):
            save_overlay(self.image, values, box.tolist(), out / name)
        return names

    def save_one(self, style: str, file: Path) -> None:
        """Draws the best query's map by matplotlib, as "overlay" or "heatmap", as smooth as ours."""
        if style == "overlay":
            save_overlay(self.image, self.maps[0], self.boxes[0].tolist(), file, smooth=_OURS)
        else:
            save_heatmap(self.image.size, self.maps[0], file, smooth=_OURS)


def pixel_boxes(boxes: NDArray[np.float32], image: Image.Image) -> NDArray[np.float32]:
    """cxcywh in 0–1 to xyxy in pixels."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    corners: NDArray[np.float32] = np.concatenate((centre - half, centre + half), axis=1)
    return corners * np.array(image.size * 2, dtype=np.float32)
