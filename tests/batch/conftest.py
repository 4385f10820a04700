"""A tiny detector, a folder of pictures, and what is in an output folder."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from detr_attnviz.batch.plan import BatchSettings
from detr_attnviz.detector import Detector
from detr_attnviz.explanation import Explanation
from detr_attnviz.methods.request import Request
from tests.tiny import drawn_picture, tiny_detector, write_picture

PICTURES = ("a.jpg", "a.png", "sub/a.jpg", "sub/deeper/b.PNG")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other on busy cores make these many small forwards ten times as slow."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def detector() -> Detector:
    return tiny_detector()


@pytest.fixture
def settings() -> BatchSettings:
    """Two queries a picture, whatever they score; small inputs."""
    request = Request(threshold=0.0, top_k=2)
    return BatchSettings(request, exports=("overlay", "arrays"), shortest_px=64, longest_px=96)


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    return make_pictures(tmp_path / "photos", PICTURES)


@pytest.fixture(scope="session")
def explanation(detector: Detector) -> Explanation:
    trace = detector.trace(drawn_picture(), shortest_px=64, longest_px=96)
    return Request(threshold=0.0, top_k=3).answer(trace)


def make_pictures(folder: Path, names: tuple[str, ...]) -> Path:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(path, 90 + number, 64)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones too, by its name below it."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def rows_in(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]
