"""A checkpoint of the official demo notebook's model gives what that model gives, written out here on its own."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from torchvision.models import resnet18

import detr_attnviz as av
from tests.tiny import drawn_picture

pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning")


class NotebookDetr(nn.Module):
    """ResNet features, learned positions added to the input, PyTorch's transformer, two linear heads."""

    def __init__(self, classes: int = 5, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.backbone = resnet18()
        del self.backbone.fc
        self.conv = nn.Conv2d(512, width, 1)
        self.transformer = nn.Transformer(width, heads, 2, 2, 64)
        self.linear_class = nn.Linear(width, classes + 1)
        self.linear_bbox = nn.Linear(width, 4)
        self.query_pos = nn.Parameter(torch.rand(12, width))
        self.row_embed = nn.Parameter(torch.rand(50, width // 2))
        self.col_embed = nn.Parameter(torch.rand(50, width // 2))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        body = self.backbone
        x = body.maxpool(body.relu(body.bn1(body.conv1(images))))
        features = self.conv(body.layer4(body.layer3(body.layer2(body.layer1(x)))))
        rows, cols = features.shape[-2:]
        across = self.col_embed[:cols][None].repeat(rows, 1, 1)
        down = self.row_embed[:rows][:, None].repeat(1, cols, 1)
        positions = torch.cat([across, down], dim=-1).flatten(0, 1)[:, None]
        tokens = positions + 0.1 * features.flatten(2).permute(2, 0, 1)
        state = self.transformer(tokens, self.query_pos[:, None]).transpose(0, 1)
        return self.linear_class(state), self.linear_bbox(state).sigmoid()


@pytest.fixture
def notebook() -> NotebookDetr:
    model = NotebookDetr()
    for name, value in model.state_dict().items():
        if "running_" in name or ".norm" in name:
            value.add_(0.2 * torch.rand_like(value))
    return model.eval()


def test_logits_boxes_and_maps(notebook: NotebookDetr, tmp_path: Path) -> None:
    torch.save(notebook.state_dict(), tmp_path / "demo.pth")
    trace = av.load(tmp_path / "demo.pth", device="cpu", nheads=4).trace(drawn_picture(), shortest_px=160)
    attention = notebook.transformer.decoder.layers[1].multihead_attn
    seen: list[Tensor] = []
    attention.register_forward_hook(
        lambda module, args, kwargs, _: seen.append(
            module.forward(*args, **kwargs | {"need_weights": True, "average_attn_weights": False})[1]
        ),
        with_kwargs=True,
    )
    with torch.no_grad():
        logits, boxes = notebook(trace.prepared.inputs["images"])
    assert_close(trace.logits, logits[0], atol=1e-4, rtol=0)
    assert_close(trace.boxes, boxes[0], atol=1e-5, rtol=0)
    assert_close(trace.attention("decoder.1.cross").flatten(2), seen[0][0], atol=1e-5, rtol=0)
