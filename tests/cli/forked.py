"""Commands in forks of one warm process, which can be taken room, rights and descriptors without harm to the tests.

A scenario is a function of a test file that gets a folder; it is run by ``scenario`` in a process of its own, in a
mount namespace of its own if it asks for one, where it starts commands by ``attnviz`` and returns what it found.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import pytest

from tests.tiny import tiny_model, write_picture

ROOT = Path(__file__).parent.parent.parent
NOBODY = 65534
PICTURES = ("a.png", "b.jpg", "sub/c.png")
SMALL = ("-c", "tiny.pth", "--nheads", "4", "--shortest-px", "64", "--longest-px", "96")


class Ended(NamedTuple):
    """How a command ended: its exit code (negative: a signal) and what it printed."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Of stderr, without notes: what was assumed or drawn, and what it costs."""
        notes = ("assumed", "best", "forwards", "attnviz: wrote", "attnviz: drew")
        return [line for line in self.err.splitlines() if not any(note in line for note in notes)]


class Begun(NamedTuple):
    """A command that is at work."""

    process: int
    out: int
    err: int


def scenario(test: str, function: str, folder: Path, *, mounts: bool = False, **environment: str) -> Any:
    """What ``function`` of the test file ``test`` returns for ``folder``, as JSON."""
    code = f"from tests.cli import forked; from {test} import {function} as f; forked.alone(f, {str(folder)!r})"
    command = [*(namespace() if mounts else ()), sys.executable, "-c", code]
    plain = {name: value for name, value in os.environ.items() if name != "ATTNVIZ_CHECKPOINT"}
    variables = {**plain, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def alone(function: Callable[[Path], Any], folder: str) -> None:
    """Runs a scenario where everything that commands import is there already."""
    import torch

    import detr_attnviz.batch.run
    import detr_attnviz.batch.sheets
    import detr_attnviz.cli.app
    import detr_attnviz.evaluation.run
    import detr_attnviz.evaluation.write
    import detr_attnviz.explorer.page
    import detr_attnviz.figures.figure  # noqa: F401

    torch.set_num_threads(1)
    print(json.dumps(function(Path(folder))))


@cache
def namespace() -> tuple[str, ...]:
    """What starts a command in a mount namespace of its own; the test is skipped where nobody may."""
    for start in (("unshare", "-m"), ("unshare", "-r", "-m")):
        try:
            tried = subprocess.run([*start, "mount", "-t", "tmpfs", "none", "/tmp"], capture_output=True)
        except OSError:
            break
        if tried.returncode == 0:
            return start
    pytest.skip("needs a mount namespace of its own (unshare -m), which is not permitted here")


def make_scene(folder: Path) -> Path:
    """A folder with a checkpoint and pictures."""
    import torch

    for name in PICTURES:
        (folder / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        write_picture(folder / "photos" / name)
    torch.save({"model": tiny_model().state_dict()}, folder / "tiny.pth")
    return folder


def attnviz(folder: Path, *args: object, before: Callable[[], object] = lambda: None) -> Ended:
    """``attnviz ARGS…`` with ``folder`` as the current one; ``before`` takes from it what it shall do without."""
    return ended(begun(folder, *args, before=before))


def begun(folder: Path, *args: object, before: Callable[[], object] = lambda: None) -> Begun:
    """The same, left to itself."""
    out, err = _anonymous(), _anonymous()
    process = os.fork()
    if process:
        return Begun(process, out, err)
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.chdir(folder)
        os._exit(_run(before, *map(str, args)))
    finally:
        os._exit(99)


def ended(begun: Begun) -> Ended:
    """How it ended, waited for."""
    code = os.waitstatus_to_exitcode(os.waitpid(begun.process, 0)[1])
    return Ended(code, _text(begun.out), _text(begun.err))


def attnviz_here(folder: Path, *args: object) -> int:
    """The same in this very process, whose caches it fills; what it prints is of no interest."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            return _run(lambda: None, *map(str, args))
    finally:
        os.chdir(before)


def limited(what: str, most: int) -> Callable[[], None]:
    """Takes from a process more of ``what`` ("FSIZE", "NOFILE") than that."""
    import resource

    number = getattr(resource, f"RLIMIT_{what}")
    return lambda: resource.setrlimit(number, (most, most))


def _run(before: Callable[[], object], *args: str) -> int:
    """The exit code that the interpreter would give."""
    import traceback

    from detr_attnviz.cli.app import main

    sys.argv = ["attnviz", *args]
    before()
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    try:
        sys.stdout.flush()
    except OSError:
        code = 120
    return code


def _anonymous() -> int:
    with TemporaryFile() as file:
        return os.dup(file.fileno())


def _text(file: int) -> str:
    with open(file, "rb") as opened:
        opened.seek(0)
        return opened.read().decode()


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones too, by its name below it."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def tmpfs(folder: Path, *options: str) -> Iterator[None]:
    """A disk of its own in memory at ``folder``."""
    folder.mkdir(exist_ok=True)
    mount("-t", "tmpfs", *(f"-o{option}" for option in options), "none", folder)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def mount(*args: object) -> None:
    subprocess.run(["mount", *map(str, args)], check=True)
