"""Fused kernels whose gradients can be asked for, written for many cotangents at once.

Explaining a detection asks how its score changes with activations, never with weights, and asks it for many
detections. Each product here goes backward on the same fast kernel, and what the cotangents share (an attention's
weights above all) is computed once for all of them: the ``vmap`` rules take the axis that batched gradients add.
Where a weight wants a gradient itself, or nothing does, ``kernels`` takes its usual ways.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from detr_attnviz.models import kernels
from detr_attnviz.models.kernels import fast_linear


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``x weightᵀ + bias``."""
    if _is_taped(x, constants=(weight, bias)):
        return _Linear.apply(x, weight, bias)  # type: ignore[no-any-return]
    return kernels.linear(x, weight, bias)


def feed(x: Tensor, first: nn.Linear, second: nn.Linear) -> Tensor:
    """``second(relu(first(x)))``."""
    parameters = first.weight, first.bias, second.weight, second.bias
    if _is_taped(x, constants=parameters):
        return _FeedForward.apply(x, *parameters)[0]  # type: ignore[no-any-return]
    return kernels.linear(kernels.linear(x, first.weight, first.bias, "relu"), second.weight, second.bias)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """``softmax(q kᵀ) v`` of ``[B heads T dim]``; ``mask`` is True where a query may look."""
    if _is_taped(q, k, v):
        return _Mix.apply(q, k, v, kernels.hidden_by(mask, q))  # type: ignore[no-any-return]
    return kernels.attention(q, k, v, mask)


def _is_taped(*given: Tensor, constants: tuple[Tensor | None, ...] = ()) -> bool:
    present = [constant for constant in constants if constant is not None]
    return (
        torch.is_grad_enabled()
        and any(x.requires_grad for x in given)
        and not any(constant.requires_grad for constant in present)
        and kernels.can_take(*given, *present)
    )


class _Linear(Function):
    """``x weightᵀ + bias``."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return fast_linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        return _Linear.apply(gradient, weight.t().contiguous(), None), None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, int]:
        return _Linear.apply(x.movedim(in_dims[0], 0), weight, bias), 0


class _FeedForward(Function):
    """``relu(x weight1ᵀ + bias1) weight2ᵀ + bias2``, and what the ReLU gave."""

    @staticmethod
    def forward(x: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor) -> tuple[Tensor, Tensor]:
        inner = fast_linear(x, weight1, bias1, "relu")
        return fast_linear(inner, weight2, bias2), inner

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1], inputs[1], inputs[3])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, None, None, None, None]:
        return _FeedForwardBack.apply(gradient, *ctx.saved_tensors), None, None, None, None


class _FeedForwardBack(Function):
    @staticmethod
    def forward(gradient: Tensor, inner: Tensor, weight1: Tensor, weight2: Tensor) -> Tensor:
        return _feed_back(gradient[None], inner, weight1, weight2)[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def vmap(info: Any, in_dims: Any, gradient: Tensor, *others: Tensor) -> tuple[Tensor, int]:
        return _feed_back(gradient.movedim(in_dims[0], 0), *others), 0


def _feed_back(gradients: Tensor, inner: Tensor, weight1: Tensor, weight2: Tensor) -> Tensor:
    """One cotangent after the other: all at once would write what ReLU masks out to memory and back."""
    weight1, weight2 = weight1.t().contiguous(), weight2.t().contiguous()
    is_on = (inner > 0).to(inner.dtype)
    return torch.stack([fast_linear(fast_linear(gradient, weight2).mul_(is_on), weight1) for gradient in gradients])


class _Mix(Function):
    """``softmax(q kᵀ + hidden) v`` of ``[B heads T dim]``; ``hidden [B 1 1 tokens]`` hides tokens by -inf."""

    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor | None) -> Tensor:
        return kernels.mixed(q, k, v, hidden)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        return *_MixBack.apply(gradient, *ctx.saved_tensors), None


class _MixBack(Function):
    @staticmethod
    def forward(gradient: Tensor, *saved: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = _mix_back(gradient[None], *saved)
        return q[0], k[0], v[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def vmap(info: Any, in_dims: Any, gradient: Tensor, *saved: Tensor) -> tuple[Any, tuple[int, int, int]]:
        return _mix_back(gradient.movedim(in_dims[0], 0), *saved), (0, 0, 0)


def _mix_back(
    gradients: Tensor, q: Tensor, k: Tensor, v: Tensor, hidden: Tensor | None, output: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """``[n B heads T dim]`` for q, k and v, head by head."""
    found = [x.new_zeros((len(gradients), *x.shape)) for x in (q, k, v)]
    for picture in range(q.shape[0]):
        out_of_sight = None if hidden is None else hidden[picture, 0]
        for head in range(q.shape[1]):
            at = picture, head
            parts = (x[:, picture, head] for x in found)
            _head_back(gradients[:, picture, head], q[at], k[at], v[at], out_of_sight, output[at], *parts)
    return found[0], found[1], found[2]


def _head_back(
    gradients: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    hidden: Tensor | None,
    output: Tensor,
    q_found: Tensor,
    k_found: Tensor,
    v_found: Tensor,
) -> None:
    """One head: with P the weights and D = rowsum(dO ∘ O), dS = P ∘ (dO vᵀ - D), dq = dS k, dk = dSᵀ q, dv = Pᵀ dO."""
    q, k, v, k_turned = q.contiguous(), k.contiguous(), v.contiguous(), k.t().contiguous()
    gradients, means = gradients.contiguous(), (gradients * output).sum(-1, keepdim=True)
    step = kernels.rows_at_once(len(k))
    for block in (slice(start, start + step) for start in range(0, len(q), step)):
        weights = kernels.attention_weights(q[block], k, hidden)
        across = gradients[:, block].mT.flatten(0, 1).contiguous()  # [n · dim, rows]
        v_found += fast_linear(across, weights.t()).unflatten(0, (len(gradients), -1)).mT
        q_turned = q[block].t().contiguous()
        for number, gradient in enumerate(gradients):
            change = fast_linear(gradient[block], v).sub_(means[number, block]).mul_(weights)
            q_found[number, block] = fast_linear(change, k_turned)
            k_found[number] += fast_linear(q_turned, change.t()).t()
