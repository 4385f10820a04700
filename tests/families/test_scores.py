"""What logits and boxes say."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from detr_attnviz.detections import NO_CLASS
from detr_attnviz.families.scores import detections_of, sigmoid_scores, softmax_scores
from detr_attnviz.grid import Grid


def test_softmax_drops_no_object() -> None:
    assert_close(softmax_scores(torch.tensor([[1.0, 1.0, 3.0]]).log()), torch.tensor([[0.2, 0.2]]))


def test_sigmoid_keeps_every_class() -> None:
    assert_close(sigmoid_scores(torch.tensor([[0.0, 3.0, 1.0]]).log()), torch.tensor([[0.0, 0.75, 0.5]]))


def test_a_box_is_in_original_pixels() -> None:
    grid = Grid(4, 6, 32, height_px=100, width_px=200, input_height_px=128, input_width_px=192)
    scores, boxes = torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([[0.5, 0.5, 0.2, 0.4], [0.1, 0.2, 0.2, 0.4]])
    first, second = detections_of(scores, boxes, grid, ("cat", ""))
    assert (first.index, first.label, first.name) == (0, 1, "class 1")
    assert_close(torch.tensor(first.box), torch.tensor([80.0, 30.0, 120.0, 70.0]))
    assert (second.index, second.label, second.name) == (1, 0, "cat")


@pytest.mark.parametrize("scores_of", [softmax_scores, sigmoid_scores])
def test_query_whose_scores_hold_nan_has_no_class(scores_of: Callable[[Tensor], Tensor]) -> None:
    nan = float("nan")
    logits = torch.tensor([[nan] * 3, [9, nan, 0], [0, 9, 0]])
    grid = Grid(4, 6, 32, height_px=100, width_px=200, input_height_px=128, input_width_px=192)
    found = detections_of(scores_of(logits), torch.full((3, 4), 0.5), grid, ("cat", "dog", "last"))
    assert [(one.label, one.name) for one in found] == [(NO_CLASS, "no class")] * 2 + [(1, "dog")]
    assert [one.title for one in found[:2]] == ["no class NaN"] * 2
