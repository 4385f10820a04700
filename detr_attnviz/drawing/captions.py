"""The words of a panel: what is drawn, of whom, and in which range; all from the explanation, nothing invented."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from detr_attnviz.detections import Detection
from detr_attnviz.drawing.overlay import peak
from detr_attnviz.drawing.samples import heaviest, level_shares, outside_share, unknown_count
from detr_attnviz.drawing.text import ELLIPSIS, NO_BREAK, clean
from detr_attnviz.explanation import ATTENTION, Explanation

STRONGEST = 5
"""So many of the others are drawn and named for decoder self-attention."""

MINUS = "\N{MINUS SIGN}"
NOT_A_NUMBER = "NaN"
_BRIEF = 24
_NOTHING = 1e-6  # of sums that are not exact


@dataclass(frozen=True)
class Caption:
    """Words under a panel: a title whose ``tail`` is never shortened, and quieter lines.

    ``above`` stands over the row of panels that begins with this one.
    """

    title: str
    tail: str = ""
    notes: tuple[str, ...] = ()
    above: str = ""


def caption(explanation: Explanation, index: int, style: str = "overlay") -> Caption:
    """What panel ``index`` shows in this style."""
    notes = [note for note in _notes(explanation, index, style) if note]
    if explanation.terms:
        return Caption(explanation.terms[index], _share(explanation, index), tuple(notes), _whose(explanation, index))
    if explanation.kind == "encoder":
        return Caption(_at_point(explanation, index), notes=tuple(notes))
    detection = explanation.detections[index]
    who = f"query {detection.index} · {_box(detection)}"
    return Caption(name_of(detection), f" {score_of(detection)}", (who, *notes))


def maps_per_query(explanation: Explanation) -> int:
    """How many maps in a row belong to one query or point."""
    return len(set(explanation.terms)) or 1


def has_sign(explanation: Explanation) -> bool:
    """Whether values below zero are drawn as such; boxes of decoder self-attention have no colours for them."""
    return explanation.is_signed and explanation.kind != "decoder-self"


def name_of(detection: Detection) -> str:
    """The name as one line, or the label's number where it has none."""
    return clean(detection.name) or f"class {detection.label}"


def score_of(detection: Detection) -> str:
    """The score as it is written everywhere; never "0.00" for one that is above 0, and NaN for what is no number."""
    if not math.isfinite(detection.score):
        return NOT_A_NUMBER
    return "<0.01" if detection.score < 0.005 else f"{detection.score:.2f}"


def amount(explanation: Explanation, value: float) -> str:
    """A map's value in two digits: shares of attention in percent, other quantities as plain numbers."""
    return f"{_two_digits(100 * value)}{NO_BREAK}%" if is_attention(explanation) else _two_digits(value)


def peak_amount(explanation: Explanation, index: int) -> str:
    """A map's largest value in two digits, or that there is no number in it."""
    values = explanation.maps[index]
    return amount(explanation, peak(values, explanation.is_signed)) if np.isfinite(values).any() else NOT_A_NUMBER


def is_attention(explanation: Explanation) -> bool:
    """Whether the map's values are shares of attention."""
    return explanation.quantity == ATTENTION


def unit(explanation: Explanation) -> str:
    """What a value of the map is a share or an amount of."""
    is_to = explanation.kind == "encoder" and explanation.direction == "to"
    if explanation.kind == "decoder-self":
        return "of the query's attention" if is_attention(explanation) else explanation.quantity
    if explanation.method == "value-norm":
        return f"length written {'into' if is_to else 'by'} one cell"
    if not is_attention(explanation):
        return f"{explanation.quantity} in one cell"
    return "of one cell's attention" if is_to else "of its attention in one cell"


def others(explanation: Explanation, index: int) -> Float[np.ndarray, "all_queries"]:
    """Map ``index`` of decoder self-attention without the query's own weight, which often outweighs all the rest."""
    me = explanation.detections[index].index
    is_me = np.array([one.index == me for one in explanation.everyone], dtype=bool)
    return np.asarray(np.where(is_me, 0, explanation.maps[index]))


def strongest(values: Float[np.ndarray, "all_queries"], count: int = STRONGEST) -> list[int]:
    """The queries attended to most, strongest first; none that gets nothing."""
    weights = np.where(np.isfinite(values) & (values > 0), values, 0)
    ranked = np.argsort(-weights, kind="stable")[:count]
    return [int(token) for token in ranked if weights[token] > 0]


def _notes(explanation: Explanation, index: int, style: str) -> tuple[str, ...]:
    if explanation.kind == "decoder-self":
        return _takes_from(explanation, index), _range(explanation, explanation.maps[index])
    if style == "points":
        return _points(explanation, index), _levels(explanation, index)
    parts = [_range(explanation, explanation.maps[index])]
    if explanation.rest:
        parts.append(_unless_nothing(explanation, explanation.rest[index], explanation.rest_where))
    is_of_a_level = explanation.samples is not None and explanation.level is not None
    return ", ".join(part for part in parts if part), _levels(explanation, index) if is_of_a_level else ""


def _points(explanation: Explanation, index: int) -> str:
    top = heaviest(explanation, index)
    parts = [f"heaviest point {amount(explanation, top)} of its attention" if top else "no point is in the picture"]
    parts.append(_unless_nothing(explanation, outside_share(explanation, index), "at points outside the picture"))
    if unknown := unknown_count(explanation, index):
        parts.append(f"{unknown} {'point is' if unknown == 1 else 'points are'} NaN or infinite, not drawn")
    return ", ".join(part for part in parts if part)


