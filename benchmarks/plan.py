"""What a run of the benchmarks is to do, and the material that it does it with."""

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.commands import run_python

WIDTH_PX, HEIGHT_PX = 640, 480
_SMALL_PX = 160, 120
BEST = 5
"""Overlays of every picture."""


@dataclass(frozen=True)
class Plan:
    """Options of the command. Material lies in ``folder`` and is made when it is first asked for.

    ``runs`` is how often everything short is measured; what takes minutes is measured ``long_runs`` times.
    """

    folder: Path
    runs: int = 11
    pictures: int = 64
    device: str = "cpu"
    is_quick: bool = False

    @property
    def long_runs(self) -> int:
        return min(self.runs, 1 if self.is_quick else 3)

    @property
    def is_cuda(self) -> bool:
        return self.device.startswith("cuda")

    @cached_property
    def checkpoint(self) -> Path:
        """DETR-R50 of weights filled from their names, as the official training script saves it."""
        file = self.folder / "detr-r50.pth"
        if not file.exists():
            run_python("-m", "benchmarks.material", "checkpoint", file)
        return file

    @cached_property
    def folder_of_pictures(self) -> Path:
        """``pictures`` drawn JPEGs of 640 × 480 pixels; the model sees them at 1066 × 800."""
        return self._drawn(self.pictures, WIDTH_PX, HEIGHT_PX)

    @property
    def picture(self) -> Path:
        """The first of them."""
        return self.folder_of_pictures / "0000.jpg"

    def small_pictures(self, count: int) -> Path:
        """A folder of ``count`` small JPEGs."""
        return self._drawn(count, *_SMALL_PX)

    def out(self, name: str) -> Path:
        """Where results go that nobody looks at."""
        return self.folder / "out" / name

    def fresh(self, name: str) -> Path:
        """The same, with nothing there."""
        shutil.rmtree(self.out(name), ignore_errors=True)
        return self.out(name)

    def command(self, pictures: Path, out: Path, *more: str) -> tuple[str | Path, ...]:
        """Our command that draws the best five overlays of every picture, whatever is there already."""
        chosen = ("--threshold", "0", "--top-k", str(BEST), "--export", "overlay", "--no-resume")
        return ("-m", "detr_attnviz", "batch", pictures, "-o", out, *chosen, "--device", self.device, *more)

    def _drawn(self, count: int, width: int, height: int) -> Path:
        place = self.folder / f"pictures-{width}-{count}"
        run_python("-m", "benchmarks.material", "pictures", place, str(count), str(width), str(height))
        return place
