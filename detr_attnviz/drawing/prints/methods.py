"""One query by several methods: a panel per method, each in its own range; a method of several terms has a row."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from detr_attnviz.drawing.captions import MINUS, amount, is_attention
from detr_attnviz.drawing.prints.keys import Key, Line
from detr_attnviz.drawing.prints.marks import INK
from detr_attnviz.drawing.prints.panels import Group, Panel, draw_panels
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.drawing.text import NO_BREAK
from detr_attnviz.explanation import Explanation

_AMOUNTS = {"rollout": "attention multiplied", "relevance": "relevance to the class"}
"""What a value is an amount of, where the quantity is called like its method."""
_BOX = Line(INK, 0.6)
_PLAIN = Key("of each map", low="0", high="its peak")
_SIGNED = Key("of maps with values below 0", low="−", high="+", is_signed=True)


def draw_methods(explanations: Sequence[Explanation], options: PrintOptions) -> Figure:
    """The sheet of one query's explanations, in their order; those of several terms come last."""
    single = [one for one in explanations if not one.terms]
    several = [one for one in explanations if one.terms]
    groups = [Group(tuple(_panel(one, 0, one.method) for one in single))] if single else []
    groups += [Group(_terms(one), f"{one.method}: the {one.quantity}'s terms") for one in several]
    keys = [key for key in (_PLAIN, _SIGNED) if any(one.is_signed == key.is_signed for one in explanations)]
    return draw_panels(groups, keys, options)


def _terms(explanation: Explanation) -> tuple[Panel, ...]:
    return tuple(_panel(explanation, index, term) for index, term in enumerate(explanation.terms))


def _panel(explanation: Explanation, index: int, title: str) -> Panel:
    below = [value_range(explanation, index)]
    if explanation.shares:
        below.append(f"share {_percent(explanation.shares[index])}")
    elif not is_attention(explanation):
        below.append(_AMOUNTS.get(explanation.quantity, explanation.quantity))
    boxes = ((explanation.detections[index], _BOX),)
    return Panel(explanation, index, title, below=tuple((words, "") for words in below), boxes=boxes)


def _percent(share: float) -> str:
    return f"{round(100 * share)}{NO_BREAK}%".replace("-", MINUS) if math.isfinite(share) else "unknown"


def value_range(explanation: Explanation, index: int) -> str:
    """From where to where map ``index`` goes, in its own unit."""
    known = explanation.maps[index][np.isfinite(explanation.maps[index])]
    if not known.size or not known.any():
        return "zero everywhere" if known.size else "not a number anywhere"
    low, high = amount(explanation, float(known.min())), amount(explanation, float(known.max()))
    if explanation.is_signed:
        return f"{low} to {high}"
    return f"peak {high} of attention" if is_attention(explanation) else f"peak {high}"
