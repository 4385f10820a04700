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
    x, weight, bias = torch.randn(3, 4, requires_grad=True), torch.randn(4, 4), torch.randn(4, requires_grad=True)
    kernels.linear(x, weight, bias, "relu").sum().backward()
    assert x.grad is not None
    kernels.linear(x.detach(), weight, bias).sum().backward()
    assert bias.grad is not None
    q, v = torch.randn(1, 1, kernels._MANY_QUERIES, 4), torch.randn(1, 1, kernels._MANY_QUERIES, 4, requires_grad=True)
    kernels.attention(q, q, v, None).sum().backward()
    assert v.grad is not None
    layer, picture = nn.Conv2d(4, 4, 1).requires_grad_(False), image(4).requires_grad_()
    kernels.convolution_add_relu(layer, kernels.convolution(layer, picture, "relu"), picture * 2).sum().backward()
    assert picture.grad is not None


def test_operators_that_give_other_numbers_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    right = kernels.fast_linear
    monkeypatch.setattr(kernels, "fast_linear", lambda *args: right(*args) + 1)
    assert not kernels._operators_work.__wrapped__(torch.float32)


def test_whoever_tries_the_operators_gets_the_same_answer() -> None:
    expected = kernels._operators_work.__wrapped__(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.device("meta"):
        assert kernels._operators_work.__wrapped__(torch.float32) == expected


def test_only_what_a_processor_does_by_itself_is_a_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    assert not kernels.gains_from(torch.bfloat16, cpu)
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert not kernels.gains_from(torch.bfloat16, cpu)
    assert kernels.gains_from(torch.float16, torch.device("cuda"))


def test_trying_the_operators_draws_no_random_number() -> None:
    state = torch.random.get_rng_state()
    kernels._operators_work.__wrapped__(torch.float32)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.usefixtures("_either")
@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize(("queries", "tokens"), [(kernels._MANY_QUERIES + 9, 300), (7, 300), (600, 4000)])
def test_attention(queries: int, tokens: int, is_masked: bool) -> None:
    q, k, v = torch.randn(2, 3, queries, 8), torch.randn(2, 3, tokens, 8), torch.randn(2, 3, tokens, 8)
    mask = torch.arange(tokens)[None] < torch.tensor([[tokens], [tokens // 2]]) if is_masked else None
    mask = None if mask is None else mask[:, None, None]
    expected = F.scaled_dot_product_attention(q, k, v, mask, scale=1.0)
    assert_close(kernels.attention(q, k, v, mask), expected)


def test_attention_of_a_batch_is_that_of_each_picture() -> None:
    q = torch.randn(2, 3, kernels._MANY_QUERIES, 8)
    with torch.inference_mode():
        assert_close(kernels.attention(q, q, q, None)[1:], kernels.attention(q[1:], q[1:], q[1:], None))


@pytest.mark.parametrize("pictures", [1, 2])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_layout_moves_nothing(pictures: int, layout: torch.memory_format) -> None:
    for x in (torch.randn(pictures, 5, 4, 3), torch.randn(pictures, 5, 4, 3).to(memory_format=torch.channels_last)):
        found = kernels.laid_out(x, layout)
        assert torch.equal(found, x)
        assert found.is_contiguous(memory_format=layout)
