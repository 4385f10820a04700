"""Runs a model so that the gradients of its scores at chosen places can be asked for; nothing before them is kept.

Modules and parameters stay as they are. No graph is built up to the first place that a forward reaches, so that a
backbone runs as fast as ever and none of its activations are held.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
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
        if not scores.requires_grad:
            raise CaptureError(
                "the scores do not depend on attention in a way that has gradients: does the model's forward detach "
                "its output or turn gradients off (torch.no_grad)?"
            )
        return dict(zip(self.tensors, _backward(scores, list(self.tensors.values())), strict=True))


@contextmanager
def taped(places: Sequence[Place]) -> Iterator[Tape]:
    """Keeps the tensors at ``places`` with their graph while the block runs the model; lets go however it ends."""
    tape = Tape()
    with torch.inference_mode(False), torch.no_grad(), ExitStack() as stack:
        for place in places:
            stack.callback(_listen(tape, place).remove)
        yield tape


def _listen(tape: Tape, place: Place) -> "torch.utils.hooks.RemovableHandle":
    def keep(given: Any) -> Any:
        """``given`` with its first tensor replaced by the one that the graph starts from or goes through."""
        if not isinstance(given, Tensor):
            return (keep(given[0]), *given[1:])
        torch.set_grad_enabled(True)
        tensor = given if given.requires_grad else given.detach().requires_grad_()
        tape.tensors[place.name] = tensor
        return tensor

    if place.at == "input":
        return place.module.register_forward_pre_hook(lambda _, args: keep(args))
    return place.module.register_forward_hook(lambda _, args, output: keep(output))


def _backward(scores: Tensor, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    def one(row: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(scores, tensors, row, retain_graph=True, materialize_grads=True)

    rows = torch.eye(len(scores), dtype=scores.dtype, device=scores.device)
    with warnings.catch_warnings():
        # Some of PyTorch's own attention kernels go backward one row after the other; the numbers are the same.
        warnings.filterwarnings("ignore", "There is a performance drop")
        try:
            return torch.vmap(one)(rows)
        except RuntimeError:  # an operator of the model's own that cannot be batched
            return [torch.stack(found) for found in zip(*map(one, rows), strict=True)]
