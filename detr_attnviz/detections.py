"""What the model saw: one frozen row per object query."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Detection:
    """One object query's prediction.

    ``score`` is the best class probability without the no-object class, 0–1; ``box`` is
    (left, top, right, bottom) in pixels of the original upright picture, not clipped to it.
    """

    index: int
    score: float
    label: int
    name: str
    box: tuple[float, float, float, float]

    @property
    def title(self) -> str:
        """Name and score as drawn on pictures: ``cat 0.98``."""
        return f"{self.name} {self.score:.2f}"
