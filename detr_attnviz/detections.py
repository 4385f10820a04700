"""What the model saw: one frozen row per object query."""

from dataclasses import dataclass
from math import isnan

NO_CLASS = -1
"""The label of a query whose scores are no numbers: none of them is the best."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One object query's prediction.

    ``score`` is the best class probability without the no-object class, 0–1; ``box`` is
    (left, top, right, bottom) in pixels of the original upright picture, not clipped to it. Where one of the
    query's class probabilities is NaN, so is ``score``, ``label`` is -1 and ``name`` "no class".
    """

    index: int
    score: float
    label: int
    name: str
    box: tuple[float, float, float, float]

    @property
    def title(self) -> str:
        """Name and score as drawn on pictures: ``cat 0.98``; ``no class NaN`` where scores are no numbers."""
        return f"{self.name} {'NaN' if isnan(self.score) else f'{self.score:.2f}'}"
