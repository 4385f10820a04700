"""Kernels against PyTorch's documented functions, with and without oneDNN's operators."""

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from detr_attnviz.models import kernels


@pytest.fixture(params=["fast", "plain"])
def _either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both ways, also where the processor offers only one."""
    if request.param == "plain":
        monkeypatch.setattr(kernels, "_operators_work", lambda dtype: False)
    elif not kernels._operators_work(torch.float32):
        pytest.skip("this PyTorch has no oneDNN operators")
    with torch.inference_mode():
        yield


def image(channels: int) -> Tensor:
    return torch.randn(2, channels, 9, 7).contiguous(memory_format=torch.channels_last)


@pytest.mark.usefixtures("_either")
@pytest.mark.parametrize("has_bias", [True, False])
def test_linear(has_bias: bool) -> None:
    x, weight, bias = torch.randn(5, 2, 12), torch.randn(8, 12), torch.randn(8) if has_bias else None
    expected = F.linear(x, weight, bias)
    assert_close(kernels.linear(x, weight, bias), expected)
    assert_close(kernels.linear(x, weight, bias, "relu"), expected.relu())


@pytest.mark.usefixtures("_either")
@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": 1}, {"dilation": 2, "padding": 2}, {"groups": 4}])
def test_convolution(options: dict[str, int]) -> None:
    layer, x = nn.Conv2d(8, 16, 3, **options), image(8)  # type: ignore[arg-type]
    expected = layer(x)
    assert_close(kernels.convolution(layer, x), expected)
    assert_close(kernels.convolution(layer, x, "relu"), expected.relu())
    shortcut = torch.randn_like(expected)
    assert_close(kernels.convolution_add_relu(layer, x, shortcut.clone()), (expected + shortcut).relu())


def test_gradients_take_the_documented_way() -> None:
    x, weight = torch.randn(3, 4, requires_grad=True), torch.randn(4, 4)
    kernels.linear(x, weight, None, "relu").sum().backward()
    assert x.grad is not None
    layer, picture = nn.Conv2d(4, 4, 1).requires_grad_(False), image(4).requires_grad_()
    kernels.convolution_add_relu(layer, kernels.convolution(layer, picture, "relu"), picture * 2).sum().backward()
    assert picture.grad is not None


def test_operators_that_give_other_numbers_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    right = kernels._fast_linear
    monkeypatch.setattr(kernels, "_fast_linear", lambda *args: right(*args) + 1)
    assert not kernels._operators_work.__wrapped__(torch.float32)


def test_trying_the_operators_draws_no_random_number() -> None:
    state = torch.random.get_rng_state()
    kernels._operators_work.__wrapped__(torch.float32)
    assert torch.equal(state, torch.random.get_rng_state())
