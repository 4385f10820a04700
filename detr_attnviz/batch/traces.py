"""Pictures as traces, one after the other: for results that many pictures share, such as a page."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from detr_attnviz.batch.answers import read
from detr_attnviz.batch.faults import OF_A_PICTURE, of_this_picture
from detr_attnviz.batch.images import Picture, find_pictures
from detr_attnviz.batch.plan import Sides
from detr_attnviz.detector import Detector
from detr_attnviz.trace import Trace


class Traces:
    """Every readable picture's trace, made when it is asked for and not kept.

    ``failures`` has a (path, why) for each picture that could not be traced so far, ``count`` is how many could.
    """

    def __init__(self, detector: Detector, inputs: Sequence[str | Path], sides_px: Sides = (None, None)) -> None:
        """Raises: ChoiceError for an input that does not exist, or when there is not one picture."""
        self.failures: list[tuple[Path, str]] = []
        self.count = 0
        self._detector = detector
        self._sides_px = sides_px
        self._found = find_pictures(inputs)

    def __iter__(self) -> Iterator[Trace]:
        for picture in self._found:
            try:
                trace = self._trace(picture)
            except OF_A_PICTURE as error:
                message = str(of_this_picture(error)).removeprefix(f"{picture.path}: ")
                self.failures.append((picture.path, message))
                continue
            self.count += 1
            yield trace
            del trace  # else it is still there while the next is made

    def _trace(self, picture: Picture) -> Trace:
        ready = read(self._detector, picture, self._sides_px, str(picture.path))
        return self._detector.trace_prepared([(ready.image, ready.prepared, ready.source)])[0]
