"""Orders of cells, and how alike they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detr_attnviz.evaluation.ranking import is_empty, kept, rank_correlation, ranked

PLAIN = np.arange(4)


def test_highest_first() -> None:
    assert ranked(np.array([[0.1, 0.4], [0.3, 0.2]]), PLAIN).tolist() == [1, 2, 3, 0]


def test_equal_cells_stand_in_the_order_given() -> None:
    assert ranked(np.array([1.0, 2, 1, 2]), np.array([3, 2, 1, 0])).tolist() == [3, 1, 2, 0]


def test_what_is_no_number_comes_last() -> None:
    assert ranked(np.array([np.nan, -5.0, 2, 0]), PLAIN).tolist() == [2, 3, 1, 0]


def test_deletion_removes_what_insertion_alone_leaves() -> None:
    order = np.array([2, 0, 3, 1])
    assert kept(order, 0.25, "deletion").tolist() == [True, True, False, True]
    assert kept(order, 0.25, "insertion").tolist() == [False, False, True, False]


@pytest.mark.parametrize(("share", "count"), [(0, 0), (0.1, 1), (0.25, 1), (0.35, 2), (0.5, 3), (1, 5)])
def test_shares_are_rounded_to_whole_cells(share: float, count: int) -> None:
    assert kept(np.arange(5), share, "insertion").sum() == count  # of 5 cells: half a cell is rounded up


def test_rank_correlation_by_hand() -> None:
    assert rank_correlation(np.array([1.0, 2, 3]), np.array([10.0, 20, 90])) == pytest.approx(1)
    assert rank_correlation(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == pytest.approx(-1)
    assert rank_correlation(np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])) == pytest.approx(0.8)
    # ranks 1.5 1.5 3 against 1 2 3
    assert rank_correlation(np.array([1.0, 1, 3]), np.array([1.0, 2, 3])) == pytest.approx(1.5 / np.sqrt(1.5 * 2))


def test_an_empty_map_is_like_no_other() -> None:
    assert rank_correlation(np.zeros(3), np.array([1.0, 2, 3])) == 0
    assert rank_correlation(np.zeros(3), np.zeros(3)) == 0


@given(st.lists(st.integers(0, 9), min_size=2, max_size=30))
def test_rank_correlation_needs_the_order_alone(values: list[int]) -> None:
    one = np.array(values, float)
    other = np.roll(one, 1)
    found = rank_correlation(one, other)
    assert -1 - 1e-12 <= found <= 1 + 1e-12
    assert rank_correlation(np.exp(one), other) == pytest.approx(found)


def test_empty_maps() -> None:
    assert is_empty(np.zeros((2, 2)))
    assert is_empty(np.full((2, 2), np.nan))
    assert not is_empty(np.array([[0, 0], [0, 1e-30]]))
