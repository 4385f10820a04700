"""What became of one picture, and of a whole run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from detr_attnviz.batch.duty import Proof
from detr_attnviz.batch.images import Picture

_FAILURES_KEPT = 100
Status = Literal["written", "skipped", "empty", "failed"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one picture: "empty" is nothing to show in it, "skipped" is done by an earlier run.

    ``is_unsure`` when no detection reached the threshold and the best were drawn instead, ``is_unscored`` when no score
    was a number, so that none was the best; ``replaced`` counts the files of other settings that made room;
    ``has_holes`` when a map holds NaN or infinite values.
    """

    picture: Picture
    status: Status
    files: int = 0
    error: str = ""
    is_unsure: bool = False
    replaced: int = 0
    has_holes: bool = False
    is_unscored: bool = False


@dataclass(frozen=True, slots=True)
class BatchReport:
    """A whole run. ``pictures`` counts all, ``written`` files; the others count pictures.

    ``unscored`` are those of the ``unsure`` in which no score is a number.
    ``failures`` holds the first hundred; the manifest has them all. ``proof`` is of the first picture that was worked
    on, None when there was none or nobody asked; ``notes`` are sentences about the run as a whole.
    """

    pictures: int = 0
    written: int = 0
    skipped: int = 0
    unsure: int = 0
    replaced: int = 0
    empty: int = 0
    failed: int = 0
    failures: tuple[Outcome, ...] = ()
    seconds: float = 0.0
    proof: Proof | None = None
    notes: tuple[str, ...] = ()
    not_finite: int = 0
    unscored: int = 0

    def plus(self, outcome: Outcome) -> "BatchReport":
        """The report with one more picture in it."""
        failures = self.failures
        if outcome.status == "failed" and len(failures) < _FAILURES_KEPT:
            failures = (*failures, outcome)
        return BatchReport(
            self.pictures + 1,
            self.written + outcome.files,
            self.skipped + (outcome.status == "skipped"),
            self.unsure + outcome.is_unsure,
            self.replaced + outcome.replaced,
            self.empty + (outcome.status == "empty"),
            self.failed + (outcome.status == "failed"),
            failures,
            not_finite=self.not_finite + outcome.has_holes,
            unscored=self.unscored + outcome.is_unscored,
        )

    def with_facts(self, proof: Proof | None, notes: Sequence[str]) -> "BatchReport":
        """The report with what is known of the run as a whole."""
        return replace(self, proof=proof, notes=tuple(notes))


OnProgress = Callable[[BatchReport, int | None], None]
