"""Gradient methods on forks, in any mode and beside other threads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import detr_attnviz as av
from detr_attnviz.errors import CaptureError
from detr_attnviz.methods.relevance import relevance
from tests.tiny import drawn_picture, tiny_detector, tiny_model


class Wrapped(nn.Module):
    """A fork as ``ModuleFamily`` sees it, around a model whose numbers are known."""

    def __init__(self) -> None:
        super().__init__()
        self.detr = tiny_model(encoder_layers=2)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        output = self.detr(images)
        return {"pred_logits": output.logits, "pred_boxes": output.boxes}


@pytest.mark.parametrize("method", ["relevance", "attn-gradcam", "gradcam", "rollout"])
def test_a_fork_gives_what_the_model_gives(method: str) -> None:
    """Its parameters want gradients, and stay as they are."""
    fork = Wrapped()
    maps = []
    for module in (fork, fork.detr):
        trace = av.load(module, device="cpu").trace(drawn_picture(), shortest_px=128, longest_px=192)
        maps.append(av.explain(trace, method=method, queries=[0, 5]).maps)
    np.testing.assert_allclose(maps[0], maps[1], rtol=1e-4, atol=1e-5 * maps[1].max())
    assert maps[0].max() > 0
    assert all(parameter.requires_grad and parameter.grad is None for parameter in fork.parameters())


def change_after(module: nn.Module, args: Any, output: tuple[Tensor, None]) -> tuple[Tensor, None]:
    """What a fork does behind its attention, in place."""
    output[0].mul_(0.5).add_(1.0)
    return output


def change_copy_after(module: nn.Module, args: Any, output: tuple[Tensor, None]) -> tuple[Tensor, None]:
    return output[0] * 0.5 + 1.0, None


@contextmanager
def changing(detector: av.Detector, place: int, change: Any) -> Iterator[None]:
    """Installs ``change`` behind one attention whenever the model runs: after everybody else's hooks, as part of it."""
    forward = detector.family.forward

    def changed(inputs: Any) -> Any:
        handle = detector.sites[place].module.register_forward_hook(change)
        try:
            return forward(inputs)
        finally:
            handle.remove()

    detector.family.forward = changed  # type: ignore[method-assign]
    yield


@pytest.mark.parametrize("place", [0, -1])
def test_what_a_fork_does_to_attention_in_place_counts_like_a_copy(place: int) -> None:
    found = []
    for change in (change_after, change_copy_after):
        detector = av.load(Wrapped(), device="cpu")
        trace = detector.trace(drawn_picture(), shortest_px=128)
        with changing(detector, place, change):
            found.append(relevance(trace, [2]))
    assert_close(found[0], found[1])
    assert found[0].max() > 0


@pytest.mark.parametrize("method", ["relevance", "attn-gradcam"])
def test_a_fork_that_detaches_is_told(method: str) -> None:
    class Detached(Wrapped):
        def forward(self, images: Tensor) -> dict[str, Tensor]:
            handle = self.detr.transformer.decoder.norm.register_forward_hook(lambda *call: call[2].detach())
            try:
                return super().forward(images)
            finally:
                handle.remove()

    trace = av.load(Detached(), device="cpu").trace(drawn_picture(), shortest_px=128)
    with pytest.raises(CaptureError, match="does the model's forward detach"):
        av.explain(trace, method=method, queries=[0])


@pytest.mark.parametrize("outside", [torch.no_grad, torch.enable_grad, torch.inference_mode])
@pytest.mark.parametrize("method", ["relevance", "attn-gradcam", "gradcam", "rollout", "value-norm", "decompose"])
def test_any_gradient_mode_of_the_caller(method: str, outside: Any) -> None:
    trace = tiny_detector().trace(drawn_picture())
    expected = av.explain(trace, method=method, queries=[1]).maps
    with outside():
        np.testing.assert_array_equal(av.explain(trace, method=method, queries=[1]).maps, expected)
        again = trace.detector.trace(drawn_picture())
        np.testing.assert_array_equal(av.explain(again, method=method, queries=[1]).maps, expected)


def test_everything_inside_inference_mode() -> None:
    """As a whole script under ``@torch.inference_mode()`` does it: with a checkpoint it works."""
    with torch.inference_mode():
        detector = av.load("demo", device="cpu")
        trace = detector.trace(drawn_picture(), shortest_px=128)
        assert av.explain(trace, method="relevance", queries=[0]).maps.max() > 0
        built = av.load(tiny_model(), device="cpu").trace(drawn_picture())
        with pytest.raises(CaptureError, match=r"built under torch.inference_mode\(\)"):
            av.explain(built, method="relevance", queries=[0])


def test_a_native_model_goes_backward_once_for_all_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = av.load("demo", device="cpu").trace(drawn_picture(), shortest_px=128)
    passes, once = 0, torch.autograd.grad

    def counted(*args: Any, **more: Any) -> Any:
        nonlocal passes
        passes += 1
        return once(*args, **more)

    monkeypatch.setattr(torch.autograd, "grad", counted)
    relevance(trace, [0, 1, 2, 3])
    assert passes == 1


def test_other_threads_do_as_they_like_meanwhile() -> None:
    """A forward of the same module elsewhere gets no graph, and gives ours nothing."""
    fork = Wrapped()
    detector = av.load(fork, device="cpu")
    trace = detector.trace(drawn_picture(), shortest_px=128)
    expected = relevance(trace, [0])
    inner: list[Tensor] = []

    def elsewhere() -> None:
        with torch.no_grad():
            inner.append(fork(trace.prepared.inputs["images"] * 0.5)["pred_logits"])
            assert not torch.is_grad_enabled()

    def disturb(module: nn.Module, args: Any) -> None:
        if threading.get_ident() == own and not inner:
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()

    own = threading.get_ident()
    handle = fork.detr.class_embed.register_forward_pre_hook(disturb)
    try:
        assert_close(relevance(trace, [0]), expected)
    finally:
        handle.remove()
    assert not inner[0].requires_grad
