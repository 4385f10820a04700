"""The backbone against torchvision's."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.models.resnet import ResNet as TorchvisionResNet

from detr_attnviz.models.resnet import Backbone, FrozenBatchNorm2d, ResNetShape

SHAPES = [
    ResNetShape(blocks=(1, 2, 1, 2)),
    ResNetShape(blocks=(1, 1, 1, 3), dilation=True),
    ResNetShape(blocks=(1, 2, 1, 1), bottleneck=False),
    ResNetShape(blocks=(1, 1, 2, 1), groups=4, width_per_group=16),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_backbone_is_torchvisions_to_the_bit(shape: ResNetShape) -> None:
    ours = Backbone(shape)
    theirs = TorchvisionResNet(
        Bottleneck if shape.bottleneck else BasicBlock,
        list(shape.blocks),
        groups=shape.groups,
        width_per_group=shape.width_per_group,
        replace_stride_with_dilation=[False, False, shape.dilation],
        norm_layer=FrozenBatchNorm2d,
    )
    del theirs.fc, theirs.avgpool
    for value in ours.body.state_dict().values():
        value.add_(0.1 * torch.rand_like(value))
    theirs.load_state_dict(ours.body.state_dict())
    x = torch.randn(1, 3, 70, 50)
    expected = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))
    expected = theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(expected))))
    assert torch.equal(ours(x), expected)


def test_frozen_batch_norm_is_batch_norm_in_eval() -> None:
    official, frozen = nn.BatchNorm2d(3).eval(), FrozenBatchNorm2d(3)
    for name, value in frozen.state_dict().items():
        value.copy_(torch.rand_like(value) + 0.5)
        official.state_dict()[name].copy_(value)
    x = torch.randn(2, 3, 4, 4)
    assert_close(frozen(x), official(x))


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        (ResNetShape(blocks=(1, 1, 1, 1)), (2048, 3, 4)),
        (ResNetShape(blocks=(1, 1, 1, 1), dilation=True), (2048, 5, 7)),
        (ResNetShape(blocks=(1, 1, 1, 1), bottleneck=False), (512, 3, 4)),
        (ResNetShape(blocks=(1, 1, 1, 1), expansion=1, width_per_group=32, dilation=True), (512, 5, 7)),
    ],
)
def test_backbone_sizes(shape: ResNetShape, size: tuple[int, int, int]) -> None:
    with torch.inference_mode():
        found = Backbone(shape)(torch.randn(1, 3, 72, 100))
    assert tuple(found.shape[1:]) == size
    assert shape.channels == size[0]
    assert size[1:] == (math.ceil(72 / shape.stride_px), math.ceil(100 / shape.stride_px))
