from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.machine import has_package
from benchmarks.workers import Worker
from tests.parity.cases import Golden, golden


@pytest.fixture(scope="session")
def small() -> Golden:
    """A DETR of ResNet-18 with 3 + 4 layers, its picture, and what the official code gave for it."""
    return golden("finetuned-r18")


@pytest.fixture(scope="session")
def training_checkpoint(small: Golden, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.write_training_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session")
def official(small: Golden, training_checkpoint: Path) -> Iterator[Worker]:
    yield from _loaded("official", small, training_checkpoint)


@pytest.fixture(scope="session")
def ours(small: Golden, training_checkpoint: Path) -> Iterator[Worker]:
    yield from _loaded("ours", small, training_checkpoint)


@pytest.fixture(scope="session")
def huggingface(small: Golden, training_checkpoint: Path) -> Iterator[Worker]:
    if not has_package("transformers"):
        pytest.skip('peer 2 needs transformers: pip install -e ".[hf]"')
    yield from _loaded("huggingface", small, training_checkpoint)


def _loaded(peer: str, small: Golden, checkpoint: Path) -> Iterator[Worker]:
    with Worker(f"benchmarks.peers.{peer}") as worker:
        worker.ask("load", checkpoint=str(checkpoint), shortest_px=small.shortest_px)
        yield worker
