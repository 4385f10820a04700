"""Runs a model so that the gradients of its scores at chosen places can be asked for; nothing before them is kept.

Modules and parameters stay as they are. No graph is built up to the first place that a forward reaches, so that a
backbone runs as fast as ever and none of its activations are held.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import get_ident
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from detr_attnviz.errors import CaptureError


@dataclass(frozen=True)
class Place:
    """A tensor inside a model: the first one that ``module`` is given (``at`` "input") or gives ("output")."""

    name: str
    module: nn.Module
    at: Literal["input", "output"] = "output"


class Tape:
    """The tensors at the places of one forward, and the way from them to whatever came of it."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}

    def gradients(self, scores: Float[Tensor, " scores"]) -> Mapping[str, Tensor]:
        """For every place ``[scores *tensor]``: how each score changes with that tensor, all in one backward pass.

        Zero where a score does not depend on the place. Scores keep apart, as each has a row of its own.

        Raises: CaptureError when a score depends on none of the places.
        """
        found = _backward(scores, list(self.tensors.values())) if scores.requires_grad else None
        if found is None:
            raise CaptureError(
                "the scores do not depend on attention in a way that has gradients: does the model's forward detach "
                "its output or turn gradients off (torch.no_grad)?"
            )
        return dict(zip(self.tensors, found, strict=True))


@contextmanager
def taped(places: Sequence[Place]) -> Iterator[Tape]:
    """Keeps the tensors at ``places`` with their graph while the block runs the model; lets go however it ends.

    Only forwards of the thread that entered the block are kept.
    """
    tape = Tape()
    with torch.inference_mode(False), torch.no_grad(), ExitStack() as stack:
        for place in places:
            stack.callback(_listen(tape, place, get_ident()).remove)
        yield tape


def _listen(tape: Tape, place: Place, thread: int) -> "torch.utils.hooks.RemovableHandle":
    def keep(given: Any) -> Any:
        """``given`` with its first tensor replaced by one that the graph starts from or goes through."""
        if not isinstance(given, Tensor):
            return (keep(given[0]), *given[1:])
        torch.set_grad_enabled(True)
        tensor = given if given.requires_grad else given.detach().requires_grad_()
        tape.tensors[place.name] = tensor
        return tensor.clone()  # the model may go on to change its own in place

    if place.at == "output":
        return place.module.register_forward_hook(
            lambda module, args, output: keep(output) if get_ident() == thread else None
        )
    return place.module.register_forward_pre_hook(
        lambda module, args: keep(args) if args and get_ident() == thread else None
    )


def _backward(scores: Tensor, tensors: Sequence[Tensor]) -> Sequence[Tensor] | None:
    """By tensor ``[scores *tensor]``; None when no score depends on any."""
    is_reached = [False] * len(tensors)

    def one(row: Tensor) -> tuple[Tensor, ...]:
        found = torch.autograd.grad(scores, tensors, row, retain_graph=True, allow_unused=True)
        for place, gradient in enumerate(found):
            is_reached[place] |= gradient is not None
        pairs = zip(tensors, found, strict=True)
        return tuple(torch.zeros_like(tensor) if gradient is None else gradient for tensor, gradient in pairs)

    rows = torch.eye(len(scores), dtype=scores.dtype, device=scores.device)
    found = _together(one, rows)
    if found is None:
        found = [torch.stack(each) for each in zip(*map(one, rows), strict=True)]
    return found if any(is_reached) else None


def _together(one: Callable[[Tensor], tuple[Tensor, ...]], rows: Tensor) -> Sequence[Tensor] | None:
    """All rows in one backward pass; None for a model with an operator that cannot be batched."""
    with warnings.catch_warnings():
        # Some of PyTorch's own attention kernels go backward one row after the other; the numbers are the same.
        warnings.filterwarnings("ignore", "There is a performance drop")
        try:
            return torch.vmap(one)(rows)
        except RuntimeError:
            return None
