"""One call of attention, kept as it was: what went in, the module's weights, and the autocast that it ran under."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from detr_attnviz.errors import CaptureError, ChoiceError
from detr_attnviz.recording.held import Held, autocast_of, same_autocast, twin_with

_Answer = TypeVar("_Answer")


class KeptCall:
    """What went into ``module`` and its weights, as they were at the call; ``asked`` reads them later.

    With ``copy`` clones are kept, so that nothing done to the model or its activations afterwards can reach them, else
    references that refuse to answer once they were changed in place.
    """

    def __init__(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], weights: Sequence[str], copy: bool
    ) -> None:
        self.module = module
        self._inputs: dict[int, Held] = {}
        self.args = tuple(self._keep(value, copy) for value in args)
        self.kwargs = {name: self._keep(value, copy) for name, value in kwargs.items()}
        named = dict(module.named_parameters(remove_duplicate=False))
        self._weights = {name: Held.of(named[name], copy) for name in weights}
        self._autocast = autocast_of(args, kwargs)

    def _keep(self, value: Any, copy: bool) -> Any:
        """The same tensor given twice stays one, as readers may ask whether query *is* key."""
        if isinstance(value, (tuple, list)) and any(isinstance(part, Tensor) for part in value):
            return type(value)(self._keep(part, copy) for part in value) if type(value) in (tuple, list) else value
        if not isinstance(value, Tensor):
            return value
        if id(value) not in self._inputs:
            self._inputs[id(value)] = Held.of(value, copy)
        return self._inputs[id(value)].tensor

    def asked(
        self,
        reader: Callable[..., _Answer],
        *given: Any,
        without_inputs: frozenset[int] = frozenset(),
        without_weights: frozenset[str] = frozenset(),
    ) -> _Answer:
        """What ``reader`` makes of the module, as it was at the call, and ``given``.

        Raises: CaptureError if what it needs (all but the inputs and weights named) was changed in place since and not
        copied.
        """
        inputs = [held for key, held in self._inputs.items() if key not in without_inputs]
        weights = [held for name, held in self._weights.items() if without_weights.isdisjoint(name.split("."))]
        for what, needed in (("what went into attention", inputs), ("its weights", weights)):
            if not all(tensor.is_unchanged for tensor in needed):
                raise CaptureError(
                    f"{what} changed in place after the forward, and no copy was kept: ask for maps before the "
                    "change, or capture with copy=True"
                )
        found = {name: held.tensor for name, held in self._weights.items()}
        with torch.no_grad(), same_autocast(self._autocast):
            return reader(twin_with(self.module, found), *given)

    @property
    def nbytes(self) -> int:
        """Bytes of the inputs, each counted once."""
        return sum(held.tensor.nbytes for held in self._inputs.values())


def checked(indices: int | Sequence[int] | None, size: int, what: str) -> list[int]:
    """``indices`` as a list, all of ``range(size)`` for None.

    Raises: ChoiceError naming the valid range.
    """
    if indices is None:
        return list(range(size))
    chosen = [indices] if isinstance(indices, int) else [int(index) for index in indices]
    wrong = [index for index in chosen if not 0 <= index < size]
    if wrong:
        valid = f"{what} must be in 0–{size - 1}" if size else "there are none here"
        raise ChoiceError(f"no {what} {wrong[0]}: {valid}")
    return chosen


def wide(x: Tensor) -> Tensor:
    """``x`` in float32 or wider."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
