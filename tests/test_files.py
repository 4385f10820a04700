"""Whole files or none, one holder at a time, and nothing left behind."""

import errno
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from detr_attnviz.errors import OutputError
from detr_attnviz.files import BusyError, locked, whole, write_atomically


def test_second_waits_for_the_first(tmp_path: Path) -> None:
    order: list[str] = []
    first_holds = threading.Event()

    def first() -> None:
        with locked(tmp_path / "lock", wait=True):
            first_holds.set()
            time.sleep(0.2)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    first_holds.wait()
    with locked(tmp_path / "lock", wait=True):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert list(tmp_path.iterdir()) == []


def test_lock_file_of_a_dead_holder_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    with locked(tmp_path / "lock", wait=True):
        pass
    assert not (tmp_path / "lock").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="takes the locks of POSIX systems away")
def test_who_goes_without_a_lock_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with locked(tmp_path / "lock", wait=False) as is_real:
        assert is_real
    monkeypatch.setattr("fcntl.flock", refused)
    with locked(tmp_path / "lock", wait=False) as first, locked(tmp_path / "lock", wait=False) as second:
        assert (first, second) == (False, False)
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_another_process_ends_with_it(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom detr_attnviz.files import locked\n"
        "with locked(Path(sys.argv[1]), wait=False):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    lock = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match="held by another run"), locked(lock, wait=False):
            pass
        other.kill()
        other.wait()
        with locked(lock, wait=False):
            assert lock.exists()
    assert not lock.exists()


def test_a_whole_file_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    goal = tmp_path / "x.bin"
    goal.write_bytes(b"old")
    write_atomically(goal, b"new")
    assert goal.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [goal]


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_failing_write_leaves_the_older_file(tmp_path: Path, error: BaseException) -> None:
    goal = tmp_path / "x.bin"
    goal.write_bytes(b"old")
    with pytest.raises((type(error), OutputError)), whole(goal) as draft:  # noqa: PT012
        draft.write_bytes(b"ne")
        raise error
    assert goal.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [goal]


def test_reasons_are_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match="does not exist; make it first"):
        write_atomically(tmp_path / "nowhere" / "x.bin", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="a folder has this name"):
        write_atomically(tmp_path / "folder", b"")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="no space left on device"):
        write_atomically(tmp_path / "x.bin", b"data")
    assert not (tmp_path / "x.bin").exists()


def test_the_folder_is_looked_for_before_the_work(tmp_path: Path) -> None:
    for goal, words in ((tmp_path / "nowhere" / "x.bin", "make it first"), (tmp_path, "a folder has this name")):
        with pytest.raises(OutputError, match=words), whole(goal):
            pytest.fail("the block ran")
    assert list(tmp_path.iterdir()) == []


def test_two_processes_of_the_same_number_take_different_drafts(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nos.getpid = lambda: 1\nfrom detr_attnviz.files import whole\n"
        "with whole(Path(sys.argv[1]) / 'x.png') as draft:\n    print(draft.name, flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other,
    ):
        assert one.stdout is not None
        assert other.stdout is not None
        names = {one.stdout.readline().strip(), other.stdout.readline().strip()}
        assert {path.name for path in tmp_path.iterdir()} == names
    assert len(names) == 2
    assert {Path(name).suffix for name in names} == {".png"}
    assert (one.returncode, other.returncode) == (0, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


def test_a_draft_that_exists_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = iter(["same", "same", "another"])
    monkeypatch.setattr("secrets.token_hex", lambda size: next(tokens))
    with whole(tmp_path / "a.bin") as first, whole(tmp_path / "b.bin") as second:
        assert (first.name, second.name) == (".attnviz-same.bin", ".attnviz-another.bin")


@pytest.mark.skipif(sys.platform == "win32", reason="no modes")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_mode_is_what_the_umask_asks_for(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        with whole(tmp_path / "x.bin") as draft:
            draft.unlink()
            draft.touch(mode=0o600)  # as libraries do that write a temporary file of their own
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x.bin").stat().st_mode) == mode
