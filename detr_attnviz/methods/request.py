"""What a person asked to see, in one value: the options that ``render`` and ``batch`` share."""

from dataclasses import dataclass, replace

from detr_attnviz.detector import Detector
from detr_attnviz.explanation import Direction, Explanation, Kind
from detr_attnviz.methods.catalogue import LAST, MEAN, RAW, Head, Layers, checked_facts
from detr_attnviz.methods.explain import explain
from detr_attnviz.methods.select import FALLBACK, NO_SCORES, has_scores, select
from detr_attnviz.trace import Trace


@dataclass(frozen=True)
class Request:
    """Which maps of a trace are wanted; ``answer`` turns it into an Explanation.

    ``queries`` names object queries outright; otherwise ``threshold``, ``labels`` and ``top_k`` select them,
    and the ``fallback`` best are taken when none passes; ``threshold`` None is the detector's own. ``points`` are
    (x, y) in original pixels; ``term``, ``level`` and ``point_level`` are as in ``explain``.

    Raises: ChoiceError for what no model could answer by this method.
    """

    kind: Kind = "cross"
    layer: Layers = LAST
    head: Head = MEAN
    method: str = RAW
    queries: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()
    top_k: int | None = None
    threshold: float | None = None
    points: tuple[tuple[float, float], ...] = ()
    direction: Direction = "from"
    fallback: int = FALLBACK
    term: str = ""
    level: int | None = None
    point_level: int = 0

    def __post_init__(self) -> None:
        parts = (self.term, self.level, self.point_level)
        checked_facts(self.method, self.kind, self.layer, self.head, self.direction, *parts)

    def settled(self, detector: Detector) -> "Request":
        """The same request with what ``detector`` decides when nothing was said: its threshold."""
        return self if self.threshold is not None else replace(self, threshold=detector.threshold)

    def queries_of(self, trace: Trace) -> tuple[int, ...]:
        """The object queries that this request means in ``trace``, best first unless they were named."""
        if self.queries:
            return self.queries
        return select(
            trace,
            threshold=self.threshold,
            label=self.labels or None,
            top_k=self.top_k,
            fallback=self.fallback,
        )

    def answer(self, trace: Trace) -> Explanation:
        """The maps; a remark about them goes into the provenance as ``note``.

        Raises: ChoiceError for anything asked that is not there.
        """
        is_encoder = self.kind == "encoder"
        explanation = explain(
            trace,
            method=self.method,
            kind=self.kind,
            layer=self.layer,
            head=self.head,
            queries=None if is_encoder else self.queries_of(trace),
            points=self.points or None,
            direction=self.direction,
            term=self.term,
            level=self.level,
            point_level=self.point_level,
        )
        notes = [
            note
            for note in (self.settled(trace.detector).remark(explanation), _holes(explanation), *trace.notes)
            if note
        ]
        if not notes:
            return explanation
        return replace(explanation, provenance={**explanation.provenance, "note": "; ".join(notes)})

    def remark(self, explanation: Explanation) -> str:
        """A sentence when the queries shown are not sure ones, else an empty string."""
        if self.queries or explanation.kind == "encoder":
            return ""
        threshold = 0.0 if self.threshold is None else self.threshold
        what = f"no detection of {' or '.join(self.labels)}" if self.labels else "no detection"
        if not len(explanation):
            return f"{what} to show: lower --threshold ({threshold:g}), or give --fallback N to see the best"
        if all(detection.score >= threshold for detection in explanation.detections):
            return ""
        count = len({detection.index for detection in explanation.detections})
        if not has_scores(explanation.detections):
            return f"{NO_SCORES}: showing {count} of them"
        return f"{what} reaches the threshold {threshold:g}: showing the {count} best instead"


def _holes(explanation: Explanation) -> str:
    """A sentence on maps that are not numbers throughout, else an empty string."""
    count = sum(bool(explanation.holes(index)) for index in range(len(explanation)))
    return f"{count} of {len(explanation)} maps hold NaN or infinite values" if count else ""
