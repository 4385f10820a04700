"""Data as JSON on stdout."""

import json
import math
from typing import Any


def print_json(data: Any) -> None:
    """``data`` as one JSON document; numbers that are not finite, which JSON has no word for, become null."""
    print(json.dumps(finite_or_null(data), indent=2, allow_nan=False))


def finite_or_null(value: Any) -> Any:
    """The same data with None in place of NaN and infinity."""
    if isinstance(value, dict):
        return {key: finite_or_null(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite_or_null(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
