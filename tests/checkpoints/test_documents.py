"""Small texts are read to a bound, and nothing is waited for that never comes."""

import os
import threading
from pathlib import Path

import pytest

from detr_attnviz.checkpoints.documents import MOST_BYTES, read_small


def test_a_file_up_to_the_bound(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    assert read_small(tmp_path / "x") == read_small(tmp_path / "x", 5) == b"12345"
    with pytest.raises(OSError, match="it is larger than 0 MiB"):
        read_small(tmp_path / "x", 4)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "x", "wb") as file:
        file.truncate(1 << 40)  # without taking room
    with pytest.raises(OSError, match="it is larger than 16 MiB"):
        read_small(tmp_path / "x")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no device without end here")
def test_a_device_without_end() -> None:
    with pytest.raises(OSError, match="it is larger than 16 MiB"):
        read_small(Path("/dev/zero"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_that_nobody_writes_to_is_empty(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x")
    assert read_small(tmp_path / "x") == b""


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="pipes have no names here")
def test_a_pipe_that_is_written_to_late_is_read_whole() -> None:
    reading, writing = os.pipe()

    def write() -> None:
        with open(writing, "wb") as file:
            file.write(b"x" * 200_000)

    thread = threading.Timer(0.05, write)
    thread.start()
    try:
        assert read_small(Path(f"/dev/fd/{reading}")) == b"x" * 200_000
    finally:
        thread.join()
        os.close(reading)


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path, tmp_path / "none", tmp_path / "loop", Path("x" * 5000)):
        with pytest.raises(OSError):  # noqa: PT011
            read_small(path)
    with pytest.raises(ValueError, match="null byte"):
        read_small(Path("a\0b"))
    assert MOST_BYTES == 16 << 20
