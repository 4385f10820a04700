"""Small explanations to draw: seeded maps over a seeded picture."""

import dataclasses

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detr_attnviz.detections import Detection
from detr_attnviz.explanation import Direction, Explanation
from detr_attnviz.grid import Grid

AWKWARD_NAMES = (
    "a class whose name goes on and on " * 6,
    "line\nbreak\ttab\x00\x1b[31m",
    "😀🦜",
    "שלום قط",
    "x" * 200,
    "</script>&amp;",
    "e" + "\u0301" * 40,
    "汉字 \ud800 \u202eevil",
    "",
    "   ",
)
TERMS = ("content · content", "content · position", "position · content", "position · position")


def photo(width: int = 64, height: int = 48) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def grid_of(image: Image.Image, rows: int = 3, cols: int = 4, stride: int = 16) -> Grid:
    return Grid(rows, cols, stride, image.height, image.width, image.height, image.width)


def weights(*shape: int, seed: int = 1) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).exponential(1.0, shape).reshape(shape[0], -1)
    return np.asarray((values / values.sum(axis=1, keepdims=True)).reshape(shape), dtype=np.float32)


def detections(count: int, image: Image.Image, names: tuple[str, ...] = ("cat", "dog")) -> tuple[Detection, ...]:
    rng = np.random.default_rng(2)
    found = []
    for index in range(count):
        left, top = rng.uniform(0, 0.6) * image.width, rng.uniform(0, 0.6) * image.height
        box = (left, top, left + 0.4 * image.width, top + 0.4 * image.height)
        found.append(Detection(index * 3, 0.99 - 0.005 * index, index % 2, names[index % len(names)], box))
    return tuple(found)


def cross(
    count: int = 2,
    image: Image.Image | None = None,
    names: tuple[str, ...] = ("cat", "dog"),
    maps: NDArray[np.float32] | None = None,
    method: str = "raw",
) -> Explanation:
    image = image or photo()
    grid = Grid(3, 4, 16, image.height, image.width, 48, 64)
    maps = weights(count, 3, 4) if maps is None else maps
    return Explanation(
        image,
        grid,
        maps,
        "cross",
        "decoder.5.cross",
        (5,),
        "mean",
        method,
        "attention" if method == "raw" else method,
        detections=detections(len(maps), image, names),
        provenance={"picture": "folder/pets.jpg", "checkpoint": "detr-r50", "checkpoint_sha256": "e632da11" * 8},
    )


def terms(count: int = 2, image: Image.Image | None = None, maps: NDArray[np.float32] | None = None) -> Explanation:
    """Four signed maps for each of ``count`` queries, with shares."""
    image = image or photo()
    maps = np.random.default_rng(3).normal(0, 2, (4 * count, 3, 4)).astype(np.float32) if maps is None else maps
    return dataclasses.replace(
        cross(count, image),
        maps=maps,
        method="decompose",
        quantity="logit",
        is_signed=True,
        terms=TERMS * count,
        shares=(0.62, 0.3, 0.1, -0.02) * count,
        detections=tuple(one for one in detections(count, image) for _ in TERMS),
    )


def encoder(direction: Direction = "from") -> Explanation:
    image = photo()
    points = ((10.0, 20.0), (50.0, 5.0))
    return Explanation(
        image,
        grid_of(image),
        weights(2, 3, 4),
        "encoder",
        "encoder.3.self",
        (3,),
        "2",
        "raw",
        points=points,
        direction=direction,
    )


def decoder_self(
    count: int = 2, everyone: int = 12, names: tuple[str, ...] = ("cat", "dog"), image: Image.Image | None = None
) -> Explanation:
    image = image or photo(200, 150)
    all_of_them = detections(everyone, image, names)
    return Explanation(
        image,
        grid_of(image, 10, 13),
        weights(count, everyone),
        "decoder-self",
        "decoder.5.self",
        (5,),
        "max",
        "raw",
        detections=all_of_them[:count],
        everyone=all_of_them,
    )
