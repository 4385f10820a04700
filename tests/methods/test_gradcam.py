"""Grad-CAM of the backbone's last features."""

import pytest
import torch
from torch.testing import assert_close

import detr_attnviz as av
from detr_attnviz.errors import ChoiceError
from detr_attnviz.methods.gradcam import gradcam
from tests.families.test_module import Notebook
from tests.tiny import drawn_picture, tiny_detector

pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning")  # the fork's own


@pytest.mark.parametrize("changes", [{}, {"pre_norm": True}, {"notebook": True}])
def test_what_autograd_gives_through_the_whole_model(changes: dict[str, object]) -> None:
    trace = tiny_detector(**changes).trace(drawn_picture())
    model = trace.detector.family.model  # type: ignore[attr-defined]
    features = model.backbone[0](trace.prepared.inputs["images"]).detach().requires_grad_()
    logits = model(trace.prepared.inputs["images"], features=model.input_proj(features)).logits[0]
    expected = []
    for query in (2, 5):
        score = logits[query, trace.detections[query].label]
        (gradient,) = torch.autograd.grad(score, features, retain_graph=True)
        expected.append((gradient.mean((2, 3), keepdim=True) * features).sum(1)[0].relu().detach())
    found = gradcam(trace, [2, 5])
    assert_close(found, torch.stack(expected), atol=1e-6, rtol=1e-4)
    assert found.max() > 0


def test_a_model_without_a_projection_says_what_is_missing() -> None:
    trace = av.load(Notebook().eval(), device="cpu").trace(drawn_picture(), shortest_px=128)
    with pytest.raises(ChoiceError, match="no single convolution called input_proj"):
        gradcam(trace, [0])


class ProjectedBackbone(torch.nn.Conv2d):
    """Patches, then a projection under the name that DETRs give it."""

    def __init__(self) -> None:
        super().__init__(3, 8, 32, 32)
        self.input_proj = torch.nn.Conv2d(8, 16, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        projected: torch.Tensor = self.input_proj(super().forward(images))
        return projected


def test_a_fork_with_a_projection() -> None:
    fork = Notebook().eval()
    fork.backbone = ProjectedBackbone()
    trace = av.load(fork, device="cpu").trace(drawn_picture(), shortest_px=128)
    assert gradcam(trace, [0, 1]).shape == (2, 4, 6)


def test_features_that_are_no_cells_of_the_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = tiny_detector().trace(drawn_picture())
    early = trace.detector.family.model.get_submodule("backbone.0.body.layer1.0.conv2")  # type: ignore[attr-defined]
    monkeypatch.setattr(trace.detector.family, "projection", lambda: early)
    with pytest.raises(ChoiceError, match=r"last features are 32 × 48, but the picture's grid is 4 × 6"):
        gradcam(trace, [0])
