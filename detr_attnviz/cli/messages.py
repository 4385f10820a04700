"""Notes and errors on stderr, one line each, and names that any terminal can show."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper

from detr_attnviz.cli.streams import silence
from detr_attnviz.errors import BrokenWeightsWarning
from detr_attnviz.plain import one_line as one_line  # the words of every table, too


def survive_any_name() -> None:
    """What stdout's encoding has no letters for is written as escapes, as Python has it for stderr."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def say(note: str) -> None:
    """A note on stderr; where nobody can hear it, the work goes on all the same."""
    if sys.stderr is None:  # closed by who started us
        return
    try:
        sys.stderr.write(f"attnviz: {one_line(note)}\n")
        sys.stderr.flush()
    except OSError:
        silence(sys.stderr)


@contextmanager
def said_as_notes() -> Iterator[None]:
    """While a checkpoint is read, whose notes are said afterwards: what warns a Python user is among them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BrokenWeightsWarning)
        yield
