"""How many share a forward: halved until they fit, remembered, and nothing of a failed try is left."""

import weakref
from collections.abc import Callable, Sequence

import pytest
import torch

from detr_attnviz.batch.room import Room

CPU = torch.device("cpu")


def fitting(most: int, tried: list[int]) -> Callable[[Sequence[int]], list[int]]:
    """Doubles numbers, where there is memory for ``most`` at once."""

    def work(some: Sequence[int]) -> list[int]:
        tried.append(len(some))
        if len(some) > most:
            raise torch.OutOfMemoryError
        return [2 * one for one in some]

    return work


@pytest.mark.parametrize(
    ("most", "first", "later"), [(8, [8], [8]), (3, [8, 4, 2, 2, 2, 2], [2] * 4), (1, None, [1] * 8)]
)
def test_a_group_is_halved_until_it_fits_and_the_next_one_starts_there(
    most: int, first: list[int] | None, later: list[int]
) -> None:
    tried: list[int] = []
    room = Room(CPU)
    assert room.shared(range(8), 10, fitting(most, tried)) == [2 * one for one in range(8)]
    assert tried == (first or [8, 4, 2, *[1] * 8])
    tried.clear()
    assert room.shared(range(8), 10, fitting(most, tried)) == [2 * one for one in range(8)]
    assert tried == later


def test_what_large_ones_taught_is_scaled_to_others() -> None:
    room, tried = Room(CPU), list[int]()
    room.shared(range(8), 10, fitting(4, tried))
    tried.clear()
    room.shared(range(8), 5, fitting(8, tried))
    room.shared(range(8), 20, fitting(2, tried))
    room.shared(range(2), 1000, fitting(1, tried))
    assert tried == [8, 2, 2, 2, 2, 1, 1]


def test_one_that_does_not_fit_alone_is_none_and_leaves_the_others_their_company() -> None:
    room, tried = Room(CPU), list[int]()
    assert room.shared([1], 1000, fitting(0, tried)) == [None]
    assert room.shared(range(4), 10, fitting(4, tried)) == [0, 2, 4, 6]
    assert tried == [1, 4]


def test_each_shrinking_is_said_in_one_line() -> None:
    notes: list[str] = []
    room = Room(torch.device("mps"), notes.append)
    for _ in range(3):
        room.shared(range(8), 10, fitting(2, []))
    assert len(notes) == 1
    assert "not enough memory on mps for 8 pictures in one forward: they go 2 at a time from here on" in notes[0]
    room.shared(range(8), 10, fitting(1, []))
    assert "they go one at a time from here on" in notes[1]


def test_a_bug_is_raised() -> None:
    def broken(some: Sequence[int]) -> list[int]:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        Room(CPU).shared(range(8), 10, broken)


def test_what_a_failed_try_had_made_is_gone_before_the_next() -> None:
    class Activations:
        """In a circle, as frames and tracebacks may be."""

        def __init__(self) -> None:
            self.circle = self

    made: list[weakref.ref[Activations]] = []

    def hungry(some: Sequence[int]) -> list[int]:
        assert all(one() is None for one in made)
        activations = Activations()
        if len(some) > 1:
            made.append(weakref.ref(activations))
            raise MemoryError(activations)
        return list(some)

    assert Room(CPU).shared(range(4), 1, hungry) == [0, 1, 2, 3]
    assert len(made) == 2
