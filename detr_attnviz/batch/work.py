"""The work on pictures, as functions of a detector, pictures and settings that write nothing.

An engine runs them: ``pipeline`` in threads of this process, ``ray_engine`` on other machines. What it gets and
gives is the same, so that ``run`` writes the same.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from detr_attnviz.batch.answers import Ready, answers, read
from detr_attnviz.batch.exports import MadeFile, make_files
from detr_attnviz.batch.faults import OF_A_PICTURE, of_this_picture
from detr_attnviz.batch.images import Picture
from detr_attnviz.batch.plan import BatchSettings
from detr_attnviz.batch.rows import Row
from detr_attnviz.detector import Detector
from detr_attnviz.errors import AttnVizError
from detr_attnviz.explanation import Explanation

File = TypeVar("File")


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

    ``is_unsure`` when no detection reached the threshold, ``has_holes`` when a map is not a number everywhere.
    """

    files: tuple[File, ...] = ()
    remark: str = ""
    fault: str = ""
    is_unsure: bool = False
    has_holes: bool = False


class Engine(Protocol[File]):
    """Runs the work."""

    def results(self, jobs: Iterable[Job]) -> Generator[tuple[Job, Made[File] | None]]:
        """Each job with what was made of its picture, in order; None for one that is done already.

        What ends the whole run is raised in its picture's turn. Closing the iterator ends all work.
        """


@dataclass(frozen=True, eq=False)
class Work(Generic[File]):
    """The three steps of one run; ``keep`` takes each file as it is made, so that only one need be held."""

    detector: Detector
    settings: BatchSettings
    keep: Callable[[MadeFile], File]

    def read(self, picture: Picture) -> "Ready | Made[File]":
        """The picture ready for its forward, or its fault; the picture is called by its location."""
        try:
            return read(self.detector, picture, self.settings.sides_px, picture.location)
        except OF_A_PICTURE as error:
            return self.fault(picture, of_this_picture(error))

    def answers(self, group: Sequence[Ready]) -> list[Explanation | AttnVizError]:
        """The maps of pictures of one shape, by one forward."""
        return answers(self.detector, group, self.settings.request)

    def draw(self, picture: Picture, found: Explanation | AttnVizError) -> Made[File]:
        """The picture's files, kept."""
        if isinstance(found, AttnVizError):
            return self.fault(picture, found)
        try:
            files = tuple(self.keep(made) for made in make_files(found, self.settings, picture.location))
        except OF_A_PICTURE as error:
            return self.fault(picture, of_this_picture(error))
        is_unsure = bool(self.settings.request.remark(found))
        has_holes = any(found.holes(index) for index in range(len(found)))
        return Made(files, found.provenance.get("note", ""), is_unsure=is_unsure, has_holes=has_holes)

    def fault(self, picture: Picture, error: AttnVizError) -> Made[File]:
        """An error as what the manifest says of a picture: without the path, which is another elsewhere."""
        return Made(fault=str(error).removeprefix(f"{picture.path}: "))
