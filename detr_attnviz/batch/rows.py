"""One map as a row of plain data: what ``--json`` prints and what the manifest holds."""

import json
from collections.abc import Mapping
from typing import Any

from detr_attnviz.drawing.provenance import NO_SETTINGS, origin_of, target_of
from detr_attnviz.drawing.provenance import Row as Row  # callers find rows here
from detr_attnviz.explanation import Explanation


def row_of(explanation: Explanation, index: int, settings: Mapping[str, Any] = NO_SETTINGS) -> Row:
    """Map ``index``: what it is of, where it peaks, where it comes from, and with which settings; plain JSON types.

    ``box`` is left, top, right, bottom, ``peak`` and ``point`` are x, y, all in original pixels; a map that is the same
    everywhere has no peak (None). ``layer`` is a number, or a list when the maps come from several layers, or from
    none. Only where there is such a thing: ``term`` is the part of the logit that the map was made of, ``level`` the
    feature map that it was restricted to, ``rest`` the share of attention that is not on the map, and ``rest_where``
    says where that is. A number that is not finite is None.
    """
    return {
        "picture": explanation.provenance.get("picture", ""),
        **target_of(explanation, index),
        **origin_of(explanation, settings),
    }


def json_line(row: Mapping[str, Any]) -> bytes:
    """The row as one line of ASCII: whatever a name holds, it cannot break the line or the file."""
    return json.dumps(row, allow_nan=False).encode("ascii") + b"\n"
