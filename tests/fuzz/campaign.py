"""Runs a target's cases under a watchdog: a case that hangs, takes too much memory or ends the process is a finding."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.cases import case
from tests.fuzz.memory import MOST_BYTES, busy_s, resident
from tests.fuzz.worker import STATE

MOST_S = 10.0
"""Of processor time; a case that waits for something is given some times that."""
MOST_WAITED_S = 6 * MOST_S
_POLL_S = 0.1
_KEPT_OF_A_KIND = 3


@dataclass
class Report:
    """What a campaign came to; ``findings`` counts cases by kind and place."""

    target: str
    cases: int = 0
    seconds: float = 0.0
    findings: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    slowest: int = -1
    memory: int = 0

    def line(self) -> str:
        """The report in one line."""
        return (
            f"{self.target}: {self.cases} cases in {self.seconds:.0f} s, {sum(self.findings.values())} findings of "
            f"{len(self.findings)} kinds, slowest {self.slowest_s:.2f} s (case {self.slowest}), "
            f"at most {self.memory >> 20} MB more memory"
        )


def run(target: str, cases: int, seed: int, folder: Path, first: int = 0) -> Report:
    """Runs cases ``first`` to ``first + cases``; inputs and tracebacks of findings go into ``folder``."""
    report, began = Report(target), time.monotonic()
    last = first + cases
    with tempfile.NamedTemporaryFile() as state:
        while first < last:
            state.seek(0)
            state.write(STATE.pack(-1, 0.0))
            state.flush()
            fault = _watched(report, seed, first, last, Path(state.name), folder)
            if fault is None:
                break
            number, kind = fault
            _keep(report, seed, {"number": number, "kind": kind, "place": "", "text": ""}, folder)
            first = number + 1
    report.cases, report.seconds = cases, time.monotonic() - began
    return report


def _watched(report: Report, seed: int, first: int, last: int, state: Path, folder: Path) -> tuple[int, str] | None:
    """Runs a worker until it is done (``None``), or has to be or was ended: at which case, and why."""
    command = [sys.executable, "-m", "tests.fuzz.worker", report.target, *map(str, (seed, first, last, state))]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (
        tempfile.TemporaryFile("w+", errors="replace") as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True, env=environment) as worker,
    ):
        listener = threading.Thread(target=_listen, args=(worker, report, seed, folder))
        listener.start()
        try:
            why, number = _wait(worker, state)
        finally:
            worker.kill()
            listener.join()
        if not why and worker.returncode == 0:
            return None
        if number < 0:
            said.seek(0)
            raise RuntimeError(f"the worker of {report.target} ended between two cases: {said.read()[-2000:]}")
        return number, why or f"the interpreter ended with {worker.returncode}"


def _wait(worker: "subprocess.Popen[str]", state: Path) -> tuple[str, int]:
    usual, seen, busy_before = 0, -1, 0.0
    while worker.poll() is None:
        time.sleep(_POLL_S)
        number, began = STATE.unpack(state.read_bytes())
        taken = resident(worker.pid)
        usual = taken if number < 0 or not usual else min(usual, taken)
        if number != seen:
            seen, busy_before = number, busy_s(worker.pid)
        went_by = time.monotonic() - began
        if number >= 0 and (went_by > MOST_WAITED_S or min(went_by, busy_s(worker.pid) - busy_before) > MOST_S):
            return f"hang (over {MOST_S:.0f} s)", number
        if number >= 0 and taken - usual > 6 * MOST_BYTES:
            return f"memory (over {taken - usual >> 20} MB)", number
    return "", STATE.unpack(state.read_bytes())[0]


def _listen(worker: "subprocess.Popen[str]", report: Report, seed: int, folder: Path) -> None:
    assert worker.stdout is not None
    for line in worker.stdout:
        told = json.loads(line)
        if "kind" in told:
            _keep(report, seed, told, folder)
        else:
            report.slowest_s, report.slowest = max(
                (report.slowest_s, report.slowest), (told["slowest_s"], told["slowest"])
            )
            report.memory = max(report.memory, told["memory"])


def _keep(report: Report, seed: int, told: dict[str, object], folder: Path) -> None:
    """Counts a finding, and keeps the first few of its kind."""
    kind = f"{str(told['kind']).partition(': ')[0]} at {told['place']}" if told["place"] else str(told["kind"])
    report.findings[kind] += 1
    if report.findings[kind] > _KEPT_OF_A_KIND:
        return
    place = folder / report.target
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{seed}-{told['number']}"
    path.write_bytes(case(report.target, seed, int(str(told["number"]))))
    path.with_name(f"{path.name}.txt").write_text(
        f"{told['kind']} at {told['place']}\n\n{told['text']}", "utf-8", "replace"
    )
