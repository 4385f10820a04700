"""Attention that is heard through transformers' attention interface."""

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from detr_attnviz.errors import CaptureError
from detr_attnviz.families.hf_attention import listen
from tests.hf.tiny_dense import tiny, tiny_inputs

transformers = pytest.importorskip("transformers", reason="transformers is not installed")


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return tiny("conditional_detr")


@pytest.fixture
def cross(model: nn.Module) -> nn.Module:
    return model.get_submodule("model.decoder.layers.1.encoder_attn")


@contextmanager
def listening(module: nn.Module, heard: list[tuple[Any, ...]]) -> Iterator[None]:
    stop = listen(module, lambda args, options: heard.append((*args, options)))
    try:
        yield
    finally:
        stop()


def run(model: nn.Module) -> tuple[Tensor, Tensor]:
    output = model(**tiny_inputs("conditional_detr", 96, 64))
    return output.logits, output.pred_boxes


def attentions(model: nn.Module) -> list[nn.Module]:
    return [part for name, part in model.named_modules() if name.rpartition(".")[2] in ("self_attn", "encoder_attn")]


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_output_while_listening_is_the_same_to_the_bit(implementation: str, mode: Callable[[], Any]) -> None:
    model = cast(Any, tiny("conditional_detr"))
    if implementation == "eager":
        model.set_attn_implementation("eager")
    assert model.config._attn_implementation == implementation
    heard: list[tuple[Any, ...]] = []
    with mode():
        plain = run(model)
        stops = [listen(part, lambda args, options: heard.append(args)) for part in attentions(model)]
        listened = run(model)
        for stop in stops:
            stop()
        after = run(model)
    assert len(heard) == 6
    for before, during, then in zip(plain, listened, after, strict=True):
        assert torch.equal(before, during)
        assert torch.equal(before, then)


def test_what_is_heard_is_projected_split_and_scaled_by_the_module(model: nn.Module, cross: nn.Module) -> None:
    heard: list[tuple[Any, ...]] = []
    with torch.no_grad(), listening(cross, heard):
        run(model)
    query, key, value, mask, options = heard[0]
    assert [tuple(x.shape) for x in (query, key, value)] == [(1, 4, 6, 16), (1, 4, 6, 16), (1, 4, 6, 8)]
    assert mask is None
    assert options["scaling"] == 16**-0.5


def test_config_of_the_module_alone_is_another_while_somebody_listens(model: nn.Module, cross: nn.Module) -> None:
    config = cast(Any, model.config)
    with listening(cross, []):
        assert cross.config is not config
        assert cast(Any, cross.config).d_model == config.d_model
        assert config._attn_implementation == "sdpa"
        others = [part for part in attentions(model) if part is not cross]
        assert all(part.config is config for part in others)
    assert cross.config is config


def test_config_is_back_after_a_forward_that_raised(model: nn.Module, cross: nn.Module) -> None:
    def refuse(args: object, options: object) -> None:
        raise ValueError("not today")

    stop = listen(cross, refuse)
    with torch.no_grad(), pytest.raises(ValueError, match="not today"):
        run(model)
    stop()
    assert cross.config is model.config


def test_listeners_leave_in_any_order(model: nn.Module, cross: nn.Module) -> None:
    first: list[Any] = []
    second: list[Any] = []
    stop_first = listen(cross, lambda args, options: first.append(args))
    stop_second = listen(cross, lambda args, options: second.append(args))
    with torch.no_grad():
        run(model)
        stop_first()
        stop_first()
        run(model)
        stop_second()
        run(model)
    assert (len(first), len(second)) == (1, 2)
    assert cross.config is model.config


def test_an_implementation_that_changes_meanwhile_is_followed() -> None:
    model = tiny("conditional_detr")
    cross = model.get_submodule("model.decoder.layers.1.encoder_attn")
    heard: list[tuple[Any, ...]] = []
    weights: list[Tensor | None] = []
    handle = cross.register_forward_hook(lambda part, args, output: weights.append(output[1]))
    with torch.no_grad(), listening(cross, heard):
        run(model)
        cast(Any, model).set_attn_implementation("eager")
        run(model)
    handle.remove()
    assert len(heard) == 2
    assert weights[0] is None
    assert weights[1] is not None


def test_forwards_in_other_threads_go_on_while_listeners_come_and_go(model: nn.Module) -> None:
    with torch.no_grad():
        expected = run(model)
    outputs: list[tuple[Tensor, Tensor]] = []
    faults: list[BaseException] = []

    def work() -> None:
        try:
            with torch.no_grad():
                outputs.extend(run(model) for _ in range(10))
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    heard: list[tuple[Any, ...]] = []
    while any(thread.is_alive() for thread in threads):
        for part in attentions(model):
            with listening(part, heard):
                threads[0].join(0.001)
    assert not faults
    assert len(outputs) == 20
    assert all(torch.equal(one, other) for found in outputs for one, other in zip(found, expected, strict=True))
    assert all(part.config is model.config for part in attentions(model))


def test_nobody_listens_to_a_copy_of_the_model(model: nn.Module, cross: nn.Module) -> None:
    heard: list[tuple[Any, ...]] = []
    with torch.no_grad(), listening(cross, heard):
        copied = copy.deepcopy(model)
        assert torch.equal(run(copied)[0], run(model)[0])
    assert len(heard) == 1
    assert all(part.config is copied.config for part in attentions(copied))


def test_attention_without_the_interface_is_refused() -> None:
    own = nn.MultiheadAttention(8, 2)
    with pytest.raises(CaptureError, match=r"MultiheadAttention does not call .* attention interface.*5\.4"):
        listen(own, lambda args, options: None)
