"""The hash of a checkpoint, also when it was begun beside other work."""

import hashlib
import os
import threading
from pathlib import Path

import pytest

from detr_attnviz.checkpoints import digest
from detr_attnviz.checkpoints.digest import begin_sha256, sha256_of
from detr_attnviz.errors import CheckpointError

CONTENT = b"weights" * 3_000_000  # more than one block


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.pth"
    path.write_bytes(CONTENT)
    return path


def test_sha256_of_a_file_of_several_blocks(file: Path) -> None:
    assert sha256_of(file) == hashlib.sha256(CONTENT).hexdigest()


def test_a_file_is_hashed_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin_sha256(file)
    begin_sha256(str(file))
    assert [thread.name for thread in threading.enumerate()].count("checkpoint sha256") <= 1
    digest._begun[file].join()
    monkeypatch.setattr(digest, "_sha256", lambda path: pytest.fail("hashed again"))
    assert sha256_of(str(file)) == sha256_of(file) == hashlib.sha256(CONTENT).hexdigest()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.pth")
    begin_sha256(tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="is a pipe, not a file"):
        sha256_of(tmp_path / "x.pth")


def test_file_that_changed_since_is_hashed_again(file: Path) -> None:
    begin_sha256(file)
    digest._begun[file].join()
    file.write_bytes(b"other")
    assert sha256_of(file) == hashlib.sha256(b"other").hexdigest()


def test_fault_is_met_when_the_hash_is_asked_for(tmp_path: Path) -> None:
    begin_sha256(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="no such file"):
        sha256_of(tmp_path / "none.pth")
