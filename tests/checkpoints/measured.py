"""Reads files in processes of their own, each measured: what became of it, and how much memory it took at most."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

needs_measuring = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="measures memory by /proc, which Linux has"
)
MOST_FOR_ANY_FILE = 500 << 20


class Measured(NamedTuple):
    """``kind`` is the error's class, empty when the file was read; ``grown`` the bytes that the process grew by."""

    kind: str
    message: str
    grown: int
    seconds: float


def measured(paths: Sequence[Path]) -> list[Measured]:
    """Each file read by ``read`` in a fork of one process that has read none before."""
    code = "from tests.checkpoints import measured; measured.alone()"
    root = Path(__file__).parent.parent.parent
    given = json.dumps([str(path) for path in paths])
    done = subprocess.run([sys.executable, "-c", code], cwd=root, input=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [Measured(*found) for found in json.loads(done.stdout)]


def alone() -> None:
    """The process that forks: it imports once, and touches no thread."""
    import torch

    from detr_attnviz.checkpoints.read import read

    torch.set_num_threads(1)
    print(json.dumps([_in_fork(read, path) for path in json.loads(sys.stdin.read())]))


def _in_fork(read: Any, path: str) -> tuple[str, str, int, float]:
    out, into = os.pipe()
    started = time.monotonic()
    process = os.fork()
    if not process:
        os.close(out)
        os.write(into, json.dumps(_tried(read, path)).encode())
        os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as pipe:
        told = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    kind, message, grown = json.loads(told) if told else (f"exit {code}", "the process died", 0)
    return kind, message, grown, time.monotonic() - started


def _tried(read: Any, path: str) -> tuple[str, str, int]:
    Path("/proc/self/clear_refs").write_text("5")  # from here on, the peak counts anew
    before = _peak()
    try:
        read(path)
        kind, message = "", ""
    except BaseException as error:
        kind, message = type(error).__name__, str(error)
    return kind, message, _peak() - before


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
