"""oneDNN's convolution and matrix product with what follows done in the same pass, where they can be had.

On processors where PyTorch's matrix product does not use their full vector width, oneDNN's runs at twice the speed.
PyTorch's own compiler emits these operators, but they are no documented interface: they are tried on a small case
first, and where they are missing, wrong or of no use (a gradient is wanted, another device or dtype) PyTorch's
documented functions do the same.
"""

from functools import cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

After = Literal["none", "relu"]
_MANY_QUERIES = 256
_BLOCK_WEIGHTS = 1 << 20  # 4 MB


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, after: After = "none") -> Tensor:
    """``after(x weightᵀ + bias)``."""
    if _is_fast(x, weight):
        return _fast_linear(x, weight, bias, after)
    y = F.linear(x, weight, bias)
    return F.relu(y) if after == "relu" else y


def convolution(layer: nn.Conv2d, x: Tensor, after: After = "none") -> Tensor:
    """``after(layer(x))``; channels-last input is taken as it lies in memory."""
    if _is_fast(x, layer.weight):
        return _fast_convolution(layer, x, after)
    y: Tensor = layer(x)
    return F.relu(y) if after == "relu" else y


def convolution_add_relu(layer: nn.Conv2d, x: Tensor, shortcut: Tensor) -> Tensor:
    """``relu(layer(x) + shortcut)``; ``shortcut`` may be overwritten."""
    if _is_fast(x, layer.weight):
        return _fast_convolution_add_relu(layer, x, shortcut)
    return F.relu(layer(x) + shortcut)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """``softmax(q kᵀ) v`` of ``[B heads T dim]``; ``mask`` is True where a query may look.

    For many queries one head after the other, a block of queries at a time, so that weights never leave the cache.
    """
    if q.shape[2] < _MANY_QUERIES or not _is_fast(q, k):
        return F.scaled_dot_product_attention(q, k, v, mask, scale=1.0)
    hidden = None if mask is None else torch.zeros_like(mask, dtype=q.dtype).masked_fill_(~mask, -torch.inf)
    mixed = [
        _mix(q[picture, head], k[picture, head], v[picture, head], None if hidden is None else hidden[picture, 0])
        for picture in range(q.shape[0])
        for head in range(q.shape[1])
    ]
    return torch.stack(mixed).view_as(q)


def laid_out(x: Tensor, layout: torch.memory_format) -> Tensor:
    """``x [B C h w]`` in ``layout``."""
    if x.shape[0] != 1 or layout is not torch.contiguous_format or x.is_contiguous():
        return x.contiguous(memory_format=layout)
    # PyTorch transposes a matrix two to five times as fast as it lays out an image anew.
    return x[0].permute(1, 2, 0).flatten(0, 1).t().contiguous().view(x.shape)


def gains_from(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether ``device`` computes faster in bf16 or fp16 than in float32."""
    if device.type != "cpu":
        return True
    name = "_is_mkldnn_bf16_supported" if dtype is torch.bfloat16 else "_is_mkldnn_fp16_supported"
    return bool(torch.backends.mkldnn.is_available() and getattr(torch.ops.mkldnn, name)())


def _is_fast(x: Tensor, weight: Tensor) -> bool:
    wants_gradient = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    return (
        not wants_gradient
        and x.device.type == "cpu"
        and x.dtype is weight.dtype
        and x.dtype in (torch.float32, torch.bfloat16, torch.float16)
        and bool(torch.backends.mkldnn.enabled)
        and _operators_work(x.dtype)
    )


def _mix(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor | None) -> Tensor:
    """One head: ``[queries dim]``, ``[tokens dim]`` twice, and what to add to its logits ``[1 tokens]``."""
    k, v = k.contiguous(), v.t().contiguous()
    blocks = []
    for block in q.contiguous().split(max(1, _BLOCK_WEIGHTS // len(k))):
        logits = _fast_linear(block, k, None, "none")
        weights = (logits if hidden is None else logits.add_(hidden)).softmax(-1)
        blocks.append(_fast_linear(weights, v, None, "none"))
    return torch.cat(blocks)


def _fast_linear(x: Tensor, weight: Tensor, bias: Tensor | None, after: After) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, after, [], "")  # type: ignore[no-any-return]


def _fast_convolution(layer: nn.Conv2d, x: Tensor, after: After) -> Tensor:
    return torch.ops.mkldnn._convolution_pointwise(  # type: ignore[no-any-return]
        x, layer.weight, layer.bias, layer.padding, layer.stride, layer.dilation, layer.groups, after, [], ""
    )


def _fast_convolution_add_relu(layer: nn.Conv2d, x: Tensor, shortcut: Tensor) -> Tensor:
    where = layer.padding, layer.stride, layer.dilation, layer.groups
    return torch.ops.mkldnn._convolution_pointwise_.binary(  # type: ignore[no-any-return]
        shortcut, x, layer.weight, layer.bias, *where, "add", 1.0, "relu", [], ""
    )


@cache
def _operators_work(dtype: torch.dtype) -> bool:
    layer = skip_init(nn.Conv2d, 16, 16, 1, device="cpu", dtype=dtype).requires_grad_(False)  # draws no random number
    weight, bias = torch.linspace(-1, 1, 256, dtype=dtype).view(16, 16), torch.linspace(0, 1, 16, dtype=dtype)
    layer.load_state_dict({"weight": weight[:, :, None, None], "bias": bias})
    x = torch.linspace(-2, 2, 16 * 4, dtype=dtype).view(1, 2, 2, 16).permute(0, 3, 1, 2)
    tokens = x.permute(0, 2, 3, 1).flatten(0, 2)
    plain = F.linear(tokens.float(), weight.float(), bias.float())
    try:
        with torch.no_grad():
            found = [
                (_fast_linear(tokens, weight, bias, "none"), plain),
                (_fast_linear(tokens, weight, bias, "relu"), plain.relu()),
                (_rows(_fast_convolution(layer, x, "none")), plain),
                (_rows(_fast_convolution(layer, x, "relu")), plain.relu()),
                (_rows(_fast_convolution_add_relu(layer, x, x.clone())), (plain + tokens).relu()),
            ]
    except (AttributeError, RuntimeError, TypeError):
        return False
    return all(torch.allclose(one.float(), expected, rtol=1e-2, atol=1e-2) for one, expected in found)


def _rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).flatten(0, 2)
