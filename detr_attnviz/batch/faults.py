"""Which errors are one picture's own, and which end the whole run."""

from collections.abc import Sequence

import torch

from detr_attnviz.batch.write import is_refused_name
from detr_attnviz.errors import AttnVizError, ChoiceError, ImageError, OutputError
from detr_attnviz.grid import Grid

OF_A_PICTURE = (ImageError, OutputError, MemoryError, RuntimeError)
"""What ``of_this_picture`` should see."""


def of_this_picture(error: Exception) -> AttnVizError:
    """The error as this picture's failure; raised again when it is the whole run's, or a bug."""
    if _is_out_of_memory(error):
        return ImageError("not enough memory for this picture: a smaller --shortest-px needs less")
    if isinstance(error, ImageError) or (isinstance(error, OutputError) and is_refused_name(error)):
        return error
    raise error


def check_points(points: Sequence[tuple[float, float]], grid: Grid) -> None:
    """Points outside are this picture's matter; every other wrong choice is the whole run's.

    Raises: ImageError.
    """
    try:
        for x, y in points:
            grid.token_at(x, y)
    except ChoiceError as error:
        raise ImageError(str(error)) from error


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or "DefaultCPUAllocator" in str(error)
