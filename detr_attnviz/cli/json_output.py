"""Data as JSON on stdout."""

import json
from typing import Any

from detr_attnviz.plain import finite_or_null


def print_json(data: Any) -> None:
    """``data`` as one JSON document; numbers that are not finite, which JSON has no word for, become null."""
    print(json.dumps(finite_or_null(data), indent=2, allow_nan=False))
