"""The work on pictures, as functions of a detector, pictures and settings that write nothing.

An engine runs them: ``pipeline`` in threads of this process, ``ray_engine`` on other machines. What it gets and
gives is the same, so that ``run`` writes the same.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, Protocol, TypeVar

from detr_attnviz.batch.answers import Ready, answers, read
from detr_attnviz.batch.duty import Duty, Proof
from detr_attnviz.batch.exports import MadeFile, make_files
from detr_attnviz.batch.faults import OF_A_PICTURE, of_this_picture
from detr_attnviz.batch.images import Picture
from detr_attnviz.batch.plan import BatchSettings
from detr_attnviz.batch.room import Room
from detr_attnviz.batch.rows import Row
from detr_attnviz.batch.spare import Spare
from detr_attnviz.detector import Detector
from detr_attnviz.errors import AttnVizError, ImageError
from detr_attnviz.explanation import Explanation
from detr_attnviz.memory import is_out_of_memory
from detr_attnviz.methods.select import has_scores

File = TypeVar("File")
_TOO_LARGE = ImageError("not enough memory to draw this picture's maps: fewer --workers, or a smaller copy, need less")


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A picture in a run: what its rows will say beside its maps, and the rows that an earlier run left.

    One that ``is_done`` passes through an engine untouched, in its place.
    """

    picture: Picture
    state: Row
    known: list[Row]
    is_done: bool


@dataclass(frozen=True, slots=True, eq=False)
class Made(Generic[File]):
    """What the work gave for one picture: its files, and what to know of them; or its ``fault``.

    ``is_unsure`` when no detection reached the threshold, ``is_unscored`` when no score was a number either,
    ``has_holes`` when a map is not a number everywhere; ``notes`` are of the run as a whole, where they came up on
    another machine.
    """

    files: tuple[File, ...] = ()
    remark: str = ""
    fault: str = ""
    notes: tuple[str, ...] = ()
    is_unsure: bool = False
    is_unscored: bool = False
    has_holes: bool = False


class Engine(Protocol[File]):
    """Runs the work."""

    def results(self, jobs: Iterable[Job]) -> Generator[tuple[Job, Made[File] | None]]:
        """Each job with what was made of its picture, in order; None for one that is done already.

        What ends the whole run is raised in its picture's turn. Closing the iterator ends all work.
        """


@dataclass(frozen=True, eq=False)
class Work(Generic[File]):
    """The three steps of one run; ``keep`` takes each file as it is made, so that only one need be held.

    ``may_use_cpu`` for pictures that the detector's device has no memory for. ``is_proven`` by its first answers, else
    an error is raised. ``notes`` grows by what a person should know of the run, each sentence once.
    """

    detector: Detector
    settings: BatchSettings
    keep: Callable[[MadeFile], File]
    may_use_cpu: bool = False
    is_proven: bool = False
    notes: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        """Adds to ``notes``."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def read(self, picture: Picture) -> "Ready | Made[File]":
        """The picture ready for its forward, or its fault; the picture is called by its location."""
        try:
            return read(self.detector, picture, self.settings.sides_px, picture.location)
        except OF_A_PICTURE as error:
            return self.fault(picture, of_this_picture(error))

    def answers(self, group: Sequence[Ready]) -> list[Explanation | AttnVizError]:
        """The maps of pictures of one shape, by one forward."""
        found = answers(self.detector, group, self.settings.request, self._room, self._spare)
        if self.duty is not None:
            self.duty.discharge(group, found)
        return found

    def draw(self, picture: Picture, found: Explanation | AttnVizError) -> Made[File]:
        """The picture's files, kept."""
        if isinstance(found, AttnVizError):
            return self.fault(picture, found)
        try:
            files = tuple(self.keep(made) for made in make_files(found, self.settings, picture.location))
        except OF_A_PICTURE as error:
            return self.fault(picture, _TOO_LARGE if is_out_of_memory(error) else of_this_picture(error))
        is_unsure = bool(self.settings.request.remark(found))
        has_holes = any(found.holes(index) for index in range(len(found)))
        return Made(
            files,
            found.provenance.get("note", ""),
            is_unsure=is_unsure,
            is_unscored=is_unsure and not has_scores(found.detections),
            has_holes=has_holes,
        )

    def fault(self, picture: Picture, error: AttnVizError) -> Made[File]:
        """An error as what the manifest says of a picture: without the path, which is another elsewhere."""
        return Made(fault=str(error).removeprefix(f"{picture.path}: "))

    @property
    def proof(self) -> Proof | None:
        """What was proven so far."""
        return None if self.duty is None else self.duty.proof

    @cached_property
    def duty(self) -> Duty | None:
        """The proof that is owed; None when nobody asked for it."""
        return Duty(self.detector, self.note) if self.is_proven else None

    @cached_property
    def _room(self) -> Room:
        return Room(self.detector.device, self.note)

    @cached_property
    def _spare(self) -> Spare | None:
        return Spare(self.detector, self.note) if self.may_use_cpu else None
