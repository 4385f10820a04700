"""A run that is killed, or that runs out of room, at any moment: what is there is whole, and the next run completes it.

The runs are forked from one process of their own, which has loaded torch but not used its threads.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
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
        run_batch(detector, [photos], settings, out, shard=None if shard is None else Shard.parse(shard))
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


def kill_and_resume(folder: str, count: str) -> list[dict[str, Any]]:
    photos, straight_out = Path(folder, "photos"), Path(folder, "straight")
    started = time.monotonic()
    assert finished(forked(photos, straight_out, SETTINGS)) == 0
    seconds = time.monotonic() - started
    straight = tree(straight_out)
    moments = random.Random(5)
    results = []
    for number in range(int(count)):
        out = Path(folder, f"out{number}")
        states = []
        for _ in range(2):
            process = forked(photos, out, SETTINGS)
            time.sleep(moments.random() * seconds * 0.7)
            os.kill(process, signal.SIGKILL)
            finished(process)
            states.append(whole(out, straight) if out.exists() else True)
        files = len(tree(out)) if out.exists() else 0
        assert finished(forked(photos, out, SETTINGS)) == 0
        results.append({"files": files, "whole": all(states), "same": tree(out) == straight})
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


def test_killed_at_random_moments_then_resumed_equals_an_undisturbed_run(folders: Path) -> None:
    results = in_a_process_of_its_own("kill_and_resume", folders, 4)
    assert all(result["whole"] and result["same"] for result in results), results
    assert any(result["files"] > 1 for result in results), "no run was killed in its middle"


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
