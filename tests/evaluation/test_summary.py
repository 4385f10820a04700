"""Means, areas and comparisons, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from detr_attnviz.evaluation.summary import AREA, EMPTY, KEPT, SANITY, Measure, summarise, trapezoid
from tests.evaluation.fakes import evaluation_of, query_result

DELETION = Measure(KEPT, "logit", "deletion", "blurred")


def test_trapezoids_of_unequal_steps() -> None:
    # (4+2)/2·0.2 + (2+1)/2·0.8
    assert np.array([4.0, 2, 1]) @ trapezoid((0.0, 0.2, 1.0)) == pytest.approx(0.6 + 1.2)


def test_area_and_the_logit_kept() -> None:
    evaluation = evaluation_of([[query_result({"raw": [10, 4, 2], "raw:max": [10, 8, 2]})]])
    scores = summarise(evaluation).scores
    area = scores[Measure(AREA, "logit", "deletion", "blurred")]
    assert area["raw"].estimate.value == pytest.approx((7 + 3) / 2)
    kept = scores[DELETION]
    assert kept["raw"].estimate.value == pytest.approx((5 - 2) / (10 - 2))
    assert kept["raw:max"].estimate.value == pytest.approx((7 - 2) / (10 - 2))


def test_kept_is_a_ratio_of_means_not_a_mean_of_ratios() -> None:
    # areas 5 and 0.5 from 10 and 1 to 2 and 1.0 - a single ratio of the second query would be without end
    steep = query_result({"raw": [10, 4, 2], "raw:max": [10, 4, 2]})
    flat = query_result({"raw": [1, 0, 1], "raw:max": [1, 0, 1]})
    found = summarise(evaluation_of([[steep], [flat]])).scores[DELETION]["raw"]
    assert found.estimate.value == pytest.approx(((5 - 2) + (0.5 - 1)) / ((10 - 2) + (1 - 1)))


def test_less_is_better_for_deletion_and_more_for_insertion() -> None:
    query = query_result({"raw": [1, 0.2, 0], "raw:max": [1, 0.6, 0]})
    scores = summarise(evaluation_of([[query]] * 12)).scores
    assert scores[DELETION]["raw"].is_best
    worse = scores[DELETION]["raw:max"]
    assert not worse.is_best
    assert worse.versus_best is not None
    assert worse.versus_best.value == pytest.approx(0.2)
    insertion = scores[Measure(AREA, "iou", "insertion", "mean-filled")]
    assert [name for name, score in insertion.items() if score.is_best] == ["raw:max"]


def test_methods_that_cannot_be_told_apart_are_both_best() -> None:
    noise = np.random.default_rng(0).normal(size=12)
    pictures = [[query_result({"raw": [1, 0.2, 0], "raw:max": [1, 0.2 + one / 9, 0]})] for one in noise - noise.mean()]
    assert all(score.is_best for score in summarise(evaluation_of(pictures)).scores[DELETION].values())


def test_controls_are_never_the_best() -> None:
    query = query_result({"raw": [1, 0.9, 0], "random": [1, 0.1, 0], "shuffled weights": [1, 0.5, 0]})
    scores = summarise(evaluation_of([[query]] * 12, methods="raw", has_controls=True)).scores[DELETION]
    assert [name for name, score in scores.items() if score.is_best] == ["raw"]


def test_places_have_chance_and_no_better() -> None:
    query = query_result({"raw": [1, 0, 0], "raw:max": [1, 0, 0]}, energy=0.7)
    summary = summarise(evaluation_of([[query]] * 12))
    energy = summary.scores[Measure("energy")]
    assert energy["raw"].estimate.value == pytest.approx(0.7)
    assert energy["raw"].versus_best is None
    assert not energy["raw"].is_best
    assert summary.chance[Measure("energy")].value == pytest.approx(0.25)


def test_sanity_belongs_to_methods_with_controls() -> None:
    curve = [1.0, 0, 0]
    query = query_result({"raw": curve, "random": curve, "shuffled weights": curve}, sanity=0.3)
    summary = summarise(evaluation_of([[query]], methods="raw", has_controls=True))
    assert {name: score.estimate.value for name, score in summary.scores[Measure(SANITY)].items()} == {
        "raw": pytest.approx(0.3)
    }
    alone = summarise(evaluation_of([[query_result({"raw": curve}, sanity=None)]], methods="raw"))
    assert Measure(SANITY) not in alone.scores
    assert alone.scores[Measure(EMPTY)]["raw"].estimate.value == 0


def test_curves_are_means_over_queries() -> None:
    one, two = query_result({"raw": [1, 0, 0]}), query_result({"raw": [3, 2, 1]})
    summary = summarise(evaluation_of([[one, two]], methods="raw"))
    curve = summary.curves[0]
    assert (curve.map, curve.quantity, curve.direction, curve.baseline) == ("raw", "logit", "deletion", "blurred")
    assert [point.value for point in curve.points] == pytest.approx([2, 1, 0.5])
    assert len(summary.curves) == 3 * 2 * 2
    assert (summary.pictures, summary.queries) == (1, 2)


def test_heads_are_means_over_queries() -> None:
    queries = [query_result({"raw": [1, 0, 0]}, heads=heads) for heads in ((-1.0, 0.5), (-3.0, 0.5))]
    effects = summarise(evaluation_of([queries], methods="raw")).heads
    assert [(effect.site, effect.head) for effect in effects] == [("decoder.0.cross", 0), ("decoder.0.cross", 1)]
    assert [effect.logit.value for effect in effects] == pytest.approx([-2, 0.5])
    assert effects[0].iou.value == pytest.approx(-0.2)


def test_pictures_without_queries_count_for_nothing() -> None:
    query = query_result({"raw": [1, 0, 0]})
    summary = summarise(evaluation_of([[], [query], []], methods="raw"))
    assert (summary.pictures, summary.queries) == (1, 1)
    nothing = summarise(evaluation_of([[]], methods="raw"))
    assert (nothing.pictures, nothing.queries, nothing.scores) == (0, 0, {})


def test_copies_of_a_picture_are_no_further_witnesses() -> None:
    pictures = [[query_result({"raw": [1, part, 0], "raw:max": [1, 0.6, 0]})] for part in (0.1, 0.3)]
    once = evaluation_of(pictures)
    again = replace(once, pictures=once.pictures + tuple(replace(one, picture="copy.png") for one in once.pictures))
    found = summarise(again)
    assert (found.copies, found.pictures, found.queries) == (2, 2, 2)
    assert found.scores[DELETION] == summarise(once).scores[DELETION]


def test_with_few_pictures_nothing_is_the_best() -> None:
    query = query_result({"raw": [1, 0.2, 0], "raw:max": [1, 0.6, 0]})
    assert not any(score.is_best for score in summarise(evaluation_of([[query]] * 3)).scores[DELETION].values())
