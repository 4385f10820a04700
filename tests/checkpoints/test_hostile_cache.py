"""Whatever lies in the cache or befalls it, a file in it is whole, and nothing outside it is touched."""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random

import pytest

from detr_attnviz.checkpoints import connection
from detr_attnviz.checkpoints import fetch as fetching
from detr_attnviz.checkpoints.fetch import fetch
from detr_attnviz.errors import DownloadError
from detr_attnviz.files import locked
from tests.checkpoints.raw_server import answer, answering
from tests.checkpoints.server import Behaviour, serving

resource = pytest.importorskip("resource", reason="limits and users as POSIX systems have them")

CONTENT = bytes(range(256)) * 4000  # about a megabyte
PREFIX = hashlib.sha256(CONTENT).hexdigest()[:8]

FETCH = """
import encodings.idna, fcntl, os, sys
from pathlib import Path
from detr_attnviz.checkpoints.fetch import fetch
from detr_attnviz.errors import DownloadError
if len(sys.argv) > 4:  # only now, as the interpreter may lie where that user may not look
    os.setgroups([])
    os.setgid(int(sys.argv[4]))
    os.setuid(int(sys.argv[4]))
try:
    fetch(sys.argv[1] + "/weights.pth", Path(sys.argv[2]), sha256_prefix=sys.argv[3])
except DownloadError as error:
    sys.exit(str(error))
"""
"""A process of its own, which imports no torch, for a user of its own if there is another argument."""
NOBODY = "65534"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache" / "weights.pth"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    (tmp_path / "elsewhere").write_bytes(b"somebody's")
    return tmp_path / "elsewhere"


@pytest.fixture
def url() -> Iterator[str]:
    with serving(Behaviour(CONTENT)) as address:
        yield address


def part_of(target: Path) -> Path:
    return target.with_name("weights.pth.part")


def command(url: str, target: Path) -> list[str]:
    return [sys.executable, "-c", FETCH, url, str(target), PREFIX]


def fetch_here(url: str, target: Path) -> None:
    fetch(f"{url}/weights.pth", target, sha256_prefix=PREFIX)


def assert_only_target(target: Path) -> None:
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def put_link(part: Path, elsewhere: Path) -> None:
    part.symlink_to(elsewhere)


def put_dangling_link(part: Path, elsewhere: Path) -> None:
    part.symlink_to(elsewhere.with_name("not there yet"))


def put_hard_link(part: Path, elsewhere: Path) -> None:
    os.link(elsewhere, part)


def put_folder(part: Path, _: Path) -> None:
    part.mkdir()


def put_pipe(part: Path, _: Path) -> None:
    os.mkfifo(part)


@pytest.mark.parametrize("put", [put_link, put_dangling_link, put_hard_link, put_folder, put_pipe])
def test_what_lies_where_the_download_belongs_is_not_written_through(
    url: str, target: Path, elsewhere: Path, put: object
) -> None:
    assert callable(put)
    put(part_of(target), elsewhere)
    with pytest.raises(DownloadError, match=r"weights.pth.part: a folder, link or pipe is where .*remove it"):
        fetch_here(url, target)
    assert sorted(path.name for path in target.parent.parent.iterdir()) == ["cache", "elsewhere"]
    assert elsewhere.read_bytes() == b"somebody's"
    assert list(target.parent.iterdir()) == [part_of(target)]


