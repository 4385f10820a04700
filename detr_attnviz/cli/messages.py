"""Notes and errors on stderr, one line each."""

import io
import sys

from detr_attnviz.plain import one_line as one_line  # the words of every table, too


def say(note: str) -> None:
    """A note on stderr."""
    sys.stderr.write(f"attnviz: {one_line(note)}\n")


def say_what_letters_allow() -> None:
    """From now on letters that a pipe or terminal has no code for (ASCII, Windows) come as escapes, not as an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
