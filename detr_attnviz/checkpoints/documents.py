"""Reads the small texts beside weights, which are anybody's: never more than a bound of them, and never for ever."""

import errno
import os
from pathlib import Path

MOST_BYTES = 1 << 24
"""Of a configuration or an index. The JSON that takes most room grows to twenty times that when it is read."""


def read_small(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """All bytes of a file, or of a pipe that somebody writes to.

    Raises: OSError when it cannot be read or is larger than ``most_bytes``; ValueError for a name that no file has.
    """
    with open(path, "rb", opener=_opened) as file:
        if hasattr(os, "O_NONBLOCK"):
            os.set_blocking(file.fileno(), True)
        found = file.read(most_bytes + 1)
    if len(found) > most_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {most_bytes >> 20} MiB")
    return found


def _opened(path: str, flags: int) -> int:
    """Without waiting: a pipe that nobody writes to is empty."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
