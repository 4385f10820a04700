"""The demo weights that ship: what they are, and that what they look at means something."""

from pathlib import Path

import numpy as np
import pytest

import detr_attnviz as av
from detr_attnviz.checkpoints.zoo import DEMO_PATH
from detr_attnviz.detector import Detector
from detr_attnviz.trace import Trace

SAMPLES = sorted((Path(__file__).parent.parent / "samples").glob("shapes_*.png"))


@pytest.fixture(scope="module")
def demo() -> Detector:
    return av.load("demo", device="cpu")


@pytest.fixture(scope="module", params=SAMPLES, ids=lambda path: path.stem)
def trace(request: pytest.FixtureRequest, demo: Detector) -> Trace:
    return demo.trace(request.param)


def test_there_are_samples() -> None:
    assert len(SAMPLES) >= 5
    assert all(path.stat().st_size <= 200_000 for path in SAMPLES)


def test_it_is_small_and_says_everything_about_itself(demo: Detector) -> None:
    assert DEMO_PATH.stat().st_size <= 12_000_000
    assert demo.notes == ()
    assert len(demo.sites) == 6 + 2 * 6
    assert all(demo.class_names)


def test_it_finds_objects_in_every_sample(trace: Trace) -> None:
    assert len(av.select(trace, threshold=0.7)) >= 2


def test_last_layer_looks_at_its_object(trace: Trace) -> None:
    explanation = av.explain(trace, queries=av.select(trace, threshold=0.7))
    middles = np.array([trace.grid.center_of(token) for token in range(trace.grid.tokens)])
    for seen, cells in zip(explanation.detections, explanation.maps, strict=True):
        left, top, right, bottom = seen.box
        width, height = right - left, bottom - top
        cell = trace.grid.stride_px * trace.grid.width_px / trace.grid.input_width_px
        near_x = np.abs(middles[:, 0] - (left + right) / 2) <= 0.6 * width + cell
        near_y = np.abs(middles[:, 1] - (top + bottom) / 2) <= 0.6 * height + cell
        near = cells.flatten()[near_x & near_y].sum()
        assert near > 0.6, f"{seen.title}: {near:.2f} of its attention is at the object"
        assert near > 1.4 * (near_x & near_y).mean(), seen.title
