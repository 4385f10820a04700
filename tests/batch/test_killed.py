"""A run that is killed, or that runs out of room, at any moment: what is there is whole, and the next run completes it.

The runs are forked from one process of their own, which has loaded torch but not used its threads.
"""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from detr_attnviz.batch.plan import BatchSettings
from detr_attnviz.errors import OutputError
from detr_attnviz.methods.request import Request
from tests.batch.conftest import make_pictures, tree

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks and kills processes, as POSIX systems can")

NAMES = tuple(f"{folder}{number}.png" for folder in ("", "sub/") for number in range(4))
SETTINGS = BatchSettings(Request(threshold=0.0, top_k=5), exports=("overlay", "arrays"), shortest_px=64, longest_px=96)
FILES_OF_ONE = 6  # of a picture
WORKERS = 4
MOST_STEPS = 190  # about as many as an undisturbed run has


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    make_pictures(tmp_path / "photos", NAMES)
    return tmp_path


def in_a_process_of_its_own(function: str, *args: object) -> Any:
    """What ``function`` of this file returns, as JSON."""
    code = f"from tests.batch import test_killed as t; t.alone(t.{function}, *{[str(arg) for arg in args]!r})"
    root = Path(__file__).parent.parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def alone(function: Callable[..., Any], *args: str) -> None:
    import torch

    torch.set_num_threads(1)
    print(json.dumps(function(*args)))


def forked(
    photos: Path,
    out: Path,
    settings: BatchSettings,
    most_bytes: int | None = None,
    shard: str | None = None,
    most_files: int | None = None,
    prepare: Callable[[], None] = lambda: None,
) -> int:
    """The process id of a run that has just begun; it ends with 0, or with 3 for an OutputError."""
    from detr_attnviz.batch.run import run_batch
    from detr_attnviz.batch.shards import Shard
    from tests.tiny import tiny_detector

    detector = tiny_detector()
    process = os.fork()
    if process:
        return process
    try:
        if most_bytes is not None:
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
        if most_files is not None:
            kill_itself_after(most_files)
        prepare()
        of_all = None if shard is None else Shard.parse(shard)
        run_batch(detector, [photos], settings, out, shard=of_all, workers=WORKERS)
        os._exit(0)
    except OutputError as error:
        sys.stderr.write(f"{error}\n")
        (out.parent / "said").write_text(str(error))
        os._exit(3)
    finally:
        os._exit(9)


def kill_itself_after(most_files: int) -> None:
    from detr_attnviz.batch.write import OutputFolder

    place, placed = OutputFolder.place, []

    def last(self: OutputFolder, draft: Path, name: str) -> None:
        place(self, draft, name)
        placed.append(name)
        if len(placed) == most_files:
            os.kill(os.getpid(), signal.SIGKILL)

    OutputFolder.place = last  # type: ignore[method-assign]


