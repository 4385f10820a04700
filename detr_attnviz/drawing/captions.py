"""The words of a picture: what is drawn, of whom, and in which range; all from the explanation, nothing invented."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from detr_attnviz.detections import Detection
from detr_attnviz.drawing.text import ELLIPSIS, NO_BREAK, clean
from detr_attnviz.explanation import Explanation

_STRONGEST = 5
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
        return Caption(title, notes=tuple(notes))
    detection = explanation.detections[index]
    if explanation.kind == "decoder-self":
        notes.insert(0, _listens_to(explanation, index))
    notes.insert(0, f"query {detection.index} · box {_box(detection)}")
    return Caption(name_of(detection), f" {detection.score:.2f}", tuple(notes))


def name_of(detection: Detection) -> str:
    """The name as one line, or the label's number where it has none."""
    return clean(detection.name) or f"class {detection.label}"


def heading(explanation: Explanation) -> tuple[str, ...]:
    """A title, and quieter lines: picture, site, method, checkpoint, and a "note" of the provenance."""
    about = explanation.provenance
    picture = next((about[key] for key in _PICTURE_KEYS if key in about), "")
    checkpoint = f"{about.get('checkpoint', '')} {about.get('checkpoint_sha256', '')[:8]}".strip()
    parts = [
        picture.replace("\\", "/").rsplit("/", 1)[-1],
        explanation.site,
        f"method {explanation.method}",
        f"checkpoint {checkpoint}" if checkpoint else "",
    ]
    lines = [_title(explanation), " · ".join(part for part in parts if part), about.get("note", "")]
    return tuple(line for line in lines if line)


def amount(explanation: Explanation, value: float) -> str:
    """A map's value with its unit: attention weights in percent, relevance as a plain number."""
    return f"{100 * value:.3g}{NO_BREAK}%" if explanation.method in _ATTENTION_METHODS else f"{value:.3g}"


def unit(explanation: Explanation) -> str:
    """What a value of the map is a share or an amount of."""
    if explanation.method not in _ATTENTION_METHODS:
        return f"{explanation.method} per cell" if explanation.kind != "decoder-self" else explanation.method
    if explanation.kind == "decoder-self":
        return "of the query's attention"
    if explanation.kind == "encoder" and explanation.direction == "to":
        return "of each cell's attention"
    return "of attention per cell"


def strongest(values: Float[np.ndarray, "all_queries"], count: int = _STRONGEST) -> list[int]:
    """The queries listened to most, strongest first; none that gets nothing."""
    weights = np.where(np.isfinite(values) & (values > 0), values, 0)
    ranked = np.argsort(-weights, kind="stable")[:count]
    return [int(token) for token in ranked if weights[token] > 0]


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
        parts.append(f"the same everywhere: {amount(explanation, float(known[0]))} {unit(explanation)}")
    elif known.size:
        parts.append(f"0 – {amount(explanation, float(known.max()))} {unit(explanation)}")
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


def _listens_to(explanation: Explanation, index: int) -> str:
    chosen, values = explanation.detections[index], explanation.maps[index]
    named = []
    for token in strongest(values):
        other = explanation.everyone[token]
        name = "itself" if other.index == chosen.index else f"{_brief(name_of(other))} ({other.index})"
        named.append(f"{name} {amount(explanation, float(values[token]))}".replace(" ", NO_BREAK))
    return "listens to " + ", ".join(named) if named else "listens to nobody"


def _brief(name: str) -> str:
    return name if len(name) <= _BRIEF else name[: _BRIEF - 1].rstrip() + ELLIPSIS


def _box(detection: Detection) -> str:
    return "{:.0f}, {:.0f} – {:.0f}, {:.0f}".format(*detection.box)
