"""Hooks see everything, change nothing and go away."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from detr_attnviz.errors import CaptureError, ChoiceError
from detr_attnviz.recording.hooks import capture, record
from detr_attnviz.recording.multihead import read_multihead
from detr_attnviz.sites import AttentionCall, AttentionSite


class Fork(nn.Module):
    """A detector's decoder of one's own."""

    def __init__(self, *, fails: bool = False, in_place: bool = False) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.look = nn.MultiheadAttention(8, 4, batch_first=True)
        self.fails = fails
        self.in_place = in_place

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        attended: Tensor = self.attend(x, x, x, need_weights=False)[0]
        if self.in_place:
            x.add_(1.0)
        if self.fails:
            raise RuntimeError("the model broke")
        looked: Tensor = self.look(attended, memory, memory)[0]
        return attended + looked


def hooks_in(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) + ("forward" in part.__dict__) for part in module.modules())


def test_sites_are_named_as_in_the_module() -> None:
    with torch.no_grad(), capture(Fork()) as records:
        pass
    assert list(records) == []
    fork = Fork()
    with torch.no_grad(), capture(fork) as records:
        fork(torch.randn(1, 3, 8), torch.randn(1, 5, 8))
    assert list(records) == ["attend", "look"]
    assert records["look"].map().shape == (1, 4, 3, 5)


def test_output_is_the_same_to_the_bit() -> None:
    fork, x, memory = Fork(), torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    with torch.no_grad():
        plain = fork(x, memory)
        with capture(fork):
            captured = fork(x, memory)
    assert torch.equal(plain, captured)


def test_hooks_go_away() -> None:
    fork = Fork()
    with capture(fork):
        assert hooks_in(fork) == 2
    assert hooks_in(fork) == 0


def test_hooks_go_away_even_when_forward_raises() -> None:
    fork = Fork(fails=True)
    with pytest.raises(RuntimeError, match="the model broke"), capture(fork):
        fork(torch.randn(1, 3, 8), torch.randn(1, 5, 8))
    assert hooks_in(fork) == 0


def test_two_captures_nest() -> None:
    fork, x, memory = Fork(), torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    with torch.no_grad(), capture(fork) as outer:
        with capture(fork) as inner:
            fork(x, memory)
        first = inner["look"].map()
        fork(x + 1, memory)
    assert_close(inner["look"].map(), first)
    assert not torch.allclose(outer["look"].map(), first)
    assert hooks_in(fork) == 0


def test_users_own_hooks_stay() -> None:
    fork = Fork()
    handle = fork.look.register_forward_hook(lambda *_: None)
    with capture(fork):
        pass
    assert hooks_in(fork) == 1
    handle.remove()


def test_keep_all_keeps_every_call() -> None:
    fork, memory = Fork(), torch.randn(1, 5, 8)
    with torch.no_grad(), capture(fork, keep="all") as records:
        for _ in range(3):
            fork(torch.randn(1, 3, 8), memory)
    maps = [call.map() for call in records.calls("look")]
    assert len(maps) == 3
    assert not torch.allclose(maps[0], maps[2])
    assert_close(records["look"].map(), maps[2])


def test_keep_must_be_last_or_all() -> None:
    with pytest.raises(ChoiceError, match="'last' or 'all'"), capture(Fork(), keep="some"):
        pass


def test_copy_survives_changes_in_place() -> None:
    fork, x, memory = Fork(in_place=True), torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    before = x.clone()
    with torch.no_grad(), capture(fork) as records:
        fork(x, memory)
    expected = fork.attend(before, before, before, average_attn_weights=False)[1]
    assert_close(records["attend"].map(), expected.detach(), atol=1e-6, rtol=0)


def test_without_copy_a_change_in_place_is_noticed() -> None:
    fork = Fork(in_place=True)
    with torch.no_grad(), capture(fork, copy=False) as records:
        fork(torch.randn(1, 3, 8), torch.randn(1, 5, 8))
    with pytest.raises(CaptureError, match="what went into attention changed in place.*copy=True"):
        records["attend"].map()
    assert records["look"].map().shape == (1, 4, 3, 5)


def test_maps_are_those_of_the_forward_after_a_training_step() -> None:
    fork, x, memory = Fork(), torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    optimizer = torch.optim.SGD(fork.parameters(), lr=0.5)
    with capture(fork) as records:
        fork(x, memory).sum().backward()
    expected = fork.look(fork.attend(x, x, x)[0], memory, memory, average_attn_weights=False)[1].detach()
    optimizer.step()
    assert_close(records["look"].map(), expected, atol=1e-6, rtol=0)


def test_without_copy_weights_changed_by_a_training_step_are_noticed() -> None:
    fork = Fork()
    optimizer = torch.optim.SGD(fork.parameters(), lr=0.1)
    with capture(fork, copy=False) as records:
        fork(torch.randn(1, 3, 8), torch.randn(1, 5, 8)).sum().backward()
    optimizer.step()
    with pytest.raises(CaptureError, match="its weights changed in place"):
        records["look"].map()


def replace_data(fork: Fork) -> None:
    fork.look.in_proj_weight.data = torch.zeros(24, 8)


def replace_parameter(fork: Fork) -> None:
    fork.look.in_proj_weight = nn.Parameter(torch.zeros(24, 8))


def assign_state(fork: Fork) -> None:
    fork.load_state_dict({name: torch.zeros_like(value) for name, value in fork.state_dict().items()}, assign=True)


def cast_to_half(fork: Fork) -> None:
    fork.half()


def add_behind_the_scenes(fork: Fork) -> None:
    fork.look.in_proj_weight.data.add_(1.0)


def change_only_the_output_projection(fork: Fork) -> None:
    with torch.no_grad():
        fork.look.out_proj.weight.zero_()


@pytest.mark.parametrize(
    ("copy", "change"),
    [
        (False, replace_data),
        (False, replace_parameter),
        (False, assign_state),
        (False, cast_to_half),
        (False, change_only_the_output_projection),
        (True, add_behind_the_scenes),
        (True, cast_to_half),
    ],
)
def test_maps_are_those_of_the_forward_whatever_becomes_of_the_module(
    copy: bool, change: Callable[[Fork], None]
) -> None:
    fork, x, memory = Fork(), torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    with torch.no_grad(), capture(fork, copy=copy) as records:
        fork(x, memory)
        expected = fork.look(fork.attend(x, x, x)[0], memory, memory, average_attn_weights=False)[1]
        change(fork)
    assert_close(records["look"].map(), expected, atol=1e-6, rtol=0)


def test_lent_weights_go_back() -> None:
    fork = Fork()
    with torch.no_grad(), capture(fork) as records:
        fork(torch.randn(1, 3, 8), torch.randn(1, 5, 8))
    before = fork.look.in_proj_weight
    records["look"].map()
    assert fork.look.in_proj_weight is before


def test_gradients_flow_through_the_captured_forward() -> None:
    fork, x, memory = Fork(), torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    fork(x, memory).sum().backward()
    plain = fork.look.in_proj_weight.grad
    fork.zero_grad()
    with capture(fork) as records:
        fork(x, memory).sum().backward()
    assert torch.equal(plain, fork.look.in_proj_weight.grad)  # type: ignore[arg-type]
    assert not records["look"].map().requires_grad


def test_module_without_attention_is_refused() -> None:
    with pytest.raises(CaptureError, match=r"no nn\.MultiheadAttention.*readers="), capture(nn.Linear(2, 2)):
        pass


def test_unknown_site_names_the_near_ones() -> None:
    fork = Fork()
    with torch.no_grad(), capture(fork) as records:
        fork(torch.randn(1, 3, 8), torch.randn(1, 5, 8))
    with pytest.raises(ChoiceError, match="no site 'lok' here; there are look"):
        records["lok"]
    assert "lok" not in records


def test_site_not_reached_says_so() -> None:
    with capture(Fork()) as records, pytest.raises(KeyError, match="no forward reached it"):
        records["look"]


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("padding", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning")
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_fused_encoder_layers_keep_their_output_and_are_recorded(
    norm_first: bool, padding: bool, batch_first: bool
) -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=batch_first, norm_first=norm_first, dropout=0.0)
    model = nn.TransformerEncoder(layer, 2).eval()
    for part in model.parameters():
        nn.init.normal_(part, std=0.3)
    x = torch.randn(2, 5, 8) if batch_first else torch.randn(5, 2, 8)
    mask = torch.tensor([[False] * 5, [False, False, False, True, True]]) if padding else None
    with torch.no_grad():
        plain = model(x, src_key_padding_mask=mask)
        with capture(model) as records:
            captured = model(x, src_key_padding_mask=mask)
    assert torch.equal(plain, captured)
    assert list(records) == ["layers.0.self_attn", "layers.1.self_attn"]
    with torch.enable_grad(), capture(model) as slow:  # with gradients there is no fused path
        model(x, src_key_padding_mask=mask)
    valid = slice(0, 3) if padding else slice(None)
    for name in records:
        assert_close(records[name].map()[1, :, valid], slow[name].map()[1, :, valid], atol=1e-5, rtol=0)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning")
def test_captures_of_fused_layers_may_end_in_any_order() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0).eval()
    x = torch.randn(2, 5, 8)
    first, second = capture(layer), capture(layer)
    with torch.no_grad():
        outer, inner = first.__enter__(), second.__enter__()
        first.__exit__(None, None, None)
        layer(x)
        second.__exit__(None, None, None)
        layer(x)
    assert list(outer) == []
    assert list(inner) == ["self_attn"]
    assert hooks_in(layer) == 0


def test_a_fused_layer_is_recorded_after_anything_else_happened() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0).eval()
    other, x = torch.randn(1, 3, 8), torch.randn(1, 5, 8)

    def broken(_: Tensor) -> Tensor:
        raise RuntimeError("broke")

    with torch.no_grad(), capture(layer) as records:
        layer.self_attn(other, other, other)
        layer(x)
        assert records["self_attn"].tokens == 5
        activation, layer.activation = layer.activation, broken
        layer.activation_relu_or_gelu = 0
        with pytest.raises(RuntimeError, match="broke"):
            layer(other)
        layer.activation, layer.activation_relu_or_gelu = activation, 1
        layer(x)
    assert records["self_attn"].tokens == 5


def test_a_module_under_two_names_is_recorded_under_both() -> None:
    shared = nn.MultiheadAttention(8, 2)
    model = nn.ModuleDict({"first": shared, "second": shared})
    x = torch.randn(3, 1, 8)
    with torch.no_grad(), capture(model) as records:
        model["second"](x, x, x)
    assert list(records) == ["first", "second"]
    assert torch.equal(records["first"].map(), records["second"].map())


class Scaled(nn.MultiheadAttention):
    """Attention whose forward is its own."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(3 * x, x, x)[0]