def finished(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def whole(out: Path, straight: dict[str, bytes]) -> bool:
    """Whether every file that can be seen is one of the undisturbed run's, to the byte."""
    seen = {name: data for name, data in tree(out).items() if not name.startswith(".attnviz/")}
    seen.pop("manifest.jsonl", None)
    return seen.items() <= straight.items()


def kill_itself_at(step: int, seed: int) -> None:
    """At the ``step``-th step of the run, before it or when half of it is done.

    A step is a picture read, a forward, a file drawn, written or placed, a write to the manifest, or its ordering.
    """
    from detr_attnviz.batch import answers, exports, work
    from detr_attnviz.batch.manifest import Manifest
    from detr_attnviz.batch.write import OutputFolder
    from detr_attnviz.detector import Detector

    counter, moments = itertools.count(1), random.Random(seed)

    def patch(home: Any, name: str) -> None:
        done = getattr(home, name)

        def deadly(*args: Any, **options: Any) -> Any:
            is_last = next(counter) == step
            if is_last and moments.random() < 0.5:
                os.kill(os.getpid(), signal.SIGKILL)
            if is_last:
                half_written(name, args)
            return done(*args, **options)

        setattr(home, name, deadly)

    for home, names in (
        (answers, ("read_picture",)),
        (Detector, ("trace_prepared",)),
        (exports, ("draw_one", "array_bytes")),
        (work, ("make_files",)),
        (OutputFolder, ("keep", "place", "prune")),
        (Manifest, ("_append", "finish")),
    ):
        for name in names:
            patch(home, name)


def half_written(name: str, args: Sequence[Any]) -> None:
    """Writes the first half of what a step writes, where it would, and dies."""
    if name == "keep":
        args[0].draft().write_bytes(args[2][: len(args[2]) // 2])
    elif name == "_append":
        with args[0].path.open("ab") as file:
            file.write(args[1][: len(args[1]) // 2])
    elif name == "finish":
        args[1].write_bytes(b"".join(args[0].lines(picture) for picture in [*args[0]._groups][::2]))
    os.kill(os.getpid(), signal.SIGKILL)


def kill_and_resume(folder: str, count: str, *run: str) -> list[dict[str, Any]]:
    """So many runs of all pictures, each killed at three seeded steps, then left alone; ``run`` is a shard."""
    photos, straight_out, shard = Path(folder, "photos"), Path(folder, "straight"), run[0] if run else None
    assert finished(forked(photos, straight_out, SETTINGS)) == 0
    straight = tree(straight_out)
    moments = random.Random(5)
    results = []
    for number in range(int(count)):
        out = Path(folder, f"out{number}")
        states, codes = [], []
        for most in (MOST_STEPS // 2, MOST_STEPS // 3, MOST_STEPS // 4):
            step = moments.randint(1, most)
            codes.append(
                finished(forked(photos, out, SETTINGS, shard=shard, prepare=partial(kill_itself_at, step, number)))
            )
            states.append(whole(out, straight) if out.exists() else True)
        files = len(tree(out)) if out.exists() else 0
        assert finished(forked(photos, out, SETTINGS, shard=shard)) == 0
        killed = codes.count(-signal.SIGKILL)
        results.append({"files": files, "killed": killed, "whole": all(states), "same": tree(out) == straight})
    return results


def kill_shards_and_resume(folder: str, *files: str) -> list[dict[str, Any]]:
    """One of three is killed when it has put so many ``files`` in place."""
    photos, straight_out = Path(folder, "photos"), Path(folder, "straight")
    assert finished(forked(photos, straight_out, SETTINGS)) == 0
    straight = tree(straight_out)
    results = []
    for count in files:
        out = Path(folder, f"out{count}")
        together = [forked(photos, out, SETTINGS, shard="1/3", most_files=int(count))]
        together += [forked(photos, out, SETTINGS, shard=f"{one}/3") for one in (2, 3)]
        codes = [finished(process) for process in together]
        is_whole = whole(out, straight)
        again = [forked(photos, out, SETTINGS, shard=f"{one}/3") for one in (1, 2)]
        codes += [finished(process) for process in again]
        results.append({"codes": codes, "whole": is_whole, "same": tree(out) == straight})
    return results


def run_out_of_room(folder: str, *limits: str) -> list[dict[str, Any]]:
    photos, straight_out = Path(folder, "photos"), Path(folder, "straight")
    assert finished(forked(photos, straight_out, SETTINGS)) == 0
    straight = tree(straight_out)
    results = []
    for limit in limits:
        out = Path(folder, limit, "out")
        out.parent.mkdir()
        code = finished(forked(photos, out, SETTINGS, int(limit)))
        left = {"whole": whole(out, straight), "drafts": any(".draft" in name for name in tree(out))}
        assert finished(forked(photos, out, SETTINGS)) == 0
        said = Path(folder, limit, "said").read_text()
        results.append({"code": code, "said": said, "same": tree(out) == straight, **left})
    return results


@pytest.mark.parametrize("run", [(13,), (4, "1/1")])
def test_killed_at_random_moments_then_resumed_equals_an_undisturbed_run(
    folders: Path, run: tuple[object, ...]
) -> None:
    results = in_a_process_of_its_own("kill_and_resume", folders, *run)
    assert all(result["whole"] and result["same"] for result in results), results
    assert any(result["files"] > 1 for result in results), "no run was killed in its middle"
    assert sum(result["killed"] for result in results) >= 2 * len(results), "too many runs came to their end"


def test_shards_at_the_same_time_one_of_them_killed_then_resumed_equal_a_single_run(folders: Path) -> None:
    results = in_a_process_of_its_own("kill_shards_and_resume", folders, 1, FILES_OF_ONE, FILES_OF_ONE + 2)
    for result in results:
        assert result["codes"] == [-signal.SIGKILL, 0, 0, 0, 0]
        assert result["whole"]
        assert result["same"]


def test_no_room_for_a_file_or_for_the_manifest_ends_the_run_with_one_line(folders: Path) -> None:
    small, large = in_a_process_of_its_own("run_out_of_room", folders, 1500, 20000)
    assert "overlay.png: file too large" in small["said"]
    assert "manifest.jsonl: file too large" in large["said"]
    for result in (small, large):
        assert result["said"].startswith("cannot write ")
        assert (result["code"], result["whole"], result["drafts"], result["same"]) == (3, True, False, True)


def test_the_command_itself_killed_twice_then_run_again(folders: Path) -> None:
    command = [sys.executable, "-m", "detr_attnviz", "batch", "photos", "--shortest-px", "64", "--longest-px", "96"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent), "OMP_NUM_THREADS": "1"}
    quiet: dict[str, Any] = {
        "cwd": folders,
        "env": environment,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    subprocess.run([*command, "-o", "straight"], check=True, timeout=300, **quiet)
    straight = tree(folders / "straight")
    for most in (5, 14):
        with subprocess.Popen([*command, "-o", "out"], **quiet) as process:
            while process.poll() is None and len(list((folders / "out").rglob("*.png"))) < most:
                time.sleep(0.002)
            process.kill()
        assert whole(folders / "out", straight)
    subprocess.run([*command, "-o", "out"], check=True, timeout=300, **quiet)
    assert tree(folders / "out") == straight
