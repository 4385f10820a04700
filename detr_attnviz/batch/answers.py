"""From found pictures to their maps: the one way, so that ``render`` and ``batch`` show the same.

Two steps, as they may run beside each other: reading needs one core and no model, answering needs the model.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from detr_attnviz.batch.faults import OF_A_PICTURE, check_points, of_this_picture
from detr_attnviz.batch.images import Picture
from detr_attnviz.batch.plan import Sides
from detr_attnviz.detector import Detector
from detr_attnviz.errors import AttnVizError, ImageError
from detr_attnviz.explanation import Explanation
from detr_attnviz.methods.request import Request
from detr_attnviz.pictures import read_picture
from detr_attnviz.trace import Trace


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """A picture that waits for its forward.

    ``prepared`` is what ``Detector.prepare`` made of it; ``source`` is what its results call it.
    """

    image: Image.Image
    prepared: Any
    source: str

    @property
    def shape(self) -> Hashable:
        """What pictures have in common that one forward may take together."""
        return tuple((name, tuple(value.shape)) for name, value in self.prepared.inputs.items())


def read(detector: Detector, picture: Picture, sides_px: Sides, source: str) -> Ready:
    """The picture, decoded and resized; on its way to the GPU if that is where the model is.

    Raises: ImageError for a picture that cannot be read.
    """
    if picture.fault:
        raise ImageError(picture.fault)
    image = read_picture(picture.path)
    shortest_px, longest_px = sides_px
    prepared = detector.prepare(image, shortest_px=shortest_px, longest_px=longest_px)
    device = detector.device
    if device.type == "cuda":  # from pinned memory the device fetches by itself, while the host goes on
        sent = {name: value.pin_memory().to(device, non_blocking=True) for name, value in prepared.inputs.items()}
        prepared = replace(prepared, inputs=sent)
    return Ready(image, prepared, source)


def answers(detector: Detector, group: Sequence[Ready], request: Request) -> list[Explanation | AttnVizError]:
    """What ``request`` asks of each picture, by one forward over all, or why a picture cannot answer.

    When all together need too much memory, one after the other.

    Raises: ChoiceError for what is not there in any picture.
    """
    try:
        traces = detector.trace_prepared([(ready.image, ready.prepared, ready.source) for ready in group])
    except OF_A_PICTURE as error:
        if len(group) == 1:
            return [of_this_picture(error)]
    else:
        return [_answer(trace, request) for trace in traces]
    return [one for ready in group for one in answers(detector, [ready], request)]


def answer(detector: Detector, picture: Picture, request: Request, sides_px: Sides) -> Explanation:
    """What ``request`` asks of one picture, which is called by its path.

    Raises: ImageError for a picture that cannot be read; ChoiceError for what is not there in any picture.
    """
    (found,) = answers(detector, [read(detector, picture, sides_px, str(picture.path))], request)
    if isinstance(found, AttnVizError):
        raise found
    return found


def _answer(trace: Trace, request: Request) -> Explanation | AttnVizError:
    try:
        check_points(request.points, trace.grid)
        return request.answer(trace)
    except OF_A_PICTURE as error:
        return of_this_picture(error)
