"""Hears the self-attention of ``nn.TransformerEncoderLayer`` without a hook.

That layer leaves its fused path as soon as anything below it carries a hook, which would change the output's last
bits; so the ``forward`` of the instances is wrapped instead.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from torch import nn

from detr_attnviz.sites import Note


def listen_to_layer(stack: ExitStack, layer: nn.TransformerEncoderLayer, called: Note, fused: Note) -> None:
    """Until ``stack`` closes, ``called`` hears calls of the layer's attention, ``fused`` those of a fused layer."""
    was_called = False

    def before_layer() -> None:
        nonlocal was_called
        was_called = False

    def after_attention(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        nonlocal was_called
        was_called = True
        called(args, kwargs)

    def after_layer(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if not was_called and type(layer).forward is nn.TransformerEncoderLayer.forward:
            fused(args, kwargs)

    _Tap.add(stack, layer.self_attn, _Listener(lambda: None, after_attention))
    _Tap.add(stack, layer, _Listener(before_layer, after_layer))


@dataclass(frozen=True, eq=False)
class _Listener:
    before: Callable[[], None]
    after: Callable[[tuple[Any, ...], Mapping[str, Any]], None]


class _Tap:
    """An instance's ``forward`` with listeners, who may leave in any order; the last one takes it away."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.earlier = module.__dict__.get("forward")
        self.inner = module.forward
        self.listeners: list[_Listener] = []

    @classmethod
    def add(cls, stack: ExitStack, module: nn.Module, listener: _Listener) -> None:
        """Lets ``listener`` hear every call until ``stack`` closes."""
        tap = module.__dict__.get("forward")
        if not isinstance(tap, cls):
            tap = module.__dict__["forward"] = cls(module)
        tap.listeners.append(listener)
        stack.callback(tap.leave, listener)

    def leave(self, listener: _Listener) -> None:
        self.listeners.remove(listener)
        if self.listeners or self.module.__dict__.get("forward") is not self:
            return
        if self.earlier is None:
            del self.module.__dict__["forward"]
        else:
            self.module.__dict__["forward"] = self.earlier

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for listener in self.listeners:
            listener.before()
        output = self.inner(*args, **kwargs)
        for listener in tuple(self.listeners):
            listener.after(args, kwargs)
        return output
