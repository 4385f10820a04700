"""What samples come to: shares by level, what lies outside the picture, what is no number."""

import dataclasses

import numpy as np
import pytest

from detr_attnviz.drawing.samples import (
    heaviest,
    level_shares,
    levels_of,
    outside_share,
    points_per_map,
    seen_samples,
    unknown_count,
)
from detr_attnviz.explanation import Explanation, Samples
from tests.drawing.scenes import cross, photo, sampled


def by_hand(weights: tuple[float, ...] = (0.1, 0.4, 0.3, 0.2)) -> Explanation:
    """Four points, on a picture of 64 × 48: two on level 0, one on level 1, one of level 1 outside."""
    places = np.array([[[10, 10], [64, 48], [20, 30], [65, 10]]], dtype=np.float32)
    found = Samples(
        places, np.array([weights], dtype=np.float32), (0, 0, 1, 1), (8, 16), np.array([[5, 6]], dtype=np.float32)
    )
    return dataclasses.replace(cross(1, photo(64, 48)), samples=found)


def test_points_in_the_picture_come_heaviest_first() -> None:
    assert [(one.x, one.y, one.level) for one in seen_samples(by_hand(), 0)] == [(64, 48, 0), (20, 30, 1), (10, 10, 0)]
    assert [one.weight for one in seen_samples(by_hand(), 0)] == pytest.approx([0.4, 0.3, 0.1])


def test_shares_of_levels_and_of_what_is_outside() -> None:
    explanation = by_hand()
    assert level_shares(explanation, 0) == pytest.approx({0: 0.5, 1: 0.5})
    assert outside_share(explanation, 0) == pytest.approx(0.2)
    assert heaviest(explanation, 0) == pytest.approx(0.4)
    assert (levels_of(explanation), points_per_map(explanation)) == ([0, 1], 4)


def test_heaviest_is_one_that_is_seen() -> None:
    assert heaviest(by_hand((0.1, 0.0, 0.2, 0.7)), 0) == pytest.approx(0.2)


def test_of_a_chosen_level_only_its_points_count() -> None:
    explanation = dataclasses.replace(by_hand(), level=1)
    assert [one.level for one in seen_samples(explanation, 0)] == [1]
    assert heaviest(explanation, 0) == pytest.approx(0.3)
    assert level_shares(explanation, 0) == pytest.approx({1: 0.5})
    assert (levels_of(explanation), points_per_map(explanation)) == ([1], 2)


def test_points_without_a_number_count_for_nothing() -> None:
    explanation = by_hand((np.nan, 0.4, 0.3, np.inf))
    assert unknown_count(explanation, 0) == 2
    assert level_shares(explanation, 0) == pytest.approx({0: 0.4, 1: 0.3})
    assert outside_share(explanation, 0) == 0
    nowhere = by_hand().samples
    assert nowhere is not None
    places = nowhere.places.copy()
    places[0, 1] = np.nan
    lost = dataclasses.replace(by_hand(), samples=dataclasses.replace(nowhere, places=places))
    assert unknown_count(lost, 0) == 1
    assert heaviest(lost, 0) == pytest.approx(0.3)


def test_levels_and_what_is_outside_are_parts_of_one() -> None:
    explanation = sampled(3)
    for index in range(3):
        seen = sum(one.weight for one in seen_samples(explanation, index))
        assert seen + outside_share(explanation, index) == pytest.approx(1, abs=1e-5)
        assert sum(level_shares(explanation, index).values()) == pytest.approx(1, abs=1e-5)
