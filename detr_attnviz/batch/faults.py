"""Which errors are one picture's own, and which end the whole run."""

from collections.abc import Sequence

import torch

from detr_attnviz.batch.write import is_refused_name
from detr_attnviz.errors import AttnVizError, ChoiceError, ImageError, OutputError
from detr_attnviz.grid import Grid
from detr_attnviz.memory import is_out_of_host_memory, is_out_of_memory

OF_A_PICTURE = (ImageError, OutputError, MemoryError, RuntimeError)
"""What ``of_this_picture`` should see."""

_HOST = torch.device("cpu")


def of_this_picture(error: Exception) -> AttnVizError:
    """The error as this picture's failure; raised again when it is the whole run's, or a bug."""
    if is_out_of_memory(error):
        return no_room(instead="" if is_out_of_host_memory(error) else "--device cpu takes none of a GPU's")
    if isinstance(error, ImageError) or (isinstance(error, OutputError) and is_refused_name(error)):
        return error
    raise error


def no_room(device: torch.device = _HOST, instead: str = "") -> ImageError:
    """What to say of a picture that ``device`` has no memory for; ``instead`` is what helps besides a smaller one."""
    where = "" if device == _HOST else f" on {device.type}"
    remedies = ", and ".join(filter(None, ("a smaller --shortest-px needs less", instead)))
    return ImageError(f"not enough memory{where} for this picture: {remedies}")


def check_points(points: Sequence[tuple[float, float]], grid: Grid) -> None:
    """Points outside are this picture's matter; every other wrong choice is the whole run's.

    Raises: ImageError.
    """
    try:
        for x, y in points:
            grid.token_at(x, y)
    except ChoiceError as error:
        raise ImageError(str(error)) from error
