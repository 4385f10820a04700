"""Shapes in signatures are checked while tests run, and every test draws its random numbers from a fixed seed."""

from collections.abc import Iterator

import pytest
from jaxtyping import install_import_hook

with install_import_hook(["detr_attnviz.checkpoints.packed", "detr_attnviz.recording.records"], "beartype.beartype"):
    import detr_attnviz.recording.records  # noqa: F401

import torch

torch.set_num_threads(1)  # many small models: threads would only wait for each other


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="module")
def _official_threads() -> Iterator[None]:
    """Two, as in the official run: convolutions round by how their work is split, and seeded weights sharpen that."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)
