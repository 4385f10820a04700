"""SIGINT, SIGTERM and SIGHUP: one line, the code that shells expect, nothing left over, and a run that can go on."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.forked import SMALL, Ended, attnviz, attnviz_here, make_scene, scenario, tree
from tests.cli.proof import is_proof_on
from tests.tiny import write_picture

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks processes, as POSIX systems can")

BATCH = ("batch", "photos", *SMALL, "-o", "maps")
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


def at_file(number: int, *signals: str, pause_s: float = 0.0) -> Callable[[], None]:
    """Sends itself ``signals`` when a batch has given so many files their names."""

    def patch() -> None:
        from detr_attnviz.batch.write import OutputFolder

        place, placed = OutputFolder.place, []

        def last(self: OutputFolder, draft: Path, name: str) -> None:
            place(self, draft, name)
            placed.append(name)
            if len(placed) == number:
                send(signals, pause_s)

        OutputFolder.place = last  # type: ignore[method-assign]

    return patch


def send(signals: tuple[str, ...], pause_s: float) -> None:
    for name in signals:
        try:
            os.kill(os.getpid(), signal.Signals[name])
        finally:  # the first one raises
            if len(signals) > 1 and pause_s:
                time.sleep(pause_s)


def stop_and_go_on(folder: Path) -> list[Any]:
    """A batch, stopped in different ways in its middle, and gone on with."""
    make_scene(folder)
    for number in range(6):
        write_picture(folder / "photos" / f"{number}.png", 70 + number)
    assert attnviz_here(folder, *BATCH) == 0
    straight = tree(folder / "maps")
    found = []
    for signals in (*((name,) for name in SIGNALS), ("SIGTERM", "SIGTERM"), ("SIGINT", "SIGHUP")):
        out = f"maps-{'-'.join(signals)}"
        command = (*BATCH[:-1], out)
        stopped = attnviz(folder, *command, before=at_file(8, *signals))
        left = tree(folder / out)
        parts = {name: data for name, data in left.items() if name != "manifest.jsonl"}
        drafts = [name for name in left if name.startswith(".attnviz")]
        again = attnviz(folder, *command, "--json")
        found.append(
            {
                "signal": signals[0],
                "stopped": stopped,
                "drafts": drafts,
                "whole": parts.items() <= straight.items(),
                "files": len(parts),
                "again": again.code,
                "same": tree(folder / out) == straight,
            }
        )
    return found


def ignored(folder: Path) -> list[Any]:
    """A batch under nohup, and one whose second signal comes late in its tidying up."""
    make_scene(folder)
    assert attnviz_here(folder, *BATCH) == 0

    def nohup() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        at_file(2, "SIGHUP")()

    def slow() -> None:
        from detr_attnviz.batch.write import OutputFolder

        at_file(2, "SIGINT")()

        def sweep(self: OutputFolder) -> None:
            time.sleep(1.1)
            send(("SIGTERM",), 0.0)

        OutputFolder.sweep = sweep  # type: ignore[method-assign]

    return [attnviz(folder, *BATCH[:-1], "other", before=nohup), attnviz(folder, *BATCH[:-1], "third", before=slow)]


def stopped_early(folder: Path) -> list[Any]:
    """A command that is stopped while it reads a checkpoint."""
    make_scene(folder)

    def patched(name: str) -> Callable[[], None]:
        def patch() -> None:
            from detr_attnviz.checkpoints import inspection

            inspection.read = lambda *_, **__: send((name,), 0.0)  # type: ignore

        return patch

    return [attnviz(folder, "inspect-weights", "tiny.pth", before=patched(name)) for name in SIGNALS]


def all_of_it(folder: Path) -> list[Any]:
    return [part(folder / part.__name__) for part in (stop_and_go_on, ignored, stopped_early)]


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What became of all these commands, started from one process."""
    return scenario(__name__, "all_of_it", tmp_path_factory.mktemp("signals"))


def test_stopped_in_the_middle_of_a_batch_then_gone_on_with(stories: Any) -> None:
    for one in stories[0]:
        ended = Ended(*one["stopped"])
        assert ended.code == 128 + signal.Signals[one["signal"]]
        assert len(ended.lines) == 2
        assert is_proof_on(ended.lines[0], "0.png")
        assert ended.lines[1].startswith("attnviz: stopped after ")
        assert "the same command goes on from there" in ended.lines[1]
        assert one["drafts"] == []
        assert one["whole"]
        assert 8 <= one["files"] < 27
        assert (one["again"], one["same"]) == (0, True)


def test_a_signal_that_is_ignored_stays_so_and_a_late_second_one_ends_at_once(stories: Any) -> None:
    under_nohup, slow = stories[1]
    assert under_nohup[0] == 0
    assert slow[0] == 128 + signal.SIGINT
    assert "Traceback" not in slow[2]


def test_a_command_without_words_of_its_own_says_that_it_was_stopped(stories: Any) -> None:
    ends = [Ended(*ended) for ended in stories[2]]
    assert [ended.lines for ended in ends] == [["attnviz: stopped"]] * len(SIGNALS)
    assert [ended.code for ended in ends] == [128 + signal.Signals[name] for name in SIGNALS]
