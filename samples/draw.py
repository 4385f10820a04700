"""Draws the pictures: bright shapes on plain grounds, with the box and the class of every shape.

`draw` is deterministic: the same seed and size give the same picture, bit for bit, with one version
of Pillow and NumPy. Boxes are tight around what is visible of a shape; a shape may leave the
picture or hide another in part.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter
from shapes import CLASSES, Outline, outline, turn

MAX_OBJECTS = 7
SUPERSAMPLING = 2
_SIZES = (0.13, 0.65)  # a shape's diameter, as a fraction of the picture's shorter side
_COVERED = 0.7  # of the picture by the shapes' bounding squares, at most
_ATTEMPTS = 30
_CONTRAST = 90.0  # smallest distance of a shape's colour from the ground's, in RGB
_STROKE_WIDTHS = (0.03, 0.07)  # of the diameter

SAMPLES = {  # the pictures in this folder: seed, width, height and number of shapes
    "shapes_landscape.png": (19, 640, 480, None),
    "shapes_portrait.png": (4, 480, 640, None),
    "shapes_large.png": (4, 512, 512, 2),
    "shapes_many.png": (49, 512, 512, 7),
    "shapes_touching.png": (25, 640, 480, None),
    "shapes_square.png": (53, 512, 512, 7),
}
_SAMPLES_SEED = 2  # neither the training drawings' nor the held-out ones'

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Drawing:
    """A picture and what is on it, in painter's order (later shapes lie in front)."""

    image: Image.Image
    boxes: NDArray[np.float64]  # [objects 4], xyxy in pixels
    labels: NDArray[np.int64]  # [objects], indices of CLASSES
    owners: Bytes  # [rows cols] at SUPERSAMPLING: 0 for the ground, k + 1 for object k


@dataclass(frozen=True)
class _Shape:
    label: int
    centre: tuple[float, float]
    diameter: float
    outline: Outline  # in pixels of the supersampled canvas


def draw(seed: int | Sequence[int], width: int, height: int, count: int | None = None) -> Drawing:
    """One picture of 1 to MAX_OBJECTS shapes (or as near to `count` as there is room for)."""
    rng = np.random.default_rng(seed)
    scaled = (width * SUPERSAMPLING, height * SUPERSAMPLING)
    ground = _ground(rng, width, height)
    canvas = ground.resize(scaled, Image.Resampling.BILINEAR)
    owners = Image.new("L", scaled)
    ground_colour = np.asarray(ground.resize((1, 1), Image.Resampling.BOX), dtype=float)[0, 0]
    shapes = _place(rng, scaled, count)
    for number, shape in enumerate(shapes, start=1):
        _paint(rng, canvas, owners, shape, number, ground_colour)
    image = _grain(rng, canvas.reduce(SUPERSAMPLING))
    boxes, labels = _boxes(owners, shapes)
    return Drawing(image, boxes, labels, np.asarray(owners))


def draw_sample(name: str) -> Drawing:
    """One of the pictures in this folder."""
    seed, width, height, count = SAMPLES[name]
    return draw((_SAMPLES_SEED, seed), width, height, count)


def _place(rng: np.random.Generator, size: tuple[int, int], count: int | None) -> list[_Shape]:
    """Shapes that stay mostly visible: discs overlap little, centres lie inside the picture."""
    wanted = count or int(rng.integers(1, MAX_OBJECTS + 1))
    may_leave = rng.random() < 0.35
    shapes: list[_Shape] = []
    covered = 0.0
    for _ in range(_ATTEMPTS * wanted):
        if len(shapes) == wanted:
            break
        diameter = min(size) * (_SIZES[0] + (_SIZES[1] - _SIZES[0]) * float(rng.random()) ** 1.4)
        inset = diameter * (0.3 if may_leave else 0.52)
        x, y = (float(rng.uniform(inset, max(side - inset, inset + 1))) for side in size)
        apart = all(
            np.hypot(x - other.centre[0], y - other.centre[1]) > 0.43 * (diameter + other.diameter) for other in shapes
        )
        share = diameter**2 / (size[0] * size[1])
        if apart and (not shapes or covered + share < _COVERED):
            covered += share
            shapes.append(_shape(rng, (x, y), diameter))
    return shapes


