"""Plain data and plain words: as JSON, CSV and a terminal have them."""

import math
from collections.abc import Mapping
from typing import Any


def finite_or_null(value: Any) -> Any:
    """The same data with None in place of NaN and infinity."""
    if isinstance(value, Mapping):
        return {key: finite_or_null(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite_or_null(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def encodable(text: str) -> str:
    """``text`` as a file can hold it: bytes of a name that is no text, and halves of letters, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def one_line(text: str) -> str:
    """``text`` on one line, with control characters (file names may hold them) written as escapes."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
