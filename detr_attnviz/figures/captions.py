"""Captions: one paragraph that says what a figure shows, of what, in which range, and who drew it."""

import re
from collections.abc import Sequence

import numpy as np

from detr_attnviz import __version__
from detr_attnviz.drawing.captions import amount, name_of, score_of
from detr_attnviz.drawing.overlay import peak
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.drawing.text import clean
from detr_attnviz.explanation import Explanation
from detr_attnviz.methods.catalogue import MEAN
from detr_attnviz.methods.definitions import definition_of, heads_in_words, layers_in_words
from detr_attnviz.trace import Trace

SIGNED_WORDS = "drawn by detr_attnviz"
"""Every caption ends with them, and the version."""
ZERO = "zero everywhere"
_EXPONENT = re.compile(r"e-0*(?=\d)")


def caption(*sentences: str) -> str:
    """The sentences as one paragraph, signed; empty ones are left out."""
    said = [sentence.strip() for sentence in sentences if sentence.strip()]
    ended = [sentence if sentence.endswith((".", "!", "?")) else f"{sentence}." for sentence in said]
    return " ".join([*ended, f"Figure {SIGNED_WORDS} {__version__}."])


def subject(trace: Trace) -> str:
    """Which picture, by which checkpoint: "street.jpg, detected by detr-r50 (sha256 e632da11)"."""
    picture = clean(trace.source.replace("\\", "/").rsplit("/", 1)[-1]) or "a picture"
    about = trace.detector.provenance
    name = about.get("checkpoint", "") or trace.detector.name
    return f"{picture}, detected by {checkpoint_in_words(name, about.get('checkpoint_sha256', ''))}"


def checkpoint_in_words(name: str, digest: str) -> str:
    """A checkpoint's name and the start of its hash, if it has one."""
    shown = clean(name) or "a checkpoint"
    return f"{shown} (sha256 {digest[:8]})" if digest else shown


def owner_of_layers(trace: Trace) -> str:
    """Whose layers object queries look from: "decoder", or "model" where cells and queries attend jointly."""
    return "model" if any(trace.site(name).is_part for name in trace.sites) else "decoder"


def what_is_drawn(explanation: Explanation, heads: int | None = None, *, layer: str = "", head: str = "") -> str:
    """The exact definition of the maps; ``heads`` is how many are joined, if known.

    ``layer`` and ``head`` are said in place of the explanation's own, of a figure that has several of them.
    """
    own_layer = f"layer {layers_in_words(explanation.layers)}"
    own_head = heads_in_words(explanation.head or MEAN, heads)
    words = definition_of(explanation, heads)
    return words.replace(f"{own_layer}, {own_head}", f"{layer or own_layer}, {head or own_head}")


def who(explanation: Explanation, index: int) -> str:
    """The query or the place that map ``index`` is of, in a few words."""
    if explanation.kind == "encoder":
        x, y = explanation.points[index]
        return f"({x:g}, {y:g})"
    one = explanation.detections[index]
    return f"{name_of(one)} {score_of(one)}, query {one.index}"


def peak_of(explanation: Explanation, index: int = 0) -> str:
    """A map's largest value in its unit: "3.1 %", "1.5e-6", "zero everywhere"."""
    values = explanation.maps[index]
    if not np.isfinite(values).any():
        return "not a number anywhere"
    highest = peak(values, explanation.is_signed)
    return _EXPONENT.sub("e-", amount(explanation, highest)) if highest else ZERO


def holes_in(*explanations: Explanation, drawn: str = "hatched") -> str:
    """A sentence on cells that are no numbers, and how they are drawn; empty where there are none."""
    has_holes = any(one.holes(index) for one in explanations for index in range(len(one)))
    return f"Cells that hold no number (NaN or infinite) are {drawn}" if has_holes else ""


def own_range(options: PrintOptions) -> str:
    """How a map's colours are read: "from 0 (the picture itself) to its largest value (darkest)"."""
    return f"from 0 (the picture itself) to its largest value ({strongest(options)})"


def strongest(options: PrintOptions) -> str:
    """How the largest value is coloured."""
    return "darkest" if options.cmap is None else f"the upper end of the colour map {options.cmap}"


def in_a_row(parts: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join([part for part in (", ".join(parts[:-1]), *parts[-1:]) if part])


def heads_of(trace: Trace, explanation: Explanation) -> int | None:
    """How many heads the layers of an explanation have; None where that differs or there are none."""
    names = [name for name in trace.sites if trace.site(name).layer in explanation.layers]
    room = {"cross": "decoder-cross", "encoder": "encoder-self", "decoder-self": "decoder-self"}[explanation.kind]
    counts = {trace.records[name].heads for name in names if trace.site(name).kind == room}
    return counts.pop() if len(counts) == 1 else None


def about(kind: str, explanation: Explanation) -> dict[str, str]:
    """What the file of a figure carries: where the maps came from, and which they are."""
    settings = {
        "figure": kind,
        "site": explanation.site,
        "head": explanation.head,
        "method": explanation.method,
        "queries": ",".join(dict.fromkeys(str(one.index) for one in explanation.detections)),
        "points": ";".join(dict.fromkeys(f"{x:g},{y:g}" for x, y in explanation.points)),
        "direction": explanation.direction if explanation.kind == "encoder" else "",
    }
    facts = dict(explanation.provenance) | {key: value for key, value in settings.items() if value}
    return {key: clean(value) for key, value in facts.items()}
