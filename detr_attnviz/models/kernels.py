"""oneDNN's convolution and matrix product with what follows done in the same pass, where they can be had.

On processors where PyTorch's matrix product does not use their full vector width, oneDNN's runs at twice the speed.
PyTorch's own compiler emits these operators, but they are no documented interface: they are tried on a small case
first, and where they are missing, wrong or of no use (a gradient is wanted, another device or dtype) PyTorch's
documented functions do the same.
"""

import platform
from collections.abc import Iterator
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
        return fast_linear(x, weight, bias, after)
    y = F.linear(x, weight, bias)
    return F.relu_(y) if after == "relu" else y


def convolution(layer: nn.Conv2d, x: Tensor, after: After = "none") -> Tensor:
    """``after(layer(x))``; channels-last input is taken as it lies in memory."""
    if _is_fast(x, layer.weight):
        return _fast_convolution(layer, x, after)
    y: Tensor = layer(x)
    return F.relu_(y) if after == "relu" else y


def convolution_add_relu(layer: nn.Conv2d, x: Tensor, shortcut: Tensor) -> Tensor:
    """``relu(layer(x) + shortcut)``; ``shortcut`` may be overwritten."""
    if _is_fast(x, layer.weight):
        return _fast_convolution_add_relu(layer, x, shortcut)
    return F.relu_(layer(x) + shortcut)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """``softmax(q kᵀ) v`` of ``[B heads T dim]``; ``mask`` is True where a query may look.

    For many queries one head after the other, a block of queries at a time, so that weights never leave the cache.
    """
    if q.shape[2] < _MANY_QUERIES or not _is_fast(q, k):
        return F.scaled_dot_product_attention(q, k, v, mask, scale=1.0)
    return mixed(q, k, v, hidden_by(mask, q))


def hidden_by(mask: Tensor | None, like: Tensor) -> Tensor | None:
    """What to add to logits so that nothing is seen where ``mask`` is False."""
    return None if mask is None else torch.zeros_like(mask, dtype=like.dtype).masked_fill_(~mask, -torch.inf)


def mixed(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor | None) -> Tensor:
    """``softmax(q kᵀ + hidden) v`` on oneDNN's kernel, without gradients; ``hidden`` is ``[B 1 1 tokens]``."""
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
    """Whether ``device`` computes in bf16 or fp16 by itself, and so faster than in float32."""
    is_bf16 = dtype is torch.bfloat16
    if device.type == "cuda":
        return not is_bf16 or torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "mps":
        return not is_bf16 or torch.backends.mps.is_macos_or_newer(14, 0)
    if device.type != "cpu":
        return True
    if not torch.backends.mkldnn.is_available():
        return False
    if is_bf16 and platform.machine().lower() in ("x86_64", "amd64"):
        return _says_yes(torch.cpu, "_is_avx512_bf16_supported")  # oneDNN says yes where it emulates, too
    return _says_yes(torch.ops.mkldnn, f"_is_mkldnn_{'bf16' if is_bf16 else 'fp16'}_supported")


def _says_yes(home: object, name: str) -> bool:
    """Undocumented questions, which another release may not know."""
    try:
        return bool(getattr(home, name)())
    except (AttributeError, RuntimeError):
        return False


def _is_fast(x: Tensor, weight: Tensor) -> bool:
    return not torch.is_grad_enabled() and can_take(x, weight)  # these operators have no gradients


def can_take(x: Tensor, *others: Tensor) -> bool:
    """Whether oneDNN's operators take these tensors, gradients apart."""
    return (
        x.device.type == "cpu"
        and all(x.dtype is other.dtype for other in others)
        and x.dtype in (torch.float32, torch.bfloat16, torch.float16)
        and bool(torch.backends.mkldnn.enabled)
        and _operators_work(x.dtype)
    )


def _mix(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor | None) -> Tensor:
    """One head: ``[queries dim]``, ``[tokens dim]`` twice, and what to add to its logits ``[1 tokens]``."""
    k, v = k.contiguous(), v.t().contiguous()
    blocks = []
    for block in q.contiguous().split(rows_at_once(len(k))):
        blocks.append(fast_linear(attention_weights(block, k, hidden), v))
    return torch.cat(blocks)


def rows_at_once(tokens: int) -> int:
    """So many queries that a block of their weights stays in the cache."""
    return max(1, _BLOCK_WEIGHTS // tokens)


def attention_weights(q: Tensor, k: Tensor, hidden: Tensor | None) -> Tensor:
    """One head's ``softmax(q kᵀ + hidden)`` on oneDNN's kernel, without gradients; ``hidden`` is ``[1 tokens]``."""
    logits = fast_linear(q, k)
    return (logits if hidden is None else logits.add_(hidden)).softmax(-1)


def fast_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, after: After = "none") -> Tensor:
    """``linear`` on oneDNN's operator, whose gradients nobody knows."""
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
    # Whatever the caller's autocast and default device are, the answer is for good.
    with torch.autocast("cpu", enabled=False), torch.device("cpu"), torch.no_grad():
        try:
            pairs = list(_tried(dtype))
        except (AttributeError, RuntimeError, TypeError):
            return False
        return all(torch.allclose(one.float(), expected, rtol=1e-2, atol=1e-2) for one, expected in pairs)


def _tried(dtype: torch.dtype) -> Iterator[tuple[Tensor, Tensor]]:
    """What every operator gives for a small case, and what it should give."""
    layer = skip_init(nn.Conv2d, 16, 16, 1, dtype=dtype).requires_grad_(False)  # draws no random number
    weight, bias = torch.linspace(-1, 1, 256, dtype=dtype).view(16, 16), torch.linspace(0, 1, 16, dtype=dtype)
    layer.load_state_dict({"weight": weight[:, :, None, None], "bias": bias})
    x = torch.linspace(-2, 2, 16 * 4, dtype=dtype).view(1, 2, 2, 16).permute(0, 3, 1, 2)
    tokens = _rows(x)
    plain = F.linear(tokens.float(), weight.float(), bias.float())
    yield fast_linear(tokens, weight, bias), plain
    yield fast_linear(tokens, weight, bias, "relu"), plain.relu()
    yield _rows(_fast_convolution(layer, x, "none")), plain
    yield _rows(_fast_convolution(layer, x, "relu")), plain.relu()
    yield _rows(_fast_convolution_add_relu(layer, x, x.clone())), (plain + tokens).relu()


def _rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).flatten(0, 2)
