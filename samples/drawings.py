"""Training pictures: drawn once into arrays on disk, then augmented and resized batch by batch.

Axes: B pictures of a batch, H W pixels, R C samples of the owner map (one every OWNER_STEP_PX
pixels of the drawing), M = MAX_OBJECTS places for objects, filled up with label -1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from draw import MAX_OBJECTS, SUPERSAMPLING, Drawing, draw
from numpy.typing import NDArray
from torch import Tensor

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
OWNER_STEP_PX = 4
FORMATS = {"square": (384, 384), "landscape": (480, 360), "portrait": (360, 480)}  # width, height
TRAINING_COUNTS = {"square": 14_000, "landscape": 6_000}  # a landscape turned is a portrait
HELD_OUT_SEED = 1
TRAINING_SEED = 0
_LANDSCAPE_SHARE = 0.3


@dataclass(frozen=True)
class Batch:
    """Pictures of one size with what is on them."""

    images: Tensor  # [B 3 H W], normalised
    owners: Tensor  # [B R C], uint8: 0 the ground, k + 1 object k
    boxes: Tensor  # [B M 4], cxcywh in 0-1
    labels: Tensor  # [B M], -1 where there is no object


def build_store(folder: Path, seed: int, count: int, size: tuple[int, int], workers: int) -> None:
    """Draws `count` pictures of `size` (width, height) into `folder`, unless they are there."""
    if (folder / "done").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, (dtype, shape) in _layout(count, size).items():
        np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
    chunks = np.array_split(np.arange(count), workers * 8)
    with get_context("spawn").Pool(workers) as pool:
        pool.starmap(_fill_store, [(folder, seed, chunk, size) for chunk in chunks])
    (folder / "done").touch()


def _layout(count: int, size: tuple[int, int]) -> dict[str, tuple[type, tuple[int, ...]]]:
    width, height = size
    return {
        "images": (np.uint8, (count, height, width, 3)),
        "owners": (np.uint8, (count, height // OWNER_STEP_PX, width // OWNER_STEP_PX)),
        "boxes": (np.float32, (count, MAX_OBJECTS, 4)),
        "labels": (np.int64, (count, MAX_OBJECTS)),
    }


def _fill_store(folder: Path, seed: int, chunk: NDArray[np.int64], size: tuple[int, int]) -> None:
    arrays = {path.stem: np.load(path, mmap_mode="r+") for path in folder.glob("*.npy")}
    for index in chunk.tolist():
        drawing = draw((seed, *size, index), *size)
        arrays["images"][index] = np.asarray(drawing.image)
        arrays["owners"][index] = sample_owners(drawing)
        arrays["boxes"][index], arrays["labels"][index] = _padded_targets(drawing)


def sample_owners(drawing: Drawing) -> NDArray[np.uint8]:
    """The owner map at one sample every OWNER_STEP_PX pixels, taken at the middle of each."""
    step = OWNER_STEP_PX * SUPERSAMPLING
    return drawing.owners[step // 2 :: step, step // 2 :: step]


def _padded_targets(drawing: Drawing) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    boxes, labels = np.zeros((MAX_OBJECTS, 4)), np.full(MAX_OBJECTS, -1)
    count = len(drawing.labels)
    low, high = drawing.boxes[:, :2], drawing.boxes[:, 2:]
    boxes[:count] = np.concatenate([(low + high) / 2, high - low], axis=1)
    boxes /= (drawing.image.width, drawing.image.height) * 2
    labels[:count] = drawing.labels
    return boxes, labels


class Store:
    """Drawings on disk, read without loading them all."""

    def __init__(self, folder: Path) -> None:
        self.images, self.owners, self.boxes, self.labels = (
            np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "owners", "boxes", "labels")
        )

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: NDArray[np.int64], size: tuple[int, int]) -> Batch:
        """The chosen pictures as drawn, resized to `size` (height, width), not normalised."""
        chosen = np.sort(indices)
        images, owners, boxes, labels = (
            torch.from_numpy(np.array(array[chosen])) for array in (self.images, self.owners, self.boxes, self.labels)
        )
        images = resize(images.permute(0, 3, 1, 2), size).float() / 255
        return Batch(images, owners, boxes, labels)


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """uint8 pictures `[B 3 H W]` at another size, smoothed as Pillow does."""
    if tuple(images.shape[-2:]) == size:
        return images
    return F.interpolate(images, size, mode="bilinear", antialias=True)


def normalise(images: Tensor) -> Tensor:
    """Pictures in 0-1 made ready for the model."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


