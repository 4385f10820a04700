"""Logit, IoU and score of chosen queries, by hand."""

import numpy as np
import pytest
import torch

from detr_attnviz.detections import Detection
from detr_attnviz.evaluation.answers import Targets, overlap
from detr_attnviz.families.base import Prediction
from detr_attnviz.families.scores import softmax_scores


def test_answers_of_two_pictures() -> None:
    box = (0.0, 0.0, 1.0, 1.0)
    undisturbed = torch.tensor([[0.5, 0.5, 0.2, 0.2]])
    targets = Targets((Detection(1, 0.9, 0, "cat", box),), undisturbed, softmax_scores)
    logits = torch.tensor([[[9.0, 9, 9], [1, 2, 3]], [[9, 9, 9], [0, 0, 0]]])
    boxes = torch.tensor([[[0.1, 0.1, 0.1, 0.1], [0.5, 0.5, 0.2, 0.2]], [[0.1, 0.1, 0.1, 0.1], [0.6, 0.5, 0.2, 0.2]]])
    answers = targets.answers(Prediction(logits, boxes))
    assert answers.shape == (2, 1, 3)
    score = np.exp(1) / (np.exp(1) + np.exp(2) + np.exp(3))
    np.testing.assert_allclose(answers[:, 0], [[1, 1, score], [0, 1 / 3, 1 / 3]], rtol=1e-6)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((0.5, 0.5, 0.2, 0.4), (0.5, 0.5, 0.2, 0.4), 1),
        ((0.2, 0.5, 0.2, 0.2), (0.8, 0.5, 0.2, 0.2), 0),
        ((0.5, 0.5, 0.4, 0.4), (0.5, 0.5, 0.2, 0.2), 0.25),
        ((0.5, 0.5, 0.0, 0.0), (0.5, 0.5, 0.0, 0.0), 0),
    ],
)
def test_overlap(one: tuple[float, ...], other: tuple[float, ...], expected: float) -> None:
    assert overlap(torch.tensor(one), torch.tensor(other)).item() == pytest.approx(expected)
