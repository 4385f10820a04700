"""Small explanations to draw: seeded maps over a seeded picture."""

import dataclasses

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detr_attnviz.detections import Detection
from detr_attnviz.explanation import Direction, Explanation, Samples
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


def samples(
    references: NDArray[np.float32], heads: int = 2, strides: tuple[float, ...] = (8, 16, 32, 64), points: int = 4
) -> Samples:
    """Each head's points in a direction of its own, the further the coarser their level; a few weigh much."""
    rng = np.random.default_rng(5)
    count = len(references)
    angles = np.arange(heads) * 2 * np.pi / heads
    arms = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    steps = np.outer(strides, np.arange(1, points + 1))
    offsets = (arms[:, None, None] * steps[..., None]).reshape(-1, 2)
    offsets = offsets + rng.normal(0, 0.5, (count, *offsets.shape)) * np.abs(offsets).max(axis=-1, keepdims=True)
    logits = rng.normal(0, 1.4, (count, len(offsets[0])))
    values = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    levels = tuple(np.tile(np.repeat(np.arange(len(strides)), points), heads).tolist())
    places = (references[:, None] + offsets).astype(np.float32)
    return Samples(places, values.astype(np.float32), levels, strides, references.astype(np.float32))


def splat(found: Samples, grid: Grid) -> tuple[NDArray[np.float32], tuple[float, ...]]:
    """Each sample's weight on the four cells around it; with what falls off the grid."""
    maps = np.zeros((len(found.places), grid.rows + 2, grid.cols + 2))
    step = (
        grid.stride_px * grid.width_px / grid.input_width_px,
        grid.stride_px * grid.height_px / grid.input_height_px,
    )
    for number, (places, values) in enumerate(zip(found.places, found.weights, strict=True)):
        for place, value in zip(places / np.array(step) - 0.5, values, strict=True):
            col, row = np.floor(place).astype(int)
            right, down = place - np.floor(place)
            for over, x_share in ((0, 1 - right), (1, right)):
                for under, y_share in ((0, 1 - down), (1, down)):
                    at = np.clip([row + under + 1, col + over + 1], 0, [grid.rows + 1, grid.cols + 1])
                    maps[number, at[0], at[1]] += value * x_share * y_share
    inner = maps[:, 1:-1, 1:-1].astype(np.float32)
    return inner, tuple((found.weights.sum(axis=1) - inner.sum(axis=(1, 2))).tolist())


def sampled(
    count: int = 2, image: Image.Image | None = None, heads: int = 2, strides: tuple[float, ...] = (8, 16, 32, 64)
) -> Explanation:
    """Sampled cross-attention: ``count`` queries with points around their boxes' middles."""
    image = image or photo(200, 150)
    seen = detections(count, image)
    middles = [((one.box[0] + one.box[2]) / 2, (one.box[1] + one.box[3]) / 2) for one in seen]
    found = samples(np.array(middles, dtype=np.float32).reshape(-1, 2), heads, strides)
    stride = strides[0]
    grid = grid_of(image, -(-image.height // int(stride)), -(-image.width // int(stride)), int(stride))
    maps, rest = splat(found, grid)
    return dataclasses.replace(
        cross(count, image), grid=grid, maps=maps, samples=found, rest=rest, rest_where="outside the picture"
    )


def sampled_encoder() -> Explanation:
    """Where a cell's query reads: its point is near the cell's middle."""
    points = ((60.0, 70.0), (150.0, 20.0))
    around = sampled(2)
    found = samples(np.array([[60, 68], [148, 20]], dtype=np.float32))
    maps, rest = splat(found, around.grid)
    return dataclasses.replace(
        around,
        kind="encoder",
        site="encoder.5.self",
        detections=(),
        points=points,
        maps=maps,
        rest=rest,
        samples=found,
    )
