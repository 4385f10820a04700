"""Shuffled models and silenced heads, always on copies."""

import pytest
import torch
from torch import nn

from detr_attnviz.detector import Detector, exact_inference
from detr_attnviz.errors import CaptureError
from detr_attnviz.evaluation.copies import copied, heads_of, shuffled, silenced
from detr_attnviz.sites import AttentionSite
from tests.evaluation.fakes import PixelFamily
from tests.tiny import drawn_picture, tiny_detector


def parameters(detector: Detector) -> dict[str, torch.Tensor]:
    model = detector.family.model  # type: ignore[attr-defined]
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def test_every_parameter_keeps_its_values_in_another_order() -> None:
    detector = tiny_detector()
    before, after = parameters(detector), parameters(shuffled(detector, 0))
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(value.flatten().sort().values, after[name].flatten().sort().values), name
        if len(value.unique()) > 20:
            assert not torch.equal(value, after[name]), name


def test_the_user_s_model_stays_as_it_is() -> None:
    detector = tiny_detector()
    before = parameters(detector)
    shuffled(detector, 0)
    assert all(torch.equal(value, before[name]) for name, value in parameters(detector).items())


def test_the_seed_makes_the_order() -> None:
    detector = tiny_detector()
    one, same, other = (parameters(shuffled(detector, seed))["class_embed.weight"] for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_silenced_head_writes_nothing_and_speaks_again_afterwards() -> None:
    detector = copied(tiny_detector())
    site = detector.sites[-1]
    weight = site.module.get_parameter("out_proj.weight")
    before = weight.detach().clone()
    dim = before.shape[1] // heads_of(site)
    with silenced(site, 1):
        assert not weight[:, dim : 2 * dim].any()
        kept = [column for column in range(before.shape[1]) if not dim <= column < 2 * dim]
        assert torch.equal(weight[:, kept], before[:, kept])
    assert torch.equal(weight, before)


def test_a_head_speaks_again_also_when_the_forward_fails() -> None:
    site = copied(tiny_detector()).sites[-1]
    before = site.module.get_parameter("out_proj.weight").detach().clone()
    with pytest.raises(RuntimeError, match="failed"), silenced(site, 0):
        raise RuntimeError("failed")
    assert torch.equal(site.module.get_parameter("out_proj.weight"), before)


def test_silencing_all_heads_leaves_the_bias_of_attention() -> None:
    detector = copied(tiny_detector())
    site = detector.sites[-1]
    inputs = detector.prepare(drawn_picture()).inputs
    outputs = []
    handle = site.module.register_forward_hook(lambda module, args, output: outputs.append(output[0]))
    with exact_inference(detector.device), silenced(site, 0), silenced(site, 1), silenced(site, 2), silenced(site, 3):
        detector.family.forward(inputs)
    handle.remove()
    bias = site.module.get_parameter("out_proj.bias")
    torch.testing.assert_close(outputs[0], bias.expand_as(outputs[0]))


def test_attention_of_another_class_is_told_in_words() -> None:
    site = AttentionSite("decoder.0.cross", "decoder-cross", 0, nn.Linear(2, 2))
    with pytest.raises(
        CaptureError, match="decoder.0.cross joins its heads by no projection called out_proj.*--heads none"
    ):
        heads_of(site)


def test_a_detector_without_a_module_is_told_in_words() -> None:
    with pytest.raises(CaptureError, match="no module whose weights could be shuffled.*--no-controls"):
        shuffled(Detector(PixelFamily()), 0)


def test_a_module_that_cannot_be_copied_is_told_in_words() -> None:
    detector = tiny_detector()
    detector.family.not_a_leaf = torch.ones(1, requires_grad=True) * 2  # type: ignore[attr-defined]
    with pytest.raises(CaptureError, match="cannot be copied.*--no-controls --heads none"):
        copied(detector)
