"""What silenced heads change."""

import numpy as np
import pytest
import torch

from detr_attnviz.detector import Detector, exact_inference
from detr_attnviz.evaluation.answers import Targets
from detr_attnviz.evaluation.copies import copied
from detr_attnviz.evaluation.heads import head_effects, sites_of
from detr_attnviz.families.base import Prediction
from detr_attnviz.models.fuse import fuse
from tests.tiny import drawn_picture, tiny_detector


@pytest.fixture(params=["official", "fused"])
def detector(request: pytest.FixtureRequest) -> Detector:
    made = tiny_detector()
    if request.param == "fused":
        fuse(made.family.model)  # type: ignore[attr-defined]
    return made


def test_sites_of_the_kinds_asked_for(detector: Detector) -> None:
    names = [site.name for site in sites_of(detector, ("encoder", "cross"))]
    assert names == ["encoder.0.self", "decoder.0.cross", "decoder.1.cross"]


@pytest.mark.parametrize("kind", ["cross", "encoder", "decoder-self"])
def test_effect_is_that_of_zeroed_columns(detector: Detector, kind: str) -> None:
    trace = detector.trace(drawn_picture())
    targets = Targets.of(trace, [3, 1])
    undisturbed = targets.answers(Prediction(trace.logits[None], trace.boxes[None]))[0]
    effects = head_effects(copied(detector), (kind,), trace.resumed, targets, undisturbed)
    site = sites_of(detector, (kind,))[-1]
    assert effects[site.name].shape == (2, 4, 3)
    weight = site.module.get_parameter("out_proj.weight")
    with torch.no_grad():
        weight[:, 16:24] = 0  # head 2 of 4 in a width of 32
    with exact_inference(detector.device):
        expected = targets.answers(detector.family.forward(trace.prepared.inputs))[0] - undisturbed
    np.testing.assert_allclose(effects[site.name][:, 2], expected, atol=1e-6)
    assert np.abs(expected).max() > 1e-4


def test_a_head_that_writes_nothing_changes_nothing(detector: Detector) -> None:
    with torch.no_grad():
        sites_of(detector, ("cross",))[0].module.get_parameter("out_proj.weight")[:, :8] = 0
    trace = detector.trace(drawn_picture())
    targets = Targets.of(trace, [0])
    undisturbed = targets.answers(Prediction(trace.logits[None], trace.boxes[None]))[0]
    effects = head_effects(copied(detector), ("cross",), trace.resumed, targets, undisturbed)
    assert not effects["decoder.0.cross"][:, 0].any()
    assert effects["decoder.0.cross"][:, 1].any()
