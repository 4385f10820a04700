"""Gradients at places inside a model."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from detr_attnviz.errors import CaptureError
from detr_attnviz.recording.tape import Place, taped


class Steps(nn.Module):
    """``x → 2x (early) → squares (middle) → the sums over two weightings (late)``."""

    def __init__(self) -> None:
        super().__init__()
        self.early = Probe(lambda x: 2 * x)
        self.middle = Probe(lambda x: (x * x, "weights"))
        self.late = Probe(lambda x: torch.stack((x.sum(), (x * torch.arange(3.0)).sum())))

    def forward(self, x: Tensor) -> Tensor:
        return self.late(self.middle(self.early(x))[0])  # type: ignore[no-any-return]


class Probe(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function
        self.had_gradients: bool | None = None

    def forward(self, x: Tensor) -> Any:
        self.had_gradients = torch.is_grad_enabled()
        return self.function(x)


X = torch.tensor([1.0, 2.0, 3.0])


def test_gradients_by_hand() -> None:
    model = Steps()
    with taped([Place("in", model.middle, "input"), Place("out", model.middle)]) as tape:
        scores = model(X)
    found = tape.gradients(scores)
    assert_close(found["out"], torch.tensor([[1.0, 1, 1], [0, 1, 2]]))  # of a sum, and of a weighted one
    assert_close(found["in"], torch.tensor([[4.0, 8, 12], [0, 8, 24]]))  # times 2 · 2x
    assert_close(tape.tensors["out"].detach(), torch.tensor([4.0, 16, 36]))


def test_scores_in_parts_are_the_same_as_all_at_once() -> None:
    model = Steps()
    with taped([Place("out", model.middle)]) as tape:
        scores = model(X)
    whole = tape.gradients(scores)["out"]
    for number in (1, 0, 1):
        assert torch.equal(tape.gradients(scores[number : number + 1])["out"][0], whole[number])


def test_nothing_before_the_first_place_is_kept() -> None:
    model = Steps()
    with taped([Place("out", model.middle)]):
        model(X)
    assert (model.early.had_gradients, model.middle.had_gradients, model.late.had_gradients) == (False, False, True)


@pytest.mark.parametrize("outside", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_works_under_any_gradient_mode_and_restores_it(outside: Any) -> None:
    model = Steps()
    with outside():
        was = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        with taped([Place("out", model.middle)]) as tape:
            scores = model(X)
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == was
    assert tape.gradients(scores)["out"].shape == (2, 3)


def test_hooks_are_gone_even_when_the_forward_raises() -> None:
    model = Steps()
    model.late.function = lambda x: x[7]
    with pytest.raises(IndexError), taped([Place("a", model.middle), Place("b", model.late, "input")]):
        model(X)
    assert not any((part._forward_hooks or part._forward_pre_hooks) for part in model.modules())
    assert torch.is_grad_enabled()


def test_a_place_that_a_score_does_not_depend_on_has_zeros() -> None:
    model = Steps()
    with taped([Place("out", model.middle), Place("late", model.late)]) as tape:
        scores = model(X)
        other = tape.tensors["out"].sum()[None]
    assert scores.requires_grad
    assert_close(tape.gradients(other)["late"], torch.zeros(1, 2))


def test_an_output_without_gradients_says_so() -> None:
    model = Steps()
    model.late.function = lambda x: x.detach()[:2]
    with taped([Place("out", model.middle)]) as tape:
        scores = model(X)
    with pytest.raises(CaptureError, match="does the model's forward detach"):
        tape.gradients(scores)


class Square(torch.autograd.Function):
    """An operator as forks have them: without a rule for batched gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        assert type(gradient) is Tensor
        (x,) = ctx.saved_tensors
        return torch.from_numpy(2 * x.detach().numpy() * gradient.numpy())


def test_an_operator_that_cannot_be_batched_goes_one_by_one() -> None:
    model = Steps()
    model.late.function = lambda x: torch.stack((Square.apply(x).sum(), x.sum()))
    with taped([Place("out", model.middle)]) as tape:
        scores = model(X)
    assert_close(tape.gradients(scores)["out"], torch.tensor([[8.0, 32, 72], [1, 1, 1]]))
