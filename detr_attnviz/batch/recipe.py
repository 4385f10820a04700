"""How a detector that was opened from a file or folder is opened once more: on another machine or device."""

import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from detr_attnviz.decoders import limit_pixels, most_pixels, silence_decoders
from detr_attnviz.detector import Detector, load
from detr_attnviz.errors import AttnVizError, BrokenWeightsWarning, CheckpointError, ChoiceError


@dataclass(frozen=True)
class Recipe:
    """How an actor opens the detector that the driver has.

    Raises: CheckpointError when called where the checkpoint is not, or is or works otherwise than it did here.
    """

    path: str
    origin: Any
    class_names: tuple[str, ...]
    device: str
    threads: int
    most_pixels: int | None

    @classmethod
    def of(cls, detector: Detector) -> "Recipe":
        """The recipe of a detector that was opened from a file or folder.

        Raises: ChoiceError for a detector around a built module.
        """
        origin = detector.family.origin
        if origin.path is None:
            raise ChoiceError(
                f"{detector.name} was built in Python and cannot be sent to other machines: --engine ray needs a "
                "checkpoint that every worker can read; save one and load it by its path"
            )
        _ = origin.sha256  # read once, here, and sent along
        path, device = os.path.abspath(origin.path), detector.device.type
        return cls(path, origin, detector.class_names, device, torch.get_num_threads(), most_pixels())

    def __call__(self) -> Detector:
        torch.set_num_threads(self.threads)
        silence_decoders()
        limit_pixels(self.most_pixels)
        try:
            return reopened(self.path, self.origin, self.class_names, self.device, self.origin.precision)
        except AttnVizError as error:
            raise CheckpointError(f"on a worker of the cluster: {error}") from None


def reopened(path: str, origin: Any, class_names: tuple[str, ...], device: str, precision: Any) -> Detector:
    """The detector of ``origin`` from ``path``, on another ``device`` or in another ``precision``.

    Raises: CheckpointError when the file is, or works, otherwise than it did; whatever ``load`` raises.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BrokenWeightsWarning)  # the first reading said so
        detector = load(Path(path), device=device, weights=origin.weights, precision=precision, **origin.told)
    if detector.checkpoint_sha256 != origin.sha256:
        raise CheckpointError(f"{path} is another file than it was here")
    if _assumed(detector.family.origin) != _assumed(origin):
        raise CheckpointError(
            f"{path} works otherwise than it did here: have the same configuration files and the same transformers in "
            "both places"
        )
    detector.family.origin = origin if precision == origin.precision else replace(origin, precision=precision)
    detector.family.class_names = class_names
    return detector


def _assumed(origin: Any) -> tuple[Any, ...]:
    """What files beside the checkpoint may say otherwise in another place."""
    return origin.heads, origin.dilation, origin.configuration_sha256