class Feed:
    """An endless, seeded stream of augmented batches."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._stores = {name: Store(folder / name) for name in TRAINING_COUNTS}
        self._rng = np.random.default_rng(seed)
        self._orders = {name: self._order(len(store)) for name, store in self._stores.items()}

    def draw_batch(self, pictures: int, side_px: int) -> Batch:
        """Pictures of one size: squares of `side_px`, or landscapes or portraits about as large."""
        is_square = self._rng.random() > _LANDSCAPE_SHARE
        name, size = ("square", (side_px, side_px)) if is_square else ("landscape", landscape(side_px))
        indices = np.array([next(self._orders[name]) for _ in range(pictures)])
        batch = self._stores[name].batch(indices, size)
        batch = _mirror(batch, torch.from_numpy(self._rng.random(pictures) < 0.5), axis=0)
        batch = _mirror(batch, torch.from_numpy(self._rng.random(pictures) < 0.5), axis=1)
        if self._rng.random() < 0.5:
            batch = _transpose(batch)
        images = normalise(self._recolour(batch.images))
        return Batch(images, batch.owners, batch.boxes, batch.labels)

    def _order(self, count: int) -> Iterator[int]:
        while True:
            yield from self._rng.permutation(count).tolist()

    def _recolour(self, images: Tensor) -> Tensor:
        """Channels exchanged, gains and offsets per channel, some pictures inverted."""
        count = len(images)
        channels = torch.from_numpy(self._rng.permuted(np.tile(np.arange(3), (count, 1)), axis=1))
        images = images[torch.arange(count)[:, None], channels]
        gains = self._uniform(0.75, 1.25, count)
        offsets = self._uniform(-0.12, 0.12, count)
        is_inverted = torch.from_numpy(self._rng.random((count, 1, 1, 1)) < 0.15)
        images = torch.where(is_inverted, 1 - images, images)
        return ((images - 0.5) * gains + 0.5 + offsets).clamp(0, 1)

    def _uniform(self, low: float, high: float, count: int) -> Tensor:
        return torch.from_numpy(self._rng.uniform(low, high, (count, 3, 1, 1))).float()


def landscape(side_px: int) -> tuple[int, int]:
    """Height and width of a 4:3 picture for a square side, in whole cells of 16 pixels."""
    height = round(side_px * 0.9 / 16) * 16
    return height, round(height * 4 / 3 / 16) * 16


def _mirror(batch: Batch, chosen: Tensor, axis: int) -> Batch:
    """Mirrors the chosen pictures: axis 0 exchanges left and right, 1 top and bottom."""
    images = torch.where(chosen[:, None, None, None], batch.images.flip(3 - axis), batch.images)
    owners = torch.where(chosen[:, None, None], batch.owners.flip(2 - axis), batch.owners)
    boxes = batch.boxes.clone()
    boxes[..., axis] = torch.where(chosen[:, None], 1 - boxes[..., axis], boxes[..., axis])
    return Batch(images, owners, boxes, batch.labels)


def _transpose(batch: Batch) -> Batch:
    return Batch(
        batch.images.transpose(2, 3),
        batch.owners.transpose(1, 2),
        batch.boxes[..., [1, 0, 3, 2]],
        batch.labels,
    )
