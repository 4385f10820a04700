"""Notes and errors on stderr, one line each."""

import sys

from detr_attnviz.cli.streams import silence


def say(note: str) -> None:
    """A note on stderr; where nobody can hear it, the work goes on all the same."""
    if sys.stderr is None:  # closed by who started us
        return
    try:
        sys.stderr.write(f"attnviz: {one_line(note)}\n")
        sys.stderr.flush()
    except OSError:
        silence(sys.stderr)


def one_line(text: str) -> str:
    """``text`` on one line, with control characters (file names may hold them) written as escapes."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
