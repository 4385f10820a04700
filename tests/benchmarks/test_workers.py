import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.commands import ROOT, CommandFailedError
from benchmarks.workers import Worker

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the state of a process is read from /proc")


@pytest.fixture
def echo() -> Iterator[Worker]:
    with Worker("tests.benchmarks.echo") as worker:
        yield worker


def test_answers_one_question_after_the_other(echo: Worker) -> None:
    assert [echo.ask("add", first=number, second=1) for number in range(3)] == [1, 2, 3]


def test_what_others_print_is_no_answer(echo: Worker) -> None:
    assert echo.ask("chatter") == "done"
    assert echo.ask("add", first=1, second=1) == 2


def test_failure_says_why_and_the_next_question_is_answered(echo: Worker) -> None:
    with pytest.raises(CommandFailedError, match=r"could not add: [\s\S]*TypeError"):
        echo.ask("add", first=1, second="two")
    assert echo.ask("add", first=1, second=2) == 3


def test_death_says_why(echo: Worker) -> None:
    with pytest.raises(CommandFailedError, match="died while asked to die: the reason of its death"):
        echo.ask("die")


@on_linux
def test_idle_worker_gets_no_processor_time(echo: Worker) -> None:
    echo.ask("add", first=1, second=2)
    assert _comes_to(echo.pid, "T")


@on_linux
def test_stopped_worker_ends_with_a_parent_that_is_killed() -> None:
    parent = (
        "import os, signal; from benchmarks.workers import Worker; worker = Worker('tests.benchmarks.echo');"
        "print(worker.ask('add', first=worker.pid, second=0), flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    said = subprocess.run((sys.executable, "-c", parent), cwd=ROOT, capture_output=True, text=True)
    assert _comes_to(int(said.stdout), "gone")


def test_stopped_worker_ends_with_its_block() -> None:
    with Worker("tests.benchmarks.echo") as worker:
        worker.ask("add", first=1, second=2)
    with pytest.raises(ProcessLookupError):
        os.kill(worker.pid, 0)


def _comes_to(pid: int, state: str) -> bool:
    """A signal takes a moment to arrive. A process that nobody has asked for its end yet ("Z") is gone too."""
    for _ in range(1000):
        try:
            found = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
        except FileNotFoundError:
            found = "Z"
        if found == state or (state == "gone" and found in "ZX"):
            return True
        time.sleep(0.01)
    return False
