"""How many pictures there is memory for at once: halved until they fit, and remembered for the rest of a run."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import torch

from detr_attnviz.memory import OUT_OF_MEMORY, give_back_freed, is_out_of_memory

Item = TypeVar("Item")
Result = TypeVar("Result")


def unheard(note: str) -> None:
    """Where nobody wants to know."""


class Room:
    """What one run has learnt of the memory of ``device``.

    ``say`` is told when fewer pictures share a forward than before.
    """

    def __init__(self, device: torch.device, say: Callable[[str], None] = unheard) -> None:
        self.device = device
        self._say = say
        self._most = sys.maxsize  # numbers that go into one forward

    def shared(
        self, items: Sequence[Item], numbers: int, work: Callable[[Sequence[Item]], Sequence[Result]]
    ) -> list[Result | None]:
        """What ``work`` gives for ``items``, as many at a time as there is memory for; None for one that has none.

        ``numbers`` go into a forward for each: what was learnt of large pictures leaves small ones more company. One
        alone is always tried, as it may be another program that left no memory a moment ago.
        """
        found: list[Result | None] = []
        before = self._most
        while len(found) < len(items):
            some = items[len(found) : len(found) + self._fitting(numbers)]
            results = tried(self.device, partial(work, some))
            if results is None and len(some) > 1:
                self._most = len(some) // 2 * numbers
            else:
                found.extend([None] if results is None else results)
        if self._most < before:
            self._say(_shrunk(len(items), self._fitting(numbers), self.device))
        return found

    def _fitting(self, numbers: int) -> int:
        return max(1, self._most // max(1, numbers))


def tried(device: torch.device, work: Callable[[], Result]) -> Result | None:
    """What ``work`` gives, None when memory runs out; what it had made by then is free again."""
    try:
        return work()
    except OUT_OF_MEMORY as error:
        if not is_out_of_memory(error):
            raise
    give_back_freed(device)  # only here is the error gone
    return None


def _shrunk(wanted: int, fitting: int, device: torch.device) -> str:
    together = "one at a time from here on" if fitting == 1 else f"{fitting} at a time from here on, fewer if larger"
    return (
        f"not enough memory on {device.type} for {wanted} pictures in one forward: they go {together} "
        f"(--batch-size {fitting} begins so)"
    )