def _levels(explanation: Explanation, index: int) -> str:
    """How the levels share the attention; of a chosen level what it has."""
    shares = level_shares(explanation, index)
    if explanation.level is not None:
        return f"level {explanation.level} has {amount(explanation, shares[explanation.level])} of its attention"
    named = [f"level {level} {amount(explanation, share)}" for level, share in shares.items()]
    return ", ".join(words.replace(" ", NO_BREAK) for words in named) if len(named) > 1 else ""


def _unless_nothing(explanation: Explanation, share: float, where: str) -> str:
    return f"{amount(explanation, share)} {where}" if math.isfinite(share) and share > _NOTHING else ""


def _two_digits(value: float) -> str:
    if not math.isfinite(value):
        return NOT_A_NUMBER
    rounded = float(f"{value:.2g}")
    size = abs(rounded)
    if size == 0 or 10 <= size < 1e6:
        text = f"{size:.0f}"
    elif not 1e-4 <= size < 1e6:
        text = f"{size:.1e}"
    else:
        text = f"{size:.{1 - math.floor(math.log10(size))}f}"
    return f"{MINUS}{text}" if rounded < 0 else text


def _range(explanation: Explanation, values: Float[np.ndarray, "..."]) -> str:
    known = values[np.isfinite(values)]
    parts = [_extent(explanation, known)] if known.size else []
    if known.size and known.min() < 0 and not has_sign(explanation):
        parts.append(f"{_cells(explanation, int((known < 0).sum()))} below zero, drawn as 0")
    if holes := values.size - known.size:
        kind = "NaN" if int(np.isnan(values).sum()) == holes else "NaN or infinite"
        seen = "" if explanation.kind == "decoder-self" else " (hatched)"
        parts.append(f"{_cells(explanation, holes)} {'is' if holes == 1 else 'are'} {kind}{seen}")
    return ", ".join(part for part in parts if part)


def _extent(explanation: Explanation, known: Float[np.ndarray, "values"]) -> str:
    low, high = float(known.min()), float(known.max())
    if low == high == 0:
        return "the map is zero everywhere"
    if high <= 0 and not has_sign(explanation):
        return "nothing is above zero"
    if low == high and known.size > 1:
        per_cell = unit(explanation).replace(" one cell", " each cell")
        return f"the same everywhere: {amount(explanation, high)} {per_cell}"
    if explanation.kind == "decoder-self":  # the strongest are named with their shares
        return ""
    if has_sign(explanation):
        return f"{amount(explanation, low)} to {amount(explanation, high)} {unit(explanation)}"
    return f"peak {amount(explanation, high)} {unit(explanation)}"


def _cells(explanation: Explanation, count: int) -> str:
    one, many = ("query", "queries") if explanation.kind == "decoder-self" else ("cell", "cells")
    return f"{count} {one if count == 1 else many}"


def _takes_from(explanation: Explanation, index: int) -> str:
    """Itself first, then the strongest others: number, name and score, so that a weak double is known as such."""
    chosen, values = explanation.detections[index], explanation.maps[index]
    itself = [float(values[token]) for token, one in enumerate(explanation.everyone) if one.index == chosen.index]
    named = [f"itself {amount(explanation, share)}" for share in itself[:1] if share > 0]
    for token in strongest(others(explanation, index)):
        other = explanation.everyone[token]
        who = f"query {other.index} ({_brief(name_of(other))} {score_of(other)})"
        named.append(f"{who} {amount(explanation, float(values[token]))}")
    verb = "attends to" if is_attention(explanation) else "takes from"
    nobody = "nobody" if np.isfinite(values).all() else ""  # of NaN nobody knows
    whom = ", ".join(words.replace(" ", NO_BREAK) for words in named) or nobody
    return f"{verb} {whom}" if whom else ""


def _at_point(explanation: Explanation, index: int) -> str:
    x, y = explanation.points[index]
    place = f"({x:g}, {y:g})"
    if explanation.method == "value-norm":
        return f"what {place} writes" if explanation.direction == "to" else f"what is written to {place}"
    if explanation.direction == "to":
        return f"who attends to {place}"
    cell = "" if explanation.point_level is None else f" (cell of level {explanation.point_level})"
    return f"what {place} attends to{cell}"


def _whose(explanation: Explanation, index: int) -> str:
    """The query or point of the row that begins with map ``index``; empty within a row."""
    if index % maps_per_query(explanation):
        return ""
    if explanation.kind == "encoder":
        return _at_point(explanation, index)
    one = explanation.detections[index]
    return f"{_brief(name_of(one))} {score_of(one)} · query {one.index} · {_box(one)}"


def _share(explanation: Explanation, index: int) -> str:
    if not explanation.shares or not math.isfinite(explanation.shares[index]):
        return ""
    return f" {_whole(100 * explanation.shares[index])}{NO_BREAK}%"


def _brief(name: str) -> str:
    return name if len(name) <= _BRIEF else name[: _BRIEF - 1].rstrip() + ELLIPSIS


def _box(detection: Detection) -> str:
    left, top, right, bottom = (_whole(place) for place in detection.box)
    return f"box x{NO_BREAK}{left}–{right}, y{NO_BREAK}{top}–{bottom}"


def _whole(place: float) -> str:
    if not math.isfinite(place):
        return NOT_A_NUMBER if math.isnan(place) else f"{MINUS if place < 0 else ''}infinite"
    text = f"{place:.0f}"
    return "0" if text == "-0" else text.replace("-", MINUS)
