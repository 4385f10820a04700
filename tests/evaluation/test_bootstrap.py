"""Means with their spread over pictures."""

import numpy as np
import pytest

from detr_attnviz.evaluation.bootstrap import FEWEST_PICTURES, Bootstrap, Estimate


def one_each(pictures: int) -> Bootstrap:
    return Bootstrap(np.arange(pictures))


def test_mean_and_ratio_of_sums() -> None:
    bootstrap = Bootstrap(np.array([0, 0, 1]))
    assert bootstrap.mean(np.array([1.0, 2, 6])).estimate().value == 3
    assert bootstrap.ratio(np.array([1.0, 2, 6]), np.array([1.0, 1, 4])).estimate().value == 1.5


def test_standard_error_is_that_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(size=400)
    found = one_each(400).mean(values).estimate()
    expected = values.std() / np.sqrt(400)
    assert found.standard_error == pytest.approx(expected, rel=0.1)
    assert found.low is not None
    assert found.high is not None
    assert found.value - found.low == pytest.approx(1.96 * expected, rel=0.15)
    assert found.high - found.value == pytest.approx(1.96 * expected, rel=0.15)


def test_queries_of_a_picture_are_no_independent_witnesses() -> None:
    values = np.random.default_rng(0).normal(size=100)
    alone = one_each(100).mean(values).estimate()
    fourfold = Bootstrap(np.repeat(np.arange(100), 4)).mean(np.repeat(values, 4)).estimate()
    assert fourfold == alone


def test_differences_are_paired() -> None:
    common = np.random.default_rng(0).normal(size=50)
    drawn = one_each(50).mean(np.stack([common, common + 0.01], axis=1))
    error = drawn.estimate(0).standard_error
    assert error is not None
    assert error > 0.1
    difference = drawn.minus(0).estimate(1)
    assert difference.value == pytest.approx(0.01)
    assert difference.standard_error == pytest.approx(0, abs=1e-12)
    assert difference.is_surely_not_zero
    assert drawn.minus(0).estimate(0) == Estimate(0, 0, 0, 0)


def test_one_picture_has_no_spread_and_few_have_no_interval() -> None:
    assert one_each(1).mean(np.array([2.0])).estimate() == Estimate(2)
    few = one_each(FEWEST_PICTURES - 1).mean(np.arange(FEWEST_PICTURES - 1.0)).estimate()
    assert few.standard_error is not None
    assert (few.low, few.high, few.is_surely_not_zero) == (None, None, False)
    assert one_each(FEWEST_PICTURES).mean(np.ones(FEWEST_PICTURES)).estimate().is_surely_not_zero


def test_no_number_where_the_lower_sum_is_not_positive() -> None:
    found = one_each(2).ratio(np.array([1.0, 1]), np.array([1.0, -1])).estimate()
    assert np.isnan(found.value)
    assert found.standard_error is None


def test_what_is_not_finite_stays_visible() -> None:
    assert np.isnan(one_each(12).mean(np.array([1.0] * 11 + [np.nan])).estimate().value)


def test_same_numbers_again() -> None:
    values = np.random.default_rng(0).normal(size=(20, 3))
    assert one_each(20).mean(values).estimate(1) == one_each(20).mean(values).estimate(1)


def test_of_two_pictures_the_standard_error_is_that_of_a_mean_of_two() -> None:
    assert one_each(2).mean(np.array([0.0, 1])).estimate().standard_error == pytest.approx(0.5, rel=0.03)


def test_what_has_no_number_is_left_out_where_asked() -> None:
    found = one_each(3).mean_of_known(np.array([[1.0, np.nan], [np.nan, np.nan], [3, np.nan]]))
    assert found.estimate(0).value == 2
    assert np.isnan(found.estimate(1).value)
