"""Which queries to look at: by score, class name, count or number."""

from collections.abc import Sequence
from difflib import get_close_matches
from math import inf, isfinite

from detr_attnviz.detections import Detection
from detr_attnviz.errors import ChoiceError
from detr_attnviz.trace import Trace

FALLBACK = 3
NO_SCORES = "no detection has a score that is a number"


def select(
    trace: Trace,
    *,
    threshold: float | None = None,
    label: str | int | Sequence[str | int] | None = None,
    top_k: int | None = None,
    fallback: int = 0,
) -> tuple[int, ...]:
    """Query indices scoring at least ``threshold`` (by default the detector's own), best first.

    ``label`` keeps the named classes (any case) or label ids, ``top_k`` the best so many. When nothing passes
    the threshold, the ``fallback`` best of the wanted classes are taken instead (none by default).

    Raises: ChoiceError for a threshold outside 0–1, a ``top_k`` below 1 or a label the detector does not know.
    """
    threshold = trace.detector.threshold if threshold is None else threshold
    if not 0 <= threshold <= 1:
        raise ChoiceError(f"threshold is {threshold:g}: it must be in 0–1")
    if top_k is not None and top_k < 1:
        raise ChoiceError(f"top_k is {top_k}: it must be at least 1")
    ranked = sorted(trace.detections, key=lambda detection: -detection.score if isfinite(detection.score) else inf)
    if label is not None:
        wanted = _label_ids([label] if isinstance(label, (str, int)) else label, trace)
        ranked = [detection for detection in ranked if detection.label in wanted]
    passing = [detection for detection in ranked if detection.score >= threshold] or ranked[:fallback]
    return tuple(detection.index for detection in passing[:top_k])


def has_scores(detections: Sequence[Detection]) -> bool:
    """Whether the score of any is a number; ``select`` puts those first."""
    return any(isfinite(detection.score) for detection in detections)


def _label_ids(labels: Sequence[str | int], trace: Trace) -> set[int]:
    ids: dict[str, set[int]] = {}
    for number, name in enumerate(trace.detector.class_names):
        if name:
            ids.setdefault(name.casefold(), set()).add(number)
    classes = trace.detector.family.scores(trace.logits[:1]).shape[-1]
    ids |= {str(number): {number} for number in range(classes)}
    ids |= {f"class {number}": {number} for number in range(classes)}
    wanted: set[int] = set()
    for label in map(str, labels):
        found = ids.get(label.casefold())
        if found is None:
            raise ChoiceError(f"no class {label!r} in this checkpoint; {_known(label, ids)}")
        wanted |= found
    return wanted


def _known(label: str, ids: dict[str, set[int]]) -> str:
    names = [name for name in ids if not name.removeprefix("class ").isdecimal()]
    near = get_close_matches(label.casefold(), names, n=3)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"its classes are {', '.join(names[:100])}" if names else "it names no classes: use label ids"


def chosen_detections(trace: Trace, queries: Sequence[int]) -> tuple[Detection, ...]:
    """The detections of ``queries``, in that order.

    Raises: ChoiceError for a query that does not exist.
    """
    count = len(trace.detections)
    wrong = [query for query in queries if not 0 <= query < count]
    if wrong:
        raise ChoiceError(f"no query {wrong[0]}: queries are 0–{count - 1}")
    return tuple(trace.detections[query] for query in queries)