def _shape(rng: np.random.Generator, centre: tuple[float, float], diameter: float) -> _Shape:
    label = int(rng.integers(len(CLASSES)))
    unit = outline(CLASSES[label])
    angle = float(rng.uniform(0, 2 * np.pi))
    points, hole = (None if part is None else turn(part, angle) * diameter / 2 + np.array(centre) for part in unit)
    assert points is not None
    return _Shape(label, centre, diameter, Outline(points, hole))


def _paint(
    rng: np.random.Generator,
    canvas: Image.Image,
    owners: Image.Image,
    shape: _Shape,
    number: int,
    ground_colour: NDArray[np.float64],
) -> None:
    """Puts one shape on the canvas, with its shadow and stroke, and its number into `owners`."""
    low = np.floor(shape.outline.points.min(axis=0)).astype(int) - 1
    high = np.ceil(shape.outline.points.max(axis=0)).astype(int) + 2
    corner, size = (int(low[0]), int(low[1])), (int(high[0] - low[0]), int(high[1] - low[1]))
    mask = _mask(shape.outline, low, size)
    colour = _colour_away_from(rng, ground_colour)
    tile = _filling(rng, size, colour)
    if rng.random() < 0.4:
        width = shape.diameter * float(rng.uniform(*_STROKE_WIDTHS))
        stroke = ImageChops.multiply(_stroke(shape.outline, low, size, width), mask)
        dark = rng.random() < 0.5
        tile.paste(_as_colour(colour * 0.35 if dark else 255 - (255 - colour) * 0.2), mask=stroke)
    if rng.random() < 0.4:
        _cast_shadow(rng, canvas, mask, corner, shape.diameter)
    canvas.paste(tile, corner, mask)
    owners.paste(number, (*corner, corner[0] + size[0], corner[1] + size[1]), mask)


def _mask(shape: Outline, origin: NDArray[np.int64], size: tuple[int, int]) -> Image.Image:
    mask = Image.new("1", size)
    pen = ImageDraw.Draw(mask)
    pen.polygon([tuple(p) for p in (shape.points - origin).tolist()], fill=1)
    if shape.hole is not None:
        pen.polygon([tuple(p) for p in (shape.hole - origin).tolist()], fill=0)
    return mask.convert("L")


def _stroke(shape: Outline, origin: NDArray[np.int64], size: tuple[int, int], width: float) -> Image.Image:
    line = Image.new("L", size)
    pen = ImageDraw.Draw(line)
    for part in (shape.points, shape.hole):
        if part is not None:
            corners = [tuple(p) for p in (part - origin).tolist()]
            pen.line([*corners, *corners[:2]], fill=255, width=round(2 * width), joint="curve")
    return line


def _cast_shadow(
    rng: np.random.Generator,
    canvas: Image.Image,
    mask: Image.Image,
    corner: tuple[int, int],
    diameter: float,
) -> None:
    margin = max(2, round(diameter * 0.06))
    padded = Image.new("L", (mask.width + 2 * margin, mask.height + 2 * margin))
    padded.paste(mask.point([round(level * 0.4) for level in range(256)]), (margin, margin))
    soft = padded.filter(ImageFilter.BoxBlur(margin / 2))
    dx, dy = (round(shift) for shift in rng.uniform(-0.5, 1.0, 2) * margin)
    canvas.paste((0, 0, 0), (corner[0] - margin + dx, corner[1] - margin + dy), soft)


def _filling(rng: np.random.Generator, size: tuple[int, int], colour: NDArray[np.float64]) -> Image.Image:
    """A tile in one colour, in a gradient of it, or in stripes of it."""
    kind = rng.random()
    if kind < 0.5:
        return Image.new("RGB", size, _as_colour(colour))
    other = np.clip(colour * rng.uniform(0.55, 0.8) + rng.uniform(0, 40, 3), 0, 255)
    wave = _ramp(rng, size)
    if kind > 0.75:
        wave = (np.floor(wave * rng.integers(4, 9)) % 2).astype(np.float32)
    return _blend(colour, other, wave)


