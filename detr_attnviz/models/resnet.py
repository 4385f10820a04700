"""The backbone: a ResNet up to its last stage, with frozen batch norms, under torchvision's names.

He et al. 2016, "Deep Residual Learning for Image Recognition" (arXiv 1512.03385), with the stride in a
bottleneck's 3×3 convolution. Written out here because torchvision takes a second to import.
Shapes in trailing comments: B batch, H W pixels, h w cells.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STAGES = ("layer1", "layer2", "layer3", "layer4")


@dataclass(frozen=True)
class ResNetShape:
    """What distinguishes one ResNet from another; the defaults are ResNet-50.

    ``dilation`` keeps the last stage at stride 16 and dilates it instead ("DC5").
    """

    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    bottleneck: bool = True
    expansion: int = 4
    width_per_group: int = 64
    groups: int = 1
    dilation: bool = False

    @property
    def channels(self) -> int:
        """Channels of the last stage's output."""
        return self.stage_channels(3)

    @property
    def stride_px(self) -> int:
        """Input pixels from one cell of the last stage to the next."""
        return 16 if self.dilation else 32

    def stage_channels(self, stage: int) -> int:
        """Channels that a stage, counted from 0, gives."""
        return (64 << stage) * (self.expansion if self.bottleneck else 1)


class FrozenBatchNorm2d(nn.Module):
    """Batch normalisation with fixed statistics, eps 1e-5, in the official order of operations."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    eps: float = 1e-5

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale[:, None, None] + shift[:, None, None]


class Block(nn.Module):
    """A residual block: two 3×3 convolutions, or a bottleneck's 1×1, 3×3 and 1×1.

    ``steps`` are its (convolution, norm) pairs in order; ``downsample`` brings the shortcut to the same shape.
    """

    def __init__(self, inputs: int, shape: ResNetShape, stage: int, stride: int, dilation: int) -> None:
        super().__init__()
        width, outputs = 64 << stage, shape.stage_channels(stage)
        inner = width * shape.width_per_group // 64 * shape.groups
        if shape.bottleneck:
            convolutions = [
                nn.Conv2d(inputs, inner, 1, bias=False),
                _conv3x3(inner, inner, stride, dilation, shape.groups),
                nn.Conv2d(inner, outputs, 1, bias=False),
            ]
        else:
            convolutions = [_conv3x3(inputs, width, stride), _conv3x3(width, outputs)]
        for number, convolution in enumerate(convolutions, 1):
            self.add_module(f"conv{number}", convolution)
            self.add_module(f"bn{number}", FrozenBatchNorm2d(convolution.out_channels))
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), FrozenBatchNorm2d(outputs)
            )

    @property
    def steps(self) -> list[tuple[nn.Conv2d, FrozenBatchNorm2d]]:
        parts = self._modules
        count = sum(name.startswith("conv") for name in parts)
        return [(parts[f"conv{number}"], parts[f"bn{number}"]) for number in range(1, count + 1)]  # type: ignore[misc]

    def forward(self, x: Tensor) -> Tensor:
        *first, (convolution, norm) = self.steps
        y = x
        for earlier, earlier_norm in first:
            y = F.relu_(earlier_norm(earlier(y)))
        y = norm(convolution(y))
        return F.relu_(y + (x if self.downsample is None else self.downsample(x)))


def _conv3x3(inputs: int, outputs: int, stride: int = 1, dilation: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, groups=groups, bias=False)


class ResNet(nn.Module):
    """The stem and four stages: ``[B 3 H W] → [B channels h w]``."""

    def __init__(self, shape: ResNetShape) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = FrozenBatchNorm2d(64)
        inputs = 64
        for stage, (name, blocks) in enumerate(zip(STAGES, shape.blocks, strict=True)):
            is_dilated = shape.dilation and stage == 3
            first, later = (1 if stage == 0 or is_dilated else 2), (2 if is_dilated else 1)
            outputs = shape.stage_channels(stage)
            # As in torchvision, a dilated stage's first block is not dilated yet.
            stack = [Block(inputs, shape, stage, first, 1)]
            stack += [Block(outputs, shape, stage, 1, later) for _ in range(blocks - 1)]
            self.add_module(name, nn.Sequential(*stack))
            inputs = outputs

    @property
    def stages(self) -> list[nn.Sequential]:
        return [self.get_submodule(name) for name in STAGES]  # type: ignore[misc]

    def forward(self, images: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu_(self.bn1(self.conv1(images))), 3, stride=2, padding=1)  # [B 64 H/4 W/4]
        for stage in self.stages:
            x = stage(x)
        return x


class Backbone(nn.Module):
    """The ResNet under its official name, ``body``."""

    def __init__(self, shape: ResNetShape) -> None:
        super().__init__()
        self.body = ResNet(shape)

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images)  # type: ignore[no-any-return]