@pytest.mark.parametrize("put", [put_link, put_pipe])
def test_what_takes_the_downloads_place_while_the_server_answers(
    target: Path, elsewhere: Path, put: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_size_of", lambda part: 0)  # it was not there when it was looked for
    assert callable(put)
    put(part_of(target), elsewhere)
    with answering(answer(CONTENT)) as url, pytest.raises(DownloadError, match=r"weights.pth.part: cannot be written"):
        fetch_here(url, target)
    assert elsewhere.read_bytes() == b"somebody's"


@pytest.mark.parametrize("put", [put_link, put_dangling_link, put_folder])
def test_what_lies_where_the_lock_belongs(url: str, target: Path, elsewhere: Path, put: object) -> None:
    assert callable(put)
    put(target.with_name("weights.pth.lock"), elsewhere)
    with pytest.raises(DownloadError, match=r"weights.pth.lock: cannot be written"):
        fetch_here(url, target)
    assert sorted(path.name for path in target.parent.parent.iterdir()) == ["cache", "elsewhere"]
    assert elsewhere.read_bytes() == b"somebody's"


def test_a_folder_where_the_file_belongs_is_said_before_anything_is_fetched(target: Path) -> None:
    target.mkdir()
    behaviour = Behaviour(CONTENT)
    with serving(behaviour) as url, pytest.raises(DownloadError, match="weights.pth: a folder is where the file"):
        fetch_here(url, target)
    assert behaviour.paths == []


def test_a_file_is_replaced_only_when_the_new_one_is_whole(target: Path) -> None:
    target.write_bytes(b"damaged")
    behaviour = Behaviour(CONTENT, cut_after=5000)
    with serving(behaviour) as url:
        with pytest.raises(DownloadError, match="broke after 5,000 bytes"):
            fetch(f"{url}/weights.pth", target, sha256_prefix=PREFIX, replaces=True)
        assert target.read_bytes() == b"damaged"
        behaviour.cut_after = None
        fetch(f"{url}/weights.pth", target, sha256_prefix=PREFIX, replaces=True)
    assert_only_target(target)


def test_another_run_that_holds_the_download_and_fetches_nothing(
    url: str, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count(step=100)
    monkeypatch.setattr(connection, "clock", lambda: float(next(ticks)))
    monkeypatch.setattr(fetching, "POLL_S", 0.0)
    part_of(target).write_bytes(CONTENT[:1000])
    steps: list[tuple[int, int | None]] = []
    with locked(target.with_name("weights.pth.lock"), wait=False):
        with pytest.raises(DownloadError, match=r"held by another run, which has fetched nothing for 300 s; end it"):
            fetch(f"{url}/weights.pth", target, sha256_prefix=PREFIX, progress=lambda *step: steps.append(step))
    assert steps == [(1000, None)]
    assert part_of(target).read_bytes() == CONTENT[:1000]


def test_another_run_that_fetches_is_waited_for(url: str, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hours: list[float] = []
    other = contextlib.ExitStack()
    other.enter_context(locked(target.with_name("weights.pth.lock"), wait=False))
    monkeypatch.setattr(connection, "clock", lambda: 3600.0 * len(hours))

    def pass_time(seconds: float) -> None:
        hours.append(seconds)
        part_of(target).write_bytes(CONTENT[: 1000 * len(hours)])
        if len(hours) == 20:
            other.close()

    monkeypatch.setattr(time, "sleep", pass_time)
    fetch_here(url, target)
    assert len(hours) == 20
    assert_only_target(target)


def test_killed_at_any_moment_the_next_call_completes(tmp_path: Path) -> None:
    random = Random(0)
    for number in range(20):
        target = tmp_path / str(number) / "weights.pth"
        moment, pause_s = random.randrange(len(CONTENT) + 1), random.choice([0.0, random.random() / 50])
        if number % 4 == 0:
            moment = len(CONTENT)  # while the hash is worked out and the file takes its name
        _kill_after(moment, pause_s, target)
        assert not target.exists() or target.read_bytes() == CONTENT
        with serving(Behaviour(CONTENT)) as url:
            fetch_here(url, target)
        assert_only_target(target)


def _kill_after(moment: int, pause_s: float, target: Path) -> None:
    """SIGKILL for a download of which so many bytes have been sent."""
    sent, dead = threading.Event(), threading.Event()

    def script(_: str) -> Iterator[bytes]:
        yield answer(CONTENT[:moment], f"Content-Length: {len(CONTENT)}")
        sent.set()
        if moment < len(CONTENT):
            dead.wait(30)

    with answering(script) as url, subprocess.Popen(command(url, target)) as process:
        assert sent.wait(30)
        time.sleep(pause_s)
        process.kill()
        process.wait()
        dead.set()


def test_a_limit_on_the_size_of_files(url: str, target: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

    ended = subprocess.run(command(url, target), capture_output=True, text=True, preexec_fn=limit)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "weights.pth.part: cannot be written (File too large); free some room" in ended.stderr
    assert part_of(target).read_bytes() == CONTENT[:500_000]
    fetch_here(url, target)
    assert_only_target(target)


MOUNT = 'mount -t tmpfs -o size=600k attnviz "$1" && shift && "$@"; code=$?; ls -l "$0"; exit $code'


def test_a_disk_that_is_really_full(url: str, target: Path) -> None:
    if not _may_mount(target.parent):
        pytest.skip("needs a mount namespace of its own, which only root may make, on Linux")
    folder = str(target.parent)
    ended = subprocess.run(
        ["unshare", "-m", "sh", "-c", MOUNT, folder, folder, *command(url, target)], capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "weights.pth.part: cannot be written (No space left on device); free some room" in ended.stderr
    left = [line.split() for line in ended.stdout.splitlines()[1:]]
    assert [words[-1] for words in left] == ["weights.pth.part"]
    assert 0 < int(left[0][4]) <= 600 * 1024


def _may_mount(folder: Path) -> bool:
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    trial = ["unshare", "-m", "mount", "-t", "tmpfs", "attnviz", str(folder)]
    return subprocess.run(trial, capture_output=True).returncode == 0


@pytest.mark.parametrize("locked_up", ["folder", "part"])
def test_a_cache_that_somebody_else_may_write(url: str, target: Path, locked_up: str) -> None:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("needs root, which makes the cache and then another user of it")
    part_of(target).write_bytes(CONTENT[:1000])
    target.parent.chmod(0o777 if locked_up == "part" else 0o755)
    part_of(target).chmod(0o600)
    with _reachable(target):
        ended = subprocess.run([*command(url, target), NOBODY], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    named = "weights.pth.part" if locked_up == "part" else "weights.pth.lock"
    assert f"{named}: cannot be written (Permission denied)" in ended.stderr
    assert list(target.parent.iterdir()) == [part_of(target)]


@contextlib.contextmanager
def _reachable(path: Path) -> Iterator[None]:
    """Every folder above may be passed through by everybody."""
    closed = {folder: folder.stat().st_mode for folder in path.parents if not folder.stat().st_mode & 1}
    try:
        for folder, mode in closed.items():
            folder.chmod(mode | 0o111)
        yield
    finally:
        for folder, mode in closed.items():
            folder.chmod(mode)


def test_a_stop_by_the_user_leaves_a_part_that_is_continued(url: str, target: Path) -> None:
    gate = threading.Event()

    def script(_: str) -> Iterator[bytes]:
        yield answer(CONTENT[:300_000], f"Content-Length: {len(CONTENT)}")
        gate.wait(30)

    with answering(script) as slow, subprocess.Popen(command(slow, target), stderr=subprocess.DEVNULL) as process:
        while not part_of(target).exists() or part_of(target).stat().st_size < 300_000:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        process.wait()
        gate.set()
    assert part_of(target).read_bytes() == CONTENT[:300_000]
    behaviour = Behaviour(CONTENT)
    with serving(behaviour) as again:
        fetch_here(again, target)
    assert behaviour.ranges == ["bytes=300000-"]
    assert_only_target(target)
