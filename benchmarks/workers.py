"""A warm process that does what it is asked, one JSON line in and one out; the other end is ``serving``.

Between two questions it is stopped by a signal: threads of a numerics library may spin for a while after their work,
which would slow down whoever is measured next.
"""

import json
import signal
import subprocess
import sys
import tempfile
from types import TracebackType
from typing import Any

from benchmarks.commands import ROOT, CommandFailedError, last_lines

_PATIENCE_S = 10


class Worker:
    """``with Worker("benchmarks.peers.ours") as worker``: the module run as a script, waiting for questions."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            (sys.executable, "-m", module),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def ask(self, do: str, **given: Any) -> Any:
        """What the worker answers to ``do``; this process waits meanwhile.

        Raises: CommandFailedError when it could not do it, or died.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.stdin.write(json.dumps({"do": do, **given}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._process.wait()
            self._errors.seek(0)
            raise CommandFailedError(f"{self._module} died while asked to {do}: {last_lines(self._errors.read())}")
        self._process.send_signal(signal.SIGSTOP)
        answer = json.loads(line)
        if "error" in answer:
            raise CommandFailedError(f"{self._module} could not {do}: {answer['error']}")
        return answer["answer"]

    def close(self) -> None:
        """Ends the process; it may be stopped or dead already."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.close()
            self._process.wait(_PATIENCE_S)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()
