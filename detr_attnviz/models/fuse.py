"""The same function, faster: frozen batch norms folded into their convolutions, memory format, kernels, precision.

The transformer, where the attention is, always stays in float32: a lower precision is the backbone's alone.
"""

from typing import Literal, TypeVar, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from detr_attnviz.errors import ChoiceError
from detr_attnviz.models import kernels, taped
from detr_attnviz.models.detr import DETR, Attention, Linear
from detr_attnviz.models.resnet import Block, FrozenBatchNorm2d, ResNet

Precision = Literal["official", "fp32", "bf16", "fp16"]
DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_Part = TypeVar("_Part", bound=nn.Module)


def fuse(model: DETR, precision: Precision = "fp32") -> None:
    """Makes ``model`` (in ``eval()``, on its device) faster in place.

    "fp32" moves its output by rounding alone; "bf16" and "fp16" are what the backbone then computes in; "official"
    leaves everything in the official order of operations. Weights that are not finite come through no faster kernel, as
    some make 0 of NaN: maps would look as if nothing were wrong. The transformer's parameters stay the tensors that
    they are; the backbone's are folded. Gradients still go through everything.

    Raises: ChoiceError for a precision that does not exist, or from which the device gains nothing.
    """
    device = next(model.parameters()).device
    dtype = torch.float32 if precision == "official" else _dtype_of(precision, device)
    if not _is_finite(model):
        _replace(model, Attention, PlainAttention)
        return
    if precision == "official":
        return
    model.backbone[0] = FusedBackbone(model.backbone[0].body, dtype, device)  # type: ignore[arg-type]
    model.input_proj = _as(FusedProjection, model.input_proj)
    _replace(model, Attention, FusedAttention)
    _replace(model, Linear, FusedLinear)


class FusedLinear(Linear):
    """The same layer on the faster kernel, its ReLU in the same pass."""

    def forward(self, x: Tensor) -> Tensor:
        return taped.linear(x, self.weight, self.bias)

    def relu(self, x: Tensor) -> Tensor:
        return kernels.linear(x, self.weight, self.bias, "relu")

    def feed(self, x: Tensor, second: Linear) -> Tensor:
        return taped.feed(x, self, second)


class FusedAttention(Attention):
    """The same attention, all its products on the faster kernel."""

    def project(self, x: Tensor, part: int) -> Tensor:
        return taped.linear(x, self.in_proj_weight.chunk(3)[part], self.in_proj_bias.chunk(3)[part])

    def mix(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return taped.attention(q, k, v, mask)

    def join(self, mixed: Tensor) -> Tensor:
        return taped.linear(mixed, self.out_proj.weight, self.out_proj.bias)


class PlainAttention(Attention):
    """The same attention in plain steps: PyTorch's fused kernel takes a row of NaN for one that may look nowhere."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        logits = q @ k.mT
        hidden = kernels.hidden_by(mask, q)
        return (logits if hidden is None else logits + hidden).softmax(-1) @ v


class FusedProjection(nn.Conv2d):
    """``input_proj`` with every token's numbers side by side in memory, as all that follows reads them."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).contiguous(memory_format=torch.channels_last)


class FusedBackbone(nn.Module):
    """``Backbone`` folded, inside in ``dtype``, with ReLU and sum done by the convolutions.

    Channels-last, but for the last two stages in float32 on a CPU: there oneDNN's channels-last kernels add up some
    thousand products in one chain, which doubles the rounding error of all that follows.
    """

    def __init__(self, body: ResNet, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        self.dtype = dtype
        is_exact = dtype is torch.float32 and device.type == "cpu"
        first, later = torch.channels_last, torch.contiguous_format if is_exact else torch.channels_last
        self.formats = (first, first, later, later)
        self.stem = _folded(body.conv1, body.bn1, dtype, first)
        self.stages = nn.ModuleList(
            nn.Sequential(*(FusedBlock(block, dtype, layout) for block in stage))  # type: ignore[arg-type]
            for stage, layout in zip(body.stages, self.formats, strict=True)
        )

    def forward(self, images: Tensor) -> Tensor:
        x = images.to(self.dtype, memory_format=self.formats[0])
        x = F.max_pool2d(kernels.convolution(self.stem, x, "relu"), 3, stride=2, padding=1)  # [B 64 H/4 W/4]
        for stage, layout in zip(self.stages, self.formats, strict=True):
            x = stage(kernels.laid_out(x, layout))
        return x.to(images.dtype)


class FusedBlock(nn.Module):
    """``Block`` folded."""

    def __init__(self, block: Block, dtype: torch.dtype, layout: torch.memory_format) -> None:
        super().__init__()
        self.steps = nn.ModuleList([_folded(convolution, norm, dtype, layout) for convolution, norm in block.steps])
        shortcut = block.downsample
        self.downsample = None if shortcut is None else _folded(shortcut[0], shortcut[1], dtype, layout)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        *first, last = self.steps
        y = x
        for step in first:
            y = kernels.convolution(step, y, "relu")  # type: ignore[arg-type]
        shortcut = x if self.downsample is None else kernels.convolution(self.downsample, x)
        return kernels.convolution_add_relu(last, y, shortcut)  # type: ignore[arg-type]


def _folded(
    convolution: nn.Conv2d, norm: FrozenBatchNorm2d, dtype: torch.dtype, layout: torch.memory_format
) -> nn.Conv2d:
    """One convolution for two steps; folded in float64, so that each weight is rounded once."""
    device = convolution.weight.device
    folded = fuse_conv_bn_eval(convolution.cpu().double(), norm.cpu().double())  # type: ignore[arg-type]
    return folded.to(device, dtype, memory_format=layout).requires_grad_(False)  # type: ignore[call-overload, no-any-return]


def _replace(model: DETR, kind: type[nn.Module], by: type[nn.Module]) -> None:
    """Every part of this kind in the transformer as a subclass of it."""
    for part in list(model.transformer.modules()):
        for name, child in part.named_children():
            if isinstance(child, kind):
                setattr(part, name, _as(by, child))


def _is_finite(model: DETR) -> bool:
    """Whether all weights are numbers, and those that folding makes of them."""
    norms = [part for part in model.modules() if isinstance(part, FrozenBatchNorm2d)]
    values = [*model.parameters(), *model.buffers(), *((norm.running_var + norm.eps).rsqrt() for norm in norms)]
    return all(bool(value.detach().sum().isfinite()) for value in values if value.is_floating_point())


def _as(kind: type[_Part], module: nn.Module) -> _Part:
    """The same module, parameters and all, as a subclass of its class."""
    part = kind.__new__(kind)
    part.__dict__.update(module.__dict__)
    return part


def _dtype_of(precision: Precision, device: torch.device) -> torch.dtype:
    if precision not in DTYPES:
        raise ChoiceError(f"no precision {precision!r}: choose {', '.join(get_args(Precision))}")
    faster = [name for name, dtype in DTYPES.items() if name != "fp32" and kernels.gains_from(dtype, device)]
    if precision not in ("fp32", *faster):
        raise ChoiceError(f"{precision} is not faster on this {device.type}: choose {' or '.join(['fp32', *faster])}")
    return DTYPES[precision]
