"""Whole commands, from the start of the process to its end."""

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent


class CommandFailedError(Exception):
    """A measured command, or a worker, that did not do what it was asked."""


@dataclass(frozen=True, slots=True)
class Finished:
    """One command that ended well; ``peak_mb`` is the largest resident size of any of its processes."""

    seconds: float
    peak_mb: float
    output: str


def run_python(*arguments: str | Path, folder: Path = ROOT) -> Finished:
    """Runs this Python with ``arguments`` in ``folder``.

    A child starts out with its parent's peak memory, so this process imports nothing large.

    Raises: CommandFailedError with the end of what it said.
    """
    command = [sys.executable, *map(str, arguments)]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        seconds, peak_mb, code = _timed(command, folder, output.fileno(), errors.fileno())
        output.seek(0)
        errors.seek(0)
        if code:
            raise CommandFailedError(f"{' '.join(command)} ended with {code}: {last_lines(errors.read())}")
        return Finished(seconds, peak_mb, output.read().decode())


def last_lines(said: bytes, count: int = 12) -> str:
    """The end of a long message."""
    return "\n".join(said.decode(errors="replace").strip().splitlines()[-count:])


def _timed(command: list[str], folder: Path, output: int, errors: int) -> tuple[float, float, int]:
    ends = [(os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, errors, 2)]
    before = os.getcwd()
    os.chdir(folder)
    try:
        started = time.perf_counter()
        child = os.posix_spawn(command[0], command, os.environ, file_actions=ends)
        _, status, usage = os.wait4(child, 0)
        seconds = time.perf_counter() - started
    finally:
        os.chdir(before)
    return seconds, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status)
