"""From a found picture to its maps: the one way, so that ``render`` and ``batch`` show the same."""

from detr_attnviz.batch.faults import check_points
from detr_attnviz.batch.images import Picture
from detr_attnviz.batch.plan import Sides
from detr_attnviz.detector import Detector
from detr_attnviz.errors import ImageError
from detr_attnviz.explanation import Explanation
from detr_attnviz.methods.request import Request


def answer(detector: Detector, picture: Picture, request: Request, sides_px: Sides) -> Explanation:
    """What ``request`` asks of ``picture``.

    Raises: ImageError for a picture that cannot be read; ChoiceError for what is not there in any picture.
    """
    if picture.fault:
        raise ImageError(picture.fault)
    shortest_px, longest_px = sides_px
    trace = detector.trace(picture.path, shortest_px=shortest_px, longest_px=longest_px)
    check_points(request.points, trace.grid)
    return request.answer(trace)
