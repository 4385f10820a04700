"""What a script saved beside tensors may be of any type and size; what makes no sense is quoted shortly."""

from typing import Any

import pytest

from detr_attnviz.checkpoints.preparation import saved_preparation
from detr_attnviz.checkpoints.saved import quoted, truth, whole

HUGE = 10**5000
"""More digits than Python writes out, pytest in its names of tests neither."""


@pytest.mark.parametrize(
    ("value", "number"), [(8, 8), (8.0, 8), ("8", 8), (" 8 ", 8), ("٨", 8), ((1 << 31) - 1, (1 << 31) - 1)]
)
def test_whole_numbers(value: object, number: int) -> None:
    assert whole(value) == number


@pytest.mark.parametrize(
    "value",
    [0, -1, 1.5, True, None, "", "x", "-8", "²", "9" * 5000, 1 << 31, HUGE, 1e300, float("inf"), float("nan"), [8]],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_whole_number(value: object) -> None:
    assert whole(value) is None


@pytest.mark.parametrize(
    "value",
    [HUGE, [HUGE], {"a": HUGE}, "x" * 10_000, "\x1b[31m\n\u202e", [[[[[[[[1]]]]]]]], b"\xff" * 999],
    ids=lambda value: type(value).__name__,
)
def test_quotes_are_short_and_printable(value: object) -> None:
    said = quoted("nheads", value)
    assert said.startswith("nheads=")
    assert said.isprintable()
    assert len(said) < 120


def test_truth_of_a_huge_number() -> None:
    assert truth(HUGE) is None


@pytest.mark.parametrize(
    "args",
    [
        {"shortest_px": HUGE},
        {"shortest_px": 10**6},
        {"longest_px": HUGE},
        {"preprocessor_config": {"size": HUGE}},
        {"preprocessor_config": {"size": {"shortest_edge": 10**6, "longest_edge": 10**9}}},
        {"preprocessor_config": {"size": {"shortest_edge": [], "longest_edge": {}}}},
        {"mean": [HUGE] * 3},
        {"mean": "x" * 10_000},
    ],
)
def test_preparation_of_sizes_that_make_no_sense_is_the_usual_one_and_said(args: dict[str, Any]) -> None:
    notes: list[str] = []
    found = saved_preparation(args, notes)
    assert found.shortest_px == 800
    assert found.mean == (0.485, 0.456, 0.406)
    assert "not used" in notes[0]
    assert all(note.isprintable() and len(note) < 400 for note in notes)
