"""Captions: one paragraph that says what a figure shows, of what, in which range, and who drew it."""

from collections.abc import Iterable, Sequence

from detr_attnviz import __version__
from detr_attnviz.detections import Detection
from detr_attnviz.drawing.captions import amount, name_of, score_of
from detr_attnviz.drawing.headings import checkpoint_of
from detr_attnviz.drawing.overlay import peak
from detr_attnviz.drawing.prints.fonts import FAMILY, HOLE, lacking
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.explanation import Explanation
from detr_attnviz.methods.definitions import definition_of
from detr_attnviz.trace import Trace

SIGNED_WORDS = "drawn by detr_attnviz"
"""Every caption ends with them, and the version."""


def caption(*sentences: str) -> str:
    """The sentences as one paragraph, signed; empty ones are left out."""
    said = [sentence.strip() for sentence in sentences if sentence.strip()]
    ended = [sentence if sentence.endswith((".", "!", "?")) else f"{sentence}." for sentence in said]
    return " ".join([*ended, f"Figure {SIGNED_WORDS} {__version__}."])


def subject(trace: Trace) -> str:
    """Which picture, by which checkpoint: "street.jpg, detected by detr-r50 (sha256 e632da11)"."""
    picture = trace.source.replace("\\", "/").rsplit("/", 1)[-1] or "a picture"
    return f"{picture}, detected by {checkpoint_in_words(trace)}"


def checkpoint_in_words(trace: Trace) -> str:
    """The checkpoint's name and the start of its hash."""
    name, _, digest = checkpoint_of(trace.detector.provenance).partition(" ")
    return f"{name or trace.detector.name} (sha256 {digest})" if digest else name or trace.detector.name


def what_is_drawn(explanation: Explanation, heads: int | None = None) -> str:
    """The exact definition of the maps; ``heads`` is how many are joined, if known."""
    return definition_of(explanation, heads)


def who(explanation: Explanation, index: int) -> str:
    """The query or the place that map ``index`` is of, in a few words."""
    if explanation.kind == "encoder":
        x, y = explanation.points[index]
        return f"({x:g}, {y:g})"
    one = explanation.detections[index]
    return f"{name_of(one)} {score_of(one)}, query {one.index}"


def peak_of(explanation: Explanation, index: int = 0) -> str:
    """A map's largest value in its unit: "3.1 %"."""
    return amount(explanation, peak(explanation.maps[index], explanation.is_signed))


def own_range(options: PrintOptions) -> str:
    """How a map's colours are read: "from 0 (the picture itself) to its largest value (darkest)"."""
    top = "darkest" if options.cmap is None else f"the upper end of the colour map {options.cmap}"
    return f"from 0 (the picture itself) to its largest value ({top})"


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
    return dict(explanation.provenance) | {key: value for key, value in settings.items() if value}


def missing_letters(detections: Iterable[Detection]) -> tuple[str, ...]:
    """A note on class names that the print font has no letters for."""
    letters = "".join(dict.fromkeys("".join(lacking(name_of(one)) for one in detections)))
    if not letters:
        return ()
    return (f"{FAMILY} has no {letters}: {HOLE} stands in their place; other names can be given with the checkpoint",)
