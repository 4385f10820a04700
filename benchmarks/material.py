"""What is measured with: a DETR-R50 checkpoint whose weights are filled from their names, and drawn photographs.

Both are the same on every machine. ``python -m benchmarks.material checkpoint FILE`` or ``… pictures FOLDER COUNT
WIDTH HEIGHT`` writes what is not there yet.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

_QUALITY = 90
_DISTINCT = 64
"""Pictures drawn anew; more are the same again under other names."""
_GRAIN = 6.0


def write_checkpoint(file: Path) -> None:
    """DETR-R50 as the official training script saves it, 160 MB."""
    import argparse

    import torch

    from tests.parity.cases import golden, state_of

    args = argparse.Namespace(**golden("r50").spec["args"])
    torch.save({"model": state_of("r50"), "args": args}, file)


def write_pictures(folder: Path, count: int, width: int, height: int) -> None:
    """``0000.jpg`` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        file = folder / f"{number:04d}.jpg"
        if file.exists():
            continue
        if number < _DISTINCT:
            picture(number, width, height).save(file, quality=_QUALITY)
        else:
            file.hardlink_to(folder / f"{number % _DISTINCT:04d}.jpg")


def picture(seed: int, width: int, height: int) -> Image.Image:
    """Clouds of all sizes with some shapes before them and grain over all: as much to decode as in a photograph."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(_bytes(_clouds(rng, width, height)))
    pen = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        w, h = int(rng.integers(width // 16, width // 4)), int(rng.integers(height // 16, height // 3))
        color = tuple(rng.integers(256, size=3).tolist())
        (pen.ellipse if rng.random() < 0.5 else pen.rectangle)((x, y, x + w, y + h), fill=color)
    grain = rng.standard_normal((height, width, 3), dtype=np.float32) * _GRAIN
    return Image.fromarray(_bytes(np.asarray(image) + grain))


def _clouds(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float32]:
    """Noise of every scale down to two pixels, weaker as it gets finer."""
    total = np.full((height, width, 3), 128, dtype=np.float32)
    cells = 2
    while cells < width // 2:
        noise = rng.uniform(-1, 1, (cells, cells, 3)).astype(np.float32)
        planes = [
            Image.fromarray(noise[..., plane]).resize((width, height), Image.Resampling.BICUBIC) for plane in range(3)
        ]
        total += 110 / cells**0.6 * np.stack([np.asarray(plane) for plane in planes], axis=-1)
        cells *= 2
    return total


def _bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return values.clip(0, 255).astype(np.uint8)


def main() -> None:
    what, place, *numbers = sys.argv[1:]
    if what == "checkpoint":
        write_checkpoint(Path(place))
    else:
        count, width, height = map(int, numbers)
        write_pictures(Path(place), count, width, height)


if __name__ == "__main__":
    main()
