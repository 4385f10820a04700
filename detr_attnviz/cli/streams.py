"""Standard output that may be full, closed, or a pipe whose reader has gone: one line, or silence, and no traceback."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from detr_attnviz.errors import OutputError
from detr_attnviz.files import reason_of


@contextmanager
def careful_stdout() -> Iterator[None]:
    """What the block prints is out when it ends, or that is told.

    A reader that has gone (``| head -1``) has all that it wanted: the command ends quietly, with code 1.

    Raises: OutputError when standard output takes no more.
    """
    stream = sys.stdout
    if stream is None:  # closed by who started us
        yield
        return
    sys.stdout = careful = _Careful(stream)
    try:
        try:
            yield
        finally:
            sys.stdout = stream
            careful.flush()
    except (OutputError, BrokenPipeError) as error:
        silence(stream)
        if isinstance(error, BrokenPipeError):
            raise SystemExit(1) from None
        raise


class _Careful:
    """A stream whose failure is an error that can be told; in all else the stream itself."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with _told():
            return self._stream.write(text)

    def flush(self) -> None:
        with _told():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            f"cannot write to standard output: {reason_of(error)}; make room where it goes, or send it elsewhere"
        ) from error


def silence(stream: TextIO) -> None:
    """What ``stream`` still holds goes nowhere: at its end the process would try again, and complain of itself."""
    with suppress(OSError, ValueError):  # in a test it is no file
        goal = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, goal)
        os.close(nowhere)
