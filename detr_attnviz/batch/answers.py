"""From found pictures to their maps: the one way, so that ``render`` and ``batch`` show the same.

Two steps, as they may run beside each other: reading needs one core and no model, answering needs the model.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

import torch
from PIL import Image

from detr_attnviz.batch.faults import check_points, no_room
from detr_attnviz.batch.images import Picture
from detr_attnviz.batch.plan import Sides
from detr_attnviz.batch.room import Room, tried
from detr_attnviz.batch.spare import CPU, Spare
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

    @property
    def numbers(self) -> int:
        """How many go into a forward for it."""
        return sum(prod(value.shape) for value in self.prepared.inputs.values())

    def on(self, device: torch.device) -> "Ready":
        """The same, waiting on ``device``."""
        inputs = {name: value.to(device) for name, value in self.prepared.inputs.items()}
        return replace(self, prepared=replace(self.prepared, inputs=inputs))


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
    if device.type == "cuda":  # where no memory is left for it, it waits here and fails or fits with its forward
        sent = tried(device, partial(_sent, prepared.inputs, device))
        prepared = prepared if sent is None else replace(prepared, inputs=sent)
    return Ready(image, prepared, source)


def answers(
    detector: Detector,
    group: Sequence[Ready],
    request: Request,
    room: Room | None = None,
    spare: Spare | None = None,
) -> list[Explanation | AttnVizError]:
    """What ``request`` asks of each picture, by one forward over all, or why a picture cannot answer.

    When all together need too much memory, by forwards over as many as fit; ``room`` knows that of earlier groups. One
    that does not even fit alone is done by the ``spare``, if there is one, and then says so.

    Raises: ChoiceError for what is not there in any picture.
    """
    room = room or Room(detector.device)
    found = room.shared(group, group[0].numbers, partial(_together, detector, request))
    return [
        _alone(detector, ready, request, spare) if one is None else one for ready, one in zip(group, found, strict=True)
    ]


def answer(
    detector: Detector, picture: Picture, request: Request, sides_px: Sides, spare: Spare | None = None
) -> Explanation:
    """What ``request`` asks of one picture, which is called by its path.

    Raises: ImageError for a picture that cannot be read or has no room; ChoiceError for what is not there in any.
    """
    ready = read(detector, picture, sides_px, str(picture.path))
    (found,) = answers(detector, [ready], request, spare=spare)
    if isinstance(found, AttnVizError):
        raise found
    return found


def _sent(inputs: Mapping[str, Any], device: torch.device) -> Mapping[str, Any]:
    """From pinned memory the device fetches by itself, while the host goes on."""
    return {name: value.pin_memory().to(device, non_blocking=True) for name, value in inputs.items()}


def _together(detector: Detector, request: Request, group: Sequence[Ready]) -> list[Explanation | AttnVizError]:
    """By one forward, or one each where a picture's fault spoils it; memory that runs out is raised."""
    try:
        traces = detector.trace_prepared([(ready.image, ready.prepared, ready.source) for ready in group])
    except ImageError as error:
        if len(group) == 1:
            return [error]
    else:
        return [_answer(trace, request) for trace in traces]
    return [one for ready in group for one in _together(detector, request, [ready])]


def _answer(trace: Trace, request: Request) -> Explanation | AttnVizError:
    try:
        check_points(request.points, trace.grid)
        return request.answer(trace)
    except ImageError as error:
        return error


def _alone(detector: Detector, ready: Ready, request: Request, spare: Spare | None) -> Explanation | AttnVizError:
    """For a picture that the detector's device has no memory for."""
    if detector.device == CPU:
        return no_room(CPU)
    if spare is None:
        return no_room(detector.device, "--allow-cpu has it done on the CPU")
    copy = spare.found
    if isinstance(copy, AttnVizError):
        return no_room(detector.device, f"it cannot be done on the CPU: {copy}")
    found = tried(CPU, partial(_together, copy, request, [ready.on(CPU)]))
    if found is None:
        return no_room(CPU)
    (one,) = found
    return replace(one, provenance={**one.provenance, "device": "cpu"}) if isinstance(one, Explanation) else one
