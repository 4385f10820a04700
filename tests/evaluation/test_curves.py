"""Deletion and insertion on a detector whose logit is one cell's brightness."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from detr_attnviz.batch.room import Room
from detr_attnviz.errors import ImageError
from detr_attnviz.evaluation.curves import curves
from detr_attnviz.evaluation.settings import BASELINES, DIRECTIONS, QUANTITIES
from detr_attnviz.families.base import Prediction
from tests.evaluation.fakes import disturbances_of, picture_of

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
PICTURE = picture_of([[1.0, 0.0], [0.2, 0.4]])
MEAN = 0.4
DELETION, INSERTION = map(DIRECTIONS.index, ("deletion", "insertion"))
FILLED = BASELINES.index("mean-filled")
LOGIT, IOU, SCORE = map(QUANTITIES.index, ("logit", "iou", "score"))


def test_the_logit_falls_when_its_cell_goes_and_rises_when_it_comes() -> None:
    disturbances, _ = disturbances_of(PICTURE, [0])
    found = curves(disturbances, {"a": [np.array([3, 0, 1, 2])]}, SHARES, batch_size=4)["a"][0, FILLED]
    np.testing.assert_allclose(found[DELETION, :, LOGIT], [1, 1, MEAN, MEAN, MEAN], rtol=1e-5)
    np.testing.assert_allclose(found[INSERTION, :, LOGIT], [MEAN, MEAN, 1, 1, 1], rtol=1e-5)


def test_iou_with_the_undisturbed_box_and_score_of_the_class() -> None:
    disturbances, _ = disturbances_of(PICTURE, [0])
    found = curves(disturbances, {"a": [np.array([0, 1, 2, 3])]}, SHARES, batch_size=4)["a"][0, FILLED, DELETION]
    np.testing.assert_allclose(found[:, IOU], [1, *[(1 + MEAN) / 2] * 4], rtol=1e-5)
    score = np.exp(MEAN) / (np.exp(MEAN) + 1 + np.exp(-9))
    np.testing.assert_allclose(found[1:, SCORE], score, rtol=1e-5)


def test_every_query_is_followed_by_its_own_map() -> None:
    disturbances, _ = disturbances_of(PICTURE, [1, 0])
    orders = {"first": [np.array([1, 0, 2, 3])] * 2, "last": [np.array([3, 2, 1, 0])] * 2}
    found = curves(disturbances, orders, SHARES, batch_size=3)
    of_query_1 = found["first"][0, FILLED, DELETION, :, LOGIT]
    of_query_0 = found["last"][1, FILLED, DELETION, :, LOGIT]
    np.testing.assert_allclose(of_query_1, [0, MEAN, MEAN, MEAN, MEAN], atol=1e-6)
    np.testing.assert_allclose(of_query_0, [1, 1, 1, 1, MEAN], rtol=1e-5)


def test_baselines_fill_differently() -> None:
    disturbances, _ = disturbances_of(picture_of([[1.0, 1.0, 1.0, 0, 0, 0, 0, 0]]), [0])
    found = curves(disturbances, {"a": [np.arange(8)]}, SHARES, batch_size=4)["a"][0, :, DELETION, -1, LOGIT]
    assert found[FILLED] == pytest.approx(3 / 8, rel=1e-5)
    assert found[BASELINES.index("blurred")] > 0.9  # a blur of a tenth of 4 px hardly reaches over three white cells


def test_masks_that_maps_and_queries_share_are_run_once() -> None:
    disturbances, family = disturbances_of(PICTURE, [0, 1])
    same = [np.array([0, 1, 2, 3])] * 2
    curves(disturbances, {"a": same, "b": same}, SHARES, batch_size=100)
    # Deletion leaves {1 2 3}, {2 3}, {3} or nothing, insertion {0}, {0 1}, {0 1 2} or nothing; the whole is known.
    assert disturbances.forwards == sum(family.batches) == 7 * len(BASELINES)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_forwards_are_batched_and_the_answers_stay(batch_size: int) -> None:
    disturbances, family = disturbances_of(PICTURE, [0])
    order = {"a": [np.array([2, 0, 3, 1])]}
    found = curves(disturbances, order, SHARES, batch_size)["a"]
    assert max(family.batches) == min(batch_size, 7)
    alone, _ = disturbances_of(PICTURE, [0])
    np.testing.assert_allclose(found, curves(alone, order, SHARES, 1)["a"], rtol=1e-6)


def test_the_undisturbed_picture_is_not_run_again() -> None:
    disturbances, family = disturbances_of(PICTURE, [0])
    found = curves(disturbances, {"a": [np.arange(4)]}, (0.0, 1.0), batch_size=4)["a"][0]
    assert sum(family.batches) == len(BASELINES)  # the wholly removed picture
    assert (found[:, DELETION, 0] == disturbances.undisturbed[0]).all()
    assert (found[:, INSERTION, 1] == disturbances.undisturbed[0]).all()


def test_forwards_shrink_to_the_memory_there_is_and_the_answers_stay() -> None:
    order, notes = {"a": [np.array([2, 0, 3, 1])]}, list[str]()
    expected = curves(disturbances_of(PICTURE, [0])[0], order, SHARES, 1)["a"]
    disturbances, family = disturbances_of(PICTURE, [0])
    forward, sizes = family.forward, list[int]()

    def scarce(inputs: Mapping[str, Tensor]) -> Prediction:
        sizes.append(len(inputs["images"]))
        if sizes[-1] > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(inputs)

    family.forward = scarce  # type: ignore[method-assign]
    room = Room(torch.device("cpu"), notes.append)
    np.testing.assert_allclose(curves(disturbances, order, SHARES, 100, room)["a"], expected, rtol=1e-6)
    assert sizes == [7, 3, *[1] * 7 * len(BASELINES)]
    assert len(notes) == 1


def test_no_memory_for_one_disturbed_picture_is_the_pictures_fault() -> None:
    disturbances, family = disturbances_of(PICTURE, [0])

    def full(inputs: Mapping[str, Tensor]) -> Prediction:
        raise torch.OutOfMemoryError("CUDA out of memory")

    family.forward = full  # type: ignore[method-assign]
    with pytest.raises(ImageError, match="not enough memory for this picture: a smaller --shortest-px needs less"):
        curves(disturbances, {"a": [np.arange(4)]}, SHARES, 4)
