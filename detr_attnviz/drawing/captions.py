"""The words of a picture: what is drawn, of whom, and in which range; all from the explanation, nothing invented."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from detr_attnviz.detections import Detection
from detr_attnviz.drawing.text import ELLIPSIS, NO_BREAK, clean
from detr_attnviz.explanation import Explanation

STRONGEST = 5
"""So many of the others are drawn and named for decoder self-attention."""

_BRIEF = 24
_ATTENTION_METHODS = ("raw", "rollout")
_PICTURE_KEYS = ("picture", "image")


@dataclass(frozen=True)
class Caption:
    """Words under a panel: a title whose ``tail`` is never shortened, and quieter lines."""

    title: str
    tail: str = ""
    notes: tuple[str, ...] = ()


def caption(explanation: Explanation, index: int) -> Caption:
    """What panel ``index`` shows."""
    notes = [_range(explanation, explanation.maps[index])]
    if explanation.kind == "encoder":
        x, y = explanation.points[index]
        place = f"({x:g}, {y:g})"
        title = f"who attends to {place}" if explanation.direction == "to" else f"what {place} attends to"
        return Caption(title, notes=tuple(note for note in notes if note))
    detection = explanation.detections[index]
    if explanation.kind == "decoder-self":
        notes.insert(0, _attends_to(explanation, index))
    notes.insert(0, f"query {detection.index} · {_box(detection)}")
    return Caption(name_of(detection), f" {score_of(detection)}", tuple(note for note in notes if note))


def name_of(detection: Detection) -> str:
    """The name as one line, or the label's number where it has none."""
    return clean(detection.name) or f"class {detection.label}"


def score_of(detection: Detection) -> str:
    """The score as it is written everywhere; never "0.00" for one that is above 0."""
    return "<0.01" if detection.score < 0.005 else f"{detection.score:.2f}"


def heading(explanation: Explanation) -> tuple[str, ...]:
    """A title, and quieter lines: picture, site, method, checkpoint, and a "note" of the provenance."""
    about = explanation.provenance
    picture = next((about[key] for key in _PICTURE_KEYS if key in about), "")
    checkpoint = f"{about.get('checkpoint', '')} {about.get('checkpoint_sha256', '')[:8]}".strip()
    parts = [
        picture.replace("\\", "/").rsplit("/", 1)[-1],
        explanation.site,
        f"method {explanation.method}" if explanation.method != "raw" else "",
        f"checkpoint {checkpoint}" if checkpoint else "",
    ]
    lines = [_title(explanation), " · ".join(part for part in parts if part), about.get("note", "")]
    return tuple(line for line in lines if line)


def amount(explanation: Explanation, value: float) -> str:
    """A map's value with its unit, in two digits: attention weights in percent, relevance as a plain number."""
    return f"{_two_digits(100 * value)}{NO_BREAK}%" if is_attention(explanation) else _two_digits(value)


def is_attention(explanation: Explanation) -> bool:
    """Whether the map's values are shares of attention."""
    return explanation.method in _ATTENTION_METHODS


def unit(explanation: Explanation) -> str:
    """What a value of the map is a share or an amount of."""
    if not is_attention(explanation):
        return explanation.method if explanation.kind == "decoder-self" else f"{explanation.method} in one cell"
    if explanation.kind == "decoder-self":
        return "of the query's attention"
    if explanation.kind == "encoder" and explanation.direction == "to":
        return "of one cell's attention"
    return "of its attention in one cell"


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


def _two_digits(value: float) -> str:
    rounded = float(f"{value:.2g}")
    if rounded == 0 or 10 <= abs(rounded) < 1e6:
        return f"{rounded:.0f}"
    if not 1e-4 <= abs(rounded) < 1e6:
        return f"{rounded:.1e}"
    return f"{rounded:.{1 - math.floor(math.log10(abs(rounded)))}f}"


def _title(explanation: Explanation) -> str:
    where = {"cross": "Decoder cross-attention", "encoder": "Encoder self-attention"}
    name = where.get(explanation.kind, "Decoder self-attention")
    if explanation.method != "raw":
        name = f"{name.split(' ', 1)[0]}, {explanation.method}"
    heads = {"mean": "mean of heads", "max": "maximum of heads"}.get(explanation.head, f"head {explanation.head}")
    return f"{name}, layer {explanation.layer}, {heads}"


def _range(explanation: Explanation, values: Float[np.ndarray, "..."]) -> str:
    holes = int((~np.isfinite(values)).sum())
    known = values[np.isfinite(values)]
    parts = []
    if known.size and not (known > 0).any():
        parts.append("the map is zero everywhere" if not known.any() else "nothing is above zero")
    elif known.size > 1 and known.min() == known.max():
        where = unit(explanation).replace("in one cell", "in each cell")
        parts.append(f"the same everywhere: {amount(explanation, float(known[0]))} {where}")
    elif known.size and explanation.kind != "decoder-self":  # there the strongest are named with their shares
        parts.append(f"peak {amount(explanation, float(known.max()))} {unit(explanation)}")
    if known.size and known.min() < 0:
        parts.append(f"{_cells(explanation, int((known < 0).sum()))} below zero, drawn as 0")
    if holes:
        kind = "NaN" if int(np.isnan(values).sum()) == holes else "NaN or infinite"
        seen = "" if explanation.kind == "decoder-self" else " (hatched)"
        parts.append(f"{_cells(explanation, holes)} {'is' if holes == 1 else 'are'} {kind}{seen}")
    return ", ".join(parts)


def _cells(explanation: Explanation, count: int) -> str:
    one, many = ("query", "queries") if explanation.kind == "decoder-self" else ("cell", "cells")
    return f"{count} {one if count == 1 else many}"


def _attends_to(explanation: Explanation, index: int) -> str:
    """Itself first, then the strongest others: number, name and score, so that a weak double is known as such."""
    chosen, values = explanation.detections[index], explanation.maps[index]
    itself = [float(values[token]) for token, one in enumerate(explanation.everyone) if one.index == chosen.index]
    named = [f"itself {amount(explanation, share)}" for share in itself[:1] if share > 0]
    for token in strongest(others(explanation, index)):
        other = explanation.everyone[token]
        who = f"query {other.index} ({_brief(name_of(other))} {score_of(other)})"
        named.append(f"{who} {amount(explanation, float(values[token]))}")
    return "attends to " + ", ".join(words.replace(" ", NO_BREAK) for words in named) if named else "attends to nobody"


def _brief(name: str) -> str:
    return name if len(name) <= _BRIEF else name[: _BRIEF - 1].rstrip() + ELLIPSIS


def _box(detection: Detection) -> str:
    left, top, right, bottom = (_whole(place) for place in detection.box)
    return f"box x{NO_BREAK}{left}–{right}, y{NO_BREAK}{top}–{bottom}"


def _whole(place: float) -> str:
    text = f"{place:.0f}"
    return "0" if text == "-0" else text.replace("-", "\N{MINUS SIGN}")
