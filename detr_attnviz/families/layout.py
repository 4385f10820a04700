"""How a model's tokens lie on its input, learned from what it did with a few pictures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from detr_attnviz.errors import ChoiceError

Size = tuple[int, int]
"""(height, width) in pixels, or (rows, cols)."""


@dataclass(frozen=True)
class Level:
    """One feature map: a cell every ``stride_px``, and whether a cell that the input fills in part counts."""

    stride_px: int
    rounds_up: bool

    def shape(self, height_px: int, width_px: int) -> Size:
        """(rows, cols) on an input of this size."""
        rows, cols = height_px / self.stride_px, width_px / self.stride_px
        return (math.ceil(rows), math.ceil(cols)) if self.rounds_up else (int(rows), int(cols))


@dataclass(frozen=True)
class Seen:
    """One input's size and what became of it: each level's (rows, cols), or the ``tokens`` of a single one."""

    size_px: Size
    shapes: tuple[Size, ...] = ()
    tokens: int = 0


def learned(seen: Sequence[Seen]) -> tuple[Level, ...]:
    """The levels that all of ``seen`` agree with.

    Raises: ChoiceError when no stride does.
    """
    counts = {len(one.shapes) for one in seen}
    if len(counts) > 1:
        raise ChoiceError(
            f"sampled attention read {' or '.join(map(str, sorted(counts)))} levels of different pictures"
        )
    return tuple(_level(seen, number) for number in range(max(counts.pop(), 1)))


def _level(seen: Sequence[Seen], number: int) -> Level:
    """Strides that divide every side come first, then powers of two, then those of patches, which are never padded."""
    largest = max(max(one.size_px) for one in seen)
    found = [
        level
        for stride_px in range(1, largest + 1)
        for level in (Level(stride_px, True), Level(stride_px, False))
        if all(_agrees(level, one, number) for one in seen)
    ]
    if not found:
        raise ChoiceError(
            f"{'; '.join(_in_words(one, number) for one in seen)}: the cells of one regular grid were expected; use "
            "capture(module) and lay out the tokens yourself"
        )
    sides = [side for one in seen for side in one.size_px]

    def rank(level: Level) -> tuple[bool, bool, bool]:
        divides = all(side % level.stride_px == 0 for side in sides)
        is_power = level.stride_px.bit_count() == 1
        return not divides, not is_power, level.rounds_up and not (divides or is_power)

    return min(found, key=rank)


def _agrees(level: Level, seen: Seen, number: int) -> bool:
    shape = level.shape(*seen.size_px)
    return shape == seen.shapes[number] if seen.shapes else math.prod(shape) == seen.tokens


def _in_words(seen: Seen, number: int) -> str:
    height_px, width_px = seen.size_px
    found = f"{seen.tokens or 'no'} tokens"
    if seen.shapes:
        found = "a level {} of {}×{} cells (rows × cols)".format(number, *seen.shapes[number])
    return f"a {width_px}×{height_px} picture gave {found}"
