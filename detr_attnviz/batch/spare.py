"""A detector's copy on the CPU, for a picture that the detector's own device has no memory for."""

import copy
import os
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from detr_attnviz.batch.recipe import reopened
from detr_attnviz.batch.room import unheard
from detr_attnviz.detector import Detector, exact
from detr_attnviz.errors import AttnVizError, CaptureError
from detr_attnviz.memory import OUT_OF_MEMORY, is_out_of_memory

CPU = torch.device("cpu")


class Spare:
    """The copy, made when it is first asked for and kept; ``say`` is told then."""

    def __init__(self, detector: Detector, say: Callable[[str], None] = unheard) -> None:
        self._original = detector
        self._say = say

    @cached_property
    def found(self) -> Detector | AttnVizError:
        """The copy, or why there is none."""
        try:
            made = on_cpu(self._original)
        except AttnVizError as error:
            return error
        except OUT_OF_MEMORY as error:
            if not is_out_of_memory(error):
                raise
            return CaptureError("there is no memory for a copy of the model either")
        self._say(_moved(self._original.device, _is_exact(self._original)))
        return made


def on_cpu(detector: Detector) -> Detector:
    """What opening the same with ``device="cpu"`` gives; a lower precision, which is a GPU's, is fp32 there.

    Weights that were made fast on one device are laid out for it, so a checkpoint is opened once more. A built module
    is copied.

    Raises: CheckpointError for a checkpoint that has changed; CaptureError for a module that Python cannot copy.
    """
    origin = detector.family.origin
    if origin.path is None:
        return _copied(detector)
    path, names = os.path.abspath(origin.path), detector.class_names
    return reopened(path, origin, names, "cpu", origin.precision if _is_exact(detector) else "fp32")


def _is_exact(detector: Detector) -> bool:
    return detector.family.origin.precision in (None, "official", "fp32")


def _moved(device: torch.device, is_exact: bool) -> str:
    how = "on the CPU" if is_exact else "on the CPU in fp32"
    return (
        f"not enough memory on {device.type} even for one picture: a copy of the model does it {how}, and all others "
        'like it; what is made of them says "device": "cpu"'
    )


def _copied(detector: Detector) -> Detector:
    """Each weight goes straight to the CPU: where it is there is no room for a second one."""
    model = getattr(detector.family, "model", None)
    weights = (*model.parameters(), *model.buffers()) if isinstance(model, nn.Module) else ()
    known: dict[int, Any] = {id(weight): _on_cpu(weight) for weight in weights}
    try:
        with exact(detector.device):  # nobody's hooks are on the model meanwhile, which would be copied, too
            return Detector(copy.deepcopy(detector.family, known))
    except (RuntimeError, TypeError, NotImplementedError) as error:
        if is_out_of_memory(error):
            raise
        raise CaptureError(f"{detector.name} cannot be copied: {error}") from error


def _on_cpu(weight: Tensor) -> Tensor:
    moved = weight.detach().to(CPU, copy=True)
    return nn.Parameter(moved, weight.requires_grad) if isinstance(weight, nn.Parameter) else moved