def test_a_forward_of_its_own_needs_a_reader() -> None:
    model, x = nn.Sequential(Scaled(8, 2)), torch.randn(3, 1, 8)
    with (
        pytest.raises(CaptureError, match=r"Scaled has a forward of its own.*readers=\{ItsClass: read\}"),
        capture(model),
    ):
        pass

    def read(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AttentionCall:
        return read_multihead(module, (3 * args[0], args[0], None), {})

    with torch.no_grad(), capture(model, readers={Scaled: read}) as records:
        model(x)
    expected = nn.MultiheadAttention.forward(model[0], 3 * x, x, x, average_attn_weights=False)[1]  # type: ignore[arg-type]
    assert_close(records["0"].map(), expected.detach(), atol=1e-6, rtol=0)  # type: ignore[union-attr]


def test_a_reader_that_forgets_the_heads_is_told() -> None:
    model, x = nn.Sequential(Scaled(8, 2)), torch.randn(3, 1, 8)

    def read(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AttentionCall:
        return AttentionCall(args[0], args[0], scale=1.0)

    with torch.no_grad(), capture(model, readers={Scaled: read}) as records:
        model(x)
    with pytest.raises(CaptureError, match=r"reader of Scaled gave query \[3, 1, 8\].*\[batch heads queries dim\]"):
        records["0"].map()


def test_a_compiled_module_is_refused() -> None:
    compiled = torch.compile(Fork(), backend="eager")
    with pytest.raises(CaptureError, match="is compiled.*_orig_mod"), capture(compiled):  # type: ignore[arg-type]
        pass


def test_a_captured_forward_in_inference_mode_can_be_asked_outside() -> None:
    fork = Fork()
    with torch.inference_mode(), capture(fork) as records:
        fork(torch.randn(1, 3, 8), torch.randn(1, 5, 8))
    found = records["look"].map()
    assert not found.is_inference()
    assert found.sum() == pytest.approx(4 * 3)


def test_site_with_a_reader_of_its_own() -> None:
    class Dot(nn.Module):
        def forward(self, q: Tensor, k: Tensor) -> Tensor:
            return (q @ k.T).softmax(-1)

    def read(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AttentionCall:
        return AttentionCall(args[0][None, None], kwargs["k"][None, None], scale=1.0)

    dot, q, k = Dot(), torch.randn(2, 4), torch.randn(3, 4)
    with record([AttentionSite("mine", "decoder-cross", 0, dot, read)]) as records:
        expected = dot(q, k=k)
    assert_close(records["mine"].map()[0, 0], expected)
