"""Fused kernels with gradients against PyTorch's documented functions, one cotangent or many."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from detr_attnviz.models import kernels, taped
from detr_attnviz.models.fuse import fuse
from tests.tiny import tiny_model

needs_operators = pytest.mark.skipif(
    not kernels._operators_work(torch.float32), reason="this PyTorch has no oneDNN operators"
)
Call = Callable[..., Tensor]


def leaves(*shapes: tuple[int, ...]) -> list[Tensor]:
    return [torch.randn(shape, requires_grad=True) for shape in shapes]


def gradients(call: Call, given: list[Tensor], cotangents: Tensor) -> list[tuple[Tensor, ...]]:
    output = call(*given)
    return [torch.autograd.grad(output, given, cotangent, retain_graph=True) for cotangent in cotangents]


def batched(call: Call, given: list[Tensor], cotangents: Tensor) -> tuple[Tensor, ...]:
    output = call(*given)
    return torch.vmap(lambda cotangent: torch.autograd.grad(output, given, cotangent, retain_graph=True))(cotangents)


def check(call: Call, expected: Call, given: list[Tensor]) -> None:
    """Value, gradients one by one and all at once; sums over a thousand tokens differ by their order."""
    value = expected(*given)
    assert_close(call(*given), value)
    cotangents = torch.randn(3, *value.shape)
    wanted = gradients(expected, given, cotangents)
    for found, one in zip(gradients(call, given, cotangents), wanted, strict=True):
        assert_close(found, one, atol=1e-4, rtol=1e-4)
    for found_all, ones in zip(batched(call, given, cotangents), zip(*wanted, strict=True), strict=True):
        assert_close(found_all, torch.stack(ones), atol=1e-4, rtol=1e-4)


@needs_operators
@pytest.mark.parametrize("has_bias", [True, False])
def test_linear(has_bias: bool) -> None:
    weight, bias = torch.randn(8, 12), torch.randn(8) if has_bias else None
    check(lambda x: taped.linear(x, weight, bias), lambda x: F.linear(x, weight, bias), leaves((5, 2, 12)))


@needs_operators
def test_feed_forward() -> None:
    first, second = nn.Linear(12, 30).requires_grad_(False), nn.Linear(30, 12).requires_grad_(False)
    check(lambda x: taped.feed(x, first, second), lambda x: second(first(x).relu()), leaves((5, 2, 12)))


@needs_operators
@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize(("queries", "tokens"), [(5, 9), (300, 300), (1200, 1100)])
def test_attention(queries: int, tokens: int, is_masked: bool) -> None:
    mask = torch.arange(tokens)[None] < torch.tensor([[tokens], [tokens // 2]]) if is_masked else None
    mask = None if mask is None else mask[:, None, None]
    check(
        lambda q, k, v: taped.attention(q, k, v, mask),
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, mask, scale=1.0),
        leaves((2, 2, queries, 8), (2, 2, tokens, 8), (2, 2, tokens, 8)),
    )


def test_a_weight_that_wants_a_gradient_gets_it() -> None:
    x, first, second = torch.randn(3, 4, requires_grad=True), nn.Linear(4, 6), nn.Linear(6, 4)
    taped.feed(x, first, second).sum().backward()
    taped.linear(x, first.weight, first.bias).sum().backward()
    assert all(parameter.grad is not None for parameter in (first.weight, first.bias, second.weight, second.bias))


def test_a_fused_models_gradients_are_the_models_own() -> None:
    """Also where oneDNN is not to be had: then both take the same way."""
    found = []
    for is_fused in (False, True):
        model = tiny_model(pre_norm=True).requires_grad_(False)
        if is_fused:
            fuse(model)
        torch.manual_seed(0)
        images = torch.randn(1, 3, 64, 96, requires_grad=True)
        model(images).logits[0, 2, 1].backward()
        found.append(images.grad)
    assert_close(found[1], found[0], atol=1e-6, rtol=1e-4)
