"""A download arrives whole and verified, or not at all; a cut one is continued."""

import errno
import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from detr_attnviz.checkpoints import fetch as fetching
from detr_attnviz.checkpoints.fetch import fetch
from detr_attnviz.errors import DownloadError
from tests.checkpoints.server import Behaviour, serving

CONTENT = bytes(range(256)) * 4000  # about a megabyte
PREFIX = hashlib.sha256(CONTENT).hexdigest()[:8]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "hub" / "checkpoints" / "weights.pth"


def part_of(target: Path) -> Path:
    return target.with_name("weights.pth.part")


def assert_only_target(target: Path) -> None:
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def test_good_file_with_progress(target: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    with serving(Behaviour(CONTENT)) as url:
        fetch(f"{url}/weights.pth", target, sha256_prefix=PREFIX, progress=lambda *step: steps.append(step))
    assert_only_target(target)
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_good_file_of_unknown_length(target: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    with serving(Behaviour(CONTENT, tells_length=False)) as url:
        fetch(f"{url}/weights.pth", target, sha256_prefix=PREFIX, progress=lambda *step: steps.append(step))
    assert_only_target(target)
    assert steps[-1] == (len(CONTENT), None)


def test_cut_connection_says_so_and_the_next_call_continues(target: Path) -> None:
    behaviour = Behaviour(CONTENT, cut_after=300_000)
    with serving(behaviour) as url:
        with pytest.raises(DownloadError, match=r"broke after 300,000 bytes.*run the same command again to continue"):
            fetch(f"{url}/weights.pth", target, sha256_prefix=PREFIX)
        assert part_of(target).stat().st_size == 300_000
        assert not target.exists()
        behaviour.cut_after = None
        steps: list[tuple[int, int | None]] = []
        fetch(f"{url}/weights.pth", target, sha256_prefix=PREFIX, progress=lambda *step: steps.append(step))
    assert behaviour.ranges == [None, "bytes=300000-"]
    assert_only_target(target)
    assert steps[0][0] > 300_000
    assert steps[-1] == (len(CONTENT), len(CONTENT))


def test_server_without_ranges_starts_again(target: Path) -> None:
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(CONTENT[:1000])
    with serving(Behaviour(CONTENT, knows_ranges=False)) as url:
        fetch(f"{url}/weights.pth", target, sha256_prefix=PREFIX)
    assert_only_target(target)


def test_part_that_is_whole_already_is_only_checked(target: Path) -> None:
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(CONTENT)
    with serving(Behaviour(CONTENT)) as url:
        fetch(f"{url}/weights.pth", target, sha256_prefix=PREFIX)
    assert_only_target(target)


def test_file_that_changed_on_the_server_is_caught_by_its_hash(target: Path) -> None:
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(b"of another file" * 10)
    with serving(Behaviour(CONTENT)) as url:
        with pytest.raises(DownloadError, match="it was removed"):
            fetch(f"{url}/weights.pth", target, sha256_prefix=PREFIX)
        assert list(target.parent.iterdir()) == []
        fetch(f"{url}/weights.pth", target, sha256_prefix=PREFIX)
    assert_only_target(target)


def test_wrong_hash_names_both_and_leaves_nothing(target: Path) -> None:
    with (
        serving(Behaviour(CONTENT)) as url,
        pytest.raises(DownloadError, match=rf"sha256 {PREFIX}…, expected 00000000…"),
    ):
        fetch(f"{url}/weights.pth", target, sha256_prefix="00000000")
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("status", [404, 403, 500])
def test_server_that_refuses(target: Path, status: int) -> None:
    with serving(Behaviour(CONTENT, status=status)) as url:
        with pytest.raises(DownloadError, match=rf"answered {status}.*ATTNVIZ_DOWNLOAD_URL"):
            fetch(f"{url}/weights.pth", target, sha256_prefix=PREFIX)
    assert not target.exists()


def test_no_connection(target: Path) -> None:
    with serving(Behaviour(CONTENT)) as url:
        pass
    with pytest.raises(DownloadError, match=r"no connection.*check the network"):
        fetch(f"{url}/weights.pth", target, sha256_prefix=PREFIX)


def test_server_that_falls_silent(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "TIMEOUT_S", 0.05)
    gate = threading.Event()
    with serving(Behaviour(CONTENT, gate=gate)) as url:
        with pytest.raises(DownloadError, match=r"timed out|connection broke"):
            fetch(f"{url}/weights.pth", target, sha256_prefix=PREFIX)
        gate.set()


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "hub").write_text("a file where a folder should be")
    with pytest.raises(DownloadError, match="TORCH_HOME"):
        fetch("http://127.0.0.1:9/x.pth", tmp_path / "hub" / "x.pth", sha256_prefix=PREFIX)


def test_full_disk(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with serving(Behaviour(CONTENT)) as url, pytest.raises(DownloadError, match=r"No space left.*free some room"):
        fetch(f"{url}/weights.pth", target, sha256_prefix=PREFIX)
    assert not target.exists()


def test_two_at_once_fetch_it_once(target: Path) -> None:
    behaviour = Behaviour(CONTENT, gate=threading.Event())
    assert behaviour.gate is not None
    with serving(behaviour) as url, ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(fetch, f"{url}/weights.pth", target, sha256_prefix=PREFIX) for _ in range(4)]
        behaviour.gate.set()
        for call in calls:
            call.result()
    assert len(behaviour.ranges) == 1
    assert_only_target(target)
