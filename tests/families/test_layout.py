"""Strides learned from what pictures became."""

import pytest

from detr_attnviz.errors import ChoiceError
from detr_attnviz.families.layout import Level, Seen, learned

SIZES = ((256, 256), (256, 291))


@pytest.mark.parametrize(
    "level", [Level(32, True), Level(32, False), Level(16, True), Level(8, True), Level(14, False)]
)
def test_one_level_is_learned_from_token_counts(level: Level) -> None:
    seen = [Seen(size, tokens=level.shape(*size)[0] * level.shape(*size)[1]) for size in SIZES]
    assert learned(seen) == (level,)


def test_levels_are_learned_from_their_shapes() -> None:
    levels = (Level(8, True), Level(16, True), Level(32, False), Level(64, True))
    assert learned([Seen(size, tuple(level.shape(*size) for level in levels)) for size in SIZES]) == levels


@pytest.mark.parametrize(("size", "shape"), [((640, 640), (20, 20)), ((560, 560), (40, 40)), ((800, 1333), (25, 42))])
def test_an_input_of_one_fixed_size_is_enough(size: tuple[int, int], shape: tuple[int, int]) -> None:
    (level,) = learned([Seen(size, tokens=shape[0] * shape[1])])
    assert level.shape(*size) == shape
    assert level.stride_px == {640: 32, 560: 14, 800: 32}[size[0]]


def test_tokens_that_are_no_grid() -> None:
    with pytest.raises(ChoiceError, match=r"256×256 picture gave 8 tokens: the cells of one regular grid.*capture"):
        learned([Seen((256, 256), tokens=8)])
    with pytest.raises(ChoiceError, match="gave no tokens"):
        learned([Seen((256, 256))])


def test_a_level_of_another_aspect() -> None:
    with pytest.raises(ChoiceError, match=r"256×256 picture gave a level 1 of 8×4 cells \(rows × cols\)"):
        learned([Seen((256, 256), ((32, 32), (8, 4)))])


def test_levels_that_come_and_go() -> None:
    with pytest.raises(ChoiceError, match="1 or 2 levels"):
        learned([Seen((256, 256), ((8, 8),)), Seen((256, 291), ((8, 10), (4, 5)))])
