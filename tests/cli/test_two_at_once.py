"""Two commands that write into one place at the same time: whole files of one of them, or one is told at once."""

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.forked import SMALL, Ended, attnviz, attnviz_here, begun, ended, make_scene, scenario, tree
from tests.tiny import write_picture

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks processes, as POSIX systems can")

FEW = ("--methods", "raw", "--heads", "none", "--no-controls", "--top-k", "1", "--threshold", "0")
BATCH = ("batch", "photos", *SMALL, "-o", "maps")
EVALUATE = ("evaluate", "photos", *SMALL, *FEW, "-o", "reports")
SINGLE = (
    (("render",), ("-o", "out/a.png")),
    (("explore",), ("-o", "out/a.html")),
)


def wait_inside() -> None:
    """A run that has come in waits there, in its first picture, until it is stopped or two seconds are over."""
    from detr_attnviz.detector import Detector

    trace = Detector.trace_prepared

    def slow(self: Detector, *args: Any) -> Any:
        Path("inside").touch()
        time.sleep(2)
        return trace(self, *args)

    Detector.trace_prepared = slow  # type: ignore[method-assign, assignment]


def wait_in_a_picture() -> None:
    from detr_attnviz.evaluation.picture import Examiner

    examine = Examiner.examine

    def slow(self: Examiner, *args: Any) -> Any:
        Path("inside").touch()
        time.sleep(2)
        return examine(self, *args)

    Examiner.examine = slow  # type: ignore[method-assign, assignment]


def second_is_told(folder: Path) -> list[Any]:
    """A second run beside the first; then the first is killed, and its lock keeps nobody out."""
    make_scene(folder)
    found = []
    for command, wait in ((BATCH, wait_inside), (EVALUATE, wait_in_a_picture)):
        assert attnviz_here(folder, *command) == 0
        straight = tree(folder / command[-1])
        out = (*command[:-1], f"{command[-1]}-again")
        first = begun(folder, *out, before=wait)
        while not (folder / "inside").exists():
            time.sleep(0.01)
        second = attnviz(folder, *out)
        os.kill(first.process, signal.SIGKILL)
        killed = ended(first)
        (folder / "inside").unlink()
        third = attnviz(folder, *out)
        found.append([killed, second, third, tree(folder / out[-1]) == straight])
    return found


def last_one_wins(folder: Path) -> list[Any]:
    """One command at once for two pictures onto one file, and the files that it may leave."""
    make_scene(folder)
    write_picture(folder / "photos" / "a.png", 120, 60)
    (folder / "out").mkdir()
    found = []
    for name, output in SINGLE:
        commands = [(*name, f"photos/{picture}", *SMALL, *output) for picture in ("a.png", "b.jpg")]
        possible = []
        for command in commands:
            assert attnviz_here(folder, *command) == 0
            possible.append(tree(folder / "out"))
        together = [begun(folder, *command) for command in commands]
        codes = [ended(one).code for one in together]
        left = tree(folder / "out")
        is_whole = all(data in [files[file] for files in possible] for file, data in left.items())
        found.append([codes, is_whole, left.keys() == possible[0].keys(), possible[0] != possible[1]])
        shutil.rmtree(folder / "out")
        (folder / "out").mkdir()
    return found


def both(folder: Path) -> list[Any]:
    return [second_is_told(folder / "one"), last_one_wins(folder / "other")]


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What became of all these commands, started from one process."""
    return scenario(__name__, "both", tmp_path_factory.mktemp("two"))


def test_a_second_run_is_told_at_once_and_a_killed_one_s_lock_keeps_nobody_out(stories: Any) -> None:
    for killed, second, third, is_same in stories[0]:
        assert killed[0] == -signal.SIGKILL
        assert second[0] == 1
        assert len(Ended(*second).lines) == 1
        assert "another run is writing" in second[2]
        assert (third[0], is_same) == (0, True)


def test_commands_at_once_onto_one_file_leave_a_whole_one(stories: Any) -> None:
    for codes, is_whole, has_no_more, differ in stories[1]:
        assert codes == [0, 0]
        assert is_whole
        assert has_no_more
        assert differ
