"""What an evaluation does, as one frozen value. Needs no model, so that options are checked early."""

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, get_args

from detr_attnviz.errors import ChoiceError
from detr_attnviz.evaluation.choice import MethodChoice, comparable, each_once
from detr_attnviz.explanation import Kind

if TYPE_CHECKING:
    from detr_attnviz.detector import Detector

SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
CONTROLS = ("random", "shuffled weights")
"""Maps that know nothing of the model, and the same model's raw attention with every parameter shuffled."""
BASELINES = ("blurred", "mean-filled")
DIRECTIONS = ("deletion", "insertion")
QUANTITIES = ("logit", "iou", "score")


HEADS = ("cross",)
"""Kinds of attention whose heads are silenced unless the caller says."""


@dataclass(frozen=True)
class EvaluationSettings:
    """Which methods, over which queries, and how hard they are tried.

    - ``methods``: choices of methods, each of which ranks a query's cells; by default all that the detector's
      attention allows.
    - ``has_controls``: also a random map and a shuffled model's, and every method's map on that model.
    - ``heads``: kinds of attention ("cross", "encoder", "decoder-self") whose heads are silenced one by one.
    - ``shares``: of the cells, removed (deletion) or alone left in (insertion); 0 and 1 always belong to them.
    - ``threshold``, ``labels`` and ``top_k`` choose each picture's queries; ``top_k`` None takes all,
      ``threshold`` None the detector's own.
    - ``seed``: of the random map, the shuffling and the order of cells that a map holds equal.

    Raises: ChoiceError for anything that is not there or out of range.
    """

    methods: tuple[MethodChoice, ...] = field(default_factory=lambda: tuple(map(MethodChoice, comparable())))
    has_controls: bool = True
    heads: tuple[str, ...] = HEADS
    shares: tuple[float, ...] = SHARES
    threshold: float | None = None
    labels: tuple[str, ...] = ()
    top_k: int | None = 2
    seed: int = 0
    shortest_px: int | None = None
    longest_px: int | None = None

    def __post_init__(self) -> None:
        each_once(self.methods)
        wrong = [kind for kind in self.heads if kind not in get_args(Kind)]
        if wrong:
            raise ChoiceError(f"no heads of kind {wrong[0]!r}: kinds are {', '.join(get_args(Kind))}; or none of them")
        if outside := [share for share in self.shares if not 0 <= share <= 1]:
            raise ChoiceError(f"share {outside[0]:g} is not in 0–1: shares are parts of the picture's cells")
        object.__setattr__(self, "shares", tuple(sorted({0.0, *map(float, self.shares), 1.0})))

    def settled(self, detector: "Detector") -> "EvaluationSettings":
        """The same settings with what ``detector`` decides when nothing was said: its threshold, and what it allows."""
        from detr_attnviz.evaluation.heads import can_silence
        from detr_attnviz.methods.layers import missing_for

        threshold = detector.threshold if self.threshold is None else self.threshold
        methods, heads = self.methods, self.heads
        if methods == tuple(map(MethodChoice, comparable())):
            methods = tuple(choice for choice in methods if not missing_for(detector, choice.method))
        if heads == HEADS and not can_silence(detector, heads):
            heads = ()
        return replace(self, threshold=threshold, methods=methods, heads=heads)

    def without(self, settled: "EvaluationSettings") -> tuple[str, ...]:
        """What these settings asked for by default and ``settled`` leaves out."""
        methods = tuple(choice.name for choice in self.methods if choice not in settled.methods)
        return (*methods, "silencing heads") if self.heads and not settled.heads else methods

    @property
    def maps(self) -> tuple[str, ...]:
        """Names of everything that ranks cells: methods, then controls."""
        return tuple(choice.name for choice in self.methods) + (CONTROLS if self.has_controls else ())

    def most_forwards(self, queries: int) -> int:
        """Forwards that the curves of so many queries of a picture take, if no two masks are the same."""
        disturbed = queries * len(self.maps) * len(DIRECTIONS) * (len(self.shares) - 2)
        return (disturbed + 1) * len(BASELINES)

    def as_row(self) -> dict[str, Any]:
        """The same as plain data."""
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return plain | {"methods": [choice.name for choice in self.methods]}
