"""What a preprocess of one's own gave for a picture: whatever its module takes, and where in it the picture is."""

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from detr_attnviz.errors import ChoiceError


@dataclass(frozen=True, eq=False)
class Given:
    """The arguments of one call; ``picture`` is the tensor among them that shows the picture.

    A mapping is called with as keywords, a tuple as arguments, anything else as the one argument. ``shape``, ``to``
    and ``pin_memory`` are those of all tensors inside, so that it travels among prepared inputs as a tensor does.
    """

    value: Any
    picture: Tensor

    @classmethod
    def of(cls, value: Any) -> "Given":
        """Finds the picture: the first tensor ``[1 channels height_px width_px]``, or one without the batch axis.

        Raises: ChoiceError when there is none.
        """
        if isinstance(value, Given):
            return value
        found = [part for part in _tensors(value) if part.dtype is not torch.bool]
        batched = [part for part in found if part.dim() == 4 and len(part) == 1]
        single = [part for part in found if part.dim() == 3 and len(part) == 3]
        if not batched and not single:
            shapes = ", ".join(str(list(part.shape)) for part in found) or "no tensor"
            raise ChoiceError(
                f"preprocess gave {type(value).__name__} with {shapes}: one picture [1 3 height_px width_px] was "
                "expected in it, alone, by name, or as an argument of the module"
            )
        return cls(value, (batched or single)[0])

    @property
    def pixels(self) -> Tensor:
        """The picture with a batch axis."""
        return self.picture if self.picture.dim() == 4 else self.picture[None]

    @property
    def size_px(self) -> tuple[int, int]:
        """(height, width) of the picture within its padding, which is to the right and below.

        Raises: ChoiceError for a mask that is of another form.
        """
        height, width = self.picture.shape[-2:]
        for mask in _tensors(self.value):
            if mask is self.picture or mask.shape[-2:] != (height, width) or mask.numel() != height * width:
                continue
            if mask.is_floating_point() and not ((mask == 0) | (mask == 1)).all():
                continue  # numbers of another meaning
            marks = mask.reshape(height, width)
            is_picture = marks == marks[0, 0]  # some mark padding, some the picture, which begins in this corner
            rows, cols = int(is_picture.any(1).sum()), int(is_picture.any(0).sum())
            if not is_picture[:rows, :cols].all() or int(is_picture.sum()) != rows * cols:
                raise ChoiceError(
                    "preprocess gave a mask that is no picture at the top left with padding to the right and below it: "
                    "pad so, or not at all"
                )
            return rows, cols
        return height, width

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(side for part in _tensors(self.value) for side in part.shape)

    def to(self, device: torch.device, non_blocking: bool = False) -> "Given":
        return self._changed(lambda part: part.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Given":
        return self._changed(lambda part: part.pin_memory())

    def call(self, module: nn.Module, pixels: Tensor) -> Any:
        """The module's output for these arguments with ``pixels`` in place of the picture; all goes to their device."""
        own = pixels if self.picture.dim() == 4 else pixels[0]
        value = _mapped(self.value, lambda part: own if part is self.picture else part.to(own.device))
        if isinstance(value, Mapping):
            return module(**value)
        return module(*value) if isinstance(value, tuple) else module(value)

    def _changed(self, change: Callable[[Tensor], Tensor]) -> "Given":
        picture = change(self.picture)
        return Given(_mapped(self.value, lambda part: picture if part is self.picture else change(part)), picture)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    for part in _parts(value).values():
        yield from _tensors(part)


def _parts(value: Any) -> dict[Any, Any]:
    """What a container holds, or the tensors that an object (a ``NestedTensor``, say) has as attributes."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (tuple, list)):
        return dict(enumerate(value))
    if isinstance(value, (Tensor, nn.Module)):
        return {}
    return {name: part for name, part in getattr(value, "__dict__", {}).items() if isinstance(part, Tensor)}


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """``value`` with every tensor inside changed; what stays as it is is the same object."""
    if isinstance(value, Tensor):
        return change(value)
    before = _parts(value)
    parts = {key: _mapped(part, change) for key, part in before.items()}
    if all(part is before[key] for key, part in parts.items()):
        return value
    if isinstance(value, Mapping):
        return parts
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*parts.values())
    if isinstance(value, (tuple, list)):
        return type(value)(parts.values())
    changed = copy(value)
    changed.__dict__.update(parts)
    return changed