def _ground(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Flat, gradient, stripes, squares or soft spots, in two colours near each other."""
    colour = rng.uniform(30, 230, 3)
    other = np.clip(colour + rng.uniform(-45, 45, 3), 0, 255)
    kind = rng.integers(5)
    if kind == 0:
        return Image.new("RGB", (width, height), _as_colour(colour))
    wave = _ramp(rng, (width, height))
    if kind == 2:
        wave = (np.floor(wave * rng.integers(4, 12)) % 2).astype(np.float32)
    elif kind == 3:
        cell = min(width, height) / int(rng.integers(3, 8))
        rows, cols = np.arange(height)[:, None] // cell, np.arange(width)[None] // cell
        wave = ((rows + cols) % 2).astype(np.float32)
    elif kind == 4:
        spots = rng.random((5, 5)).astype(np.float32)
        wave = np.asarray(Image.fromarray(spots).resize((width, height), Image.Resampling.BICUBIC)).clip(0, 1)
    return _blend(colour, other, wave)


def _grain(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    strength = float(rng.choice([0.0, 2.0, 5.0, 9.0]))
    if strength == 0:
        return image
    grey = rng.standard_normal((image.height, image.width, 1), dtype=np.float32) * strength
    return Image.fromarray((np.asarray(image) + grey).clip(0, 255).astype(np.uint8))


def _ramp(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float32]:
    """0 at one side and 1 at the opposite one, in a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    x = np.linspace(-1, 1, size[0], dtype=np.float32)[None] * np.float32(np.cos(angle))
    y = np.linspace(-1, 1, size[1], dtype=np.float32)[:, None] * np.float32(np.sin(angle))
    reach = np.float32(2 * (abs(np.cos(angle)) + abs(np.sin(angle))))
    return np.asarray((x + y) / reach + np.float32(0.5), dtype=np.float32)


def _blend(colour: NDArray[np.float64], other: NDArray[np.float64], wave: NDArray[np.float32]) -> Image.Image:
    step = (other - colour).astype(np.float32)
    pixels = colour.astype(np.float32) + wave[..., None] * step
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _colour_away_from(rng: np.random.Generator, ground: NDArray[np.float64]) -> NDArray[np.float64]:
    colour = rng.uniform(0, 255, 3)
    while np.linalg.norm(colour - ground) < _CONTRAST:
        colour = rng.uniform(0, 255, 3)
    return colour


def _as_colour(values: NDArray[np.float64]) -> tuple[int, int, int]:
    red, green, blue = (round(float(value)) for value in values)
    return red, green, blue


def _boxes(owners: Image.Image, shapes: list[_Shape]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Boxes of what is visible; placing keeps a part of every shape visible."""
    boxes = []
    for number in range(1, len(shapes) + 1):
        box = owners.point([255 * (value == number) for value in range(256)]).getbbox()
        assert box is not None
        boxes.append(box)
    labels = np.array([shape.label for shape in shapes], dtype=np.int64)
    return np.array(boxes, dtype=np.float64).reshape(-1, 4) / SUPERSAMPLING, labels


def write_folder(folder: Path, pictures: Sequence[tuple[str, Drawing]], quality: int = 92) -> None:
    """Writes the pictures (the ending is the format) and `annotations.json`, COCO style."""
    folder.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, (name, drawing) in enumerate(pictures):
        drawing.image.save(folder / name, quality=quality, optimize=True)
        size = {"width": drawing.image.width, "height": drawing.image.height}
        images.append({"id": image_id, "file_name": name, **size})
        for (left, top, right, bottom), label in zip(drawing.boxes, drawing.labels, strict=True):
            box = [float(value) for value in (left, top, right - left, bottom - top)]
            annotation = {"image_id": image_id, "category_id": int(label), "bbox": box}
            annotations.append({"id": len(annotations), **annotation, "area": box[2] * box[3]})
    categories = [{"id": index, "name": name} for index, name in enumerate(CLASSES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path, help="folder to write into")
    parser.add_argument("--samples", action="store_true", help="the pictures of this folder again")
    parser.add_argument("--count", type=int, default=10, help="number of pictures")
    parser.add_argument("--size", type=int, default=320, help="height, and width if not given")
    parser.add_argument("--width", type=int, help="width of the pictures")
    parser.add_argument("--seed", type=int, default=1, help="first seed")
    parser.add_argument("--format", choices=("png", "jpg"), default="png")
    return parser.parse_args()


def main() -> None:
    given = _arguments()
    if given.samples:
        write_folder(given.out, [(name, draw_sample(name)) for name in SAMPLES])
        return
    width = given.width or given.size
    pictures = [
        (f"shapes_{index:04d}.{given.format}", draw((given.seed, index), width, given.size))
        for index in range(given.count)
    ]
    write_folder(given.out, pictures)


if __name__ == "__main__":
    main()
