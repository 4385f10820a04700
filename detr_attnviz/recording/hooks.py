"""Watches attention during a forward, and always lets go of it; computes nothing.

Hooks keep references to what went in. The one exception to a plain forward hook is a self-attention inside
``nn.TransformerEncoderLayer``: that layer leaves its fused path as soon as anything below it carries a
hook, which would change the output's last bits, so there the instance's ``forward`` is wrapped instead.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from typing import Any

from torch import nn

from detr_attnviz.errors import CaptureError, ChoiceError
from detr_attnviz.recording.multihead import read_encoder_layer
from detr_attnviz.recording.records import DenseRecord
from detr_attnviz.sites import AttentionSite, Reader

_Keep = Callable[[nn.Module, tuple[Any, ...], Mapping[str, Any], Reader | None], None]


class UnknownSiteError(ChoiceError, KeyError):
    """A site that was not recorded."""

    __str__ = Exception.__str__


class Records(Mapping[str, DenseRecord]):
    """What was recorded, by site name; ``records[name]`` is the site's latest call."""

    def __init__(self) -> None:
        self._calls: dict[str, list[DenseRecord]] = {}
        self._watched: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> DenseRecord:
        return self.calls(name)[-1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)

    def __repr__(self) -> str:
        return f"Records({', '.join(self)})"

    def calls(self, name: str) -> tuple[DenseRecord, ...]:
        """Every call of a site that were kept, oldest first.

        Raises: UnknownSiteError (a KeyError) for a site that is not there or was not reached.
        """
        if name in self._calls:
            return tuple(self._calls[name])
        if name in self._watched:
            raise UnknownSiteError(f"site {name!r} was watched, but no forward reached it yet")
        near = get_close_matches(name, self._watched, n=3, cutoff=0.5) or self._watched
        raise UnknownSiteError(f"no site {name!r} here; there are {', '.join(near) or 'none'}")


@contextmanager
def record(sites: Iterable[AttentionSite], *, copy: bool = False, keep: str = "last") -> Iterator[Records]:
    """Records every call at ``sites`` until the block ends, and lets go of them however it ends."""
    records = Records()
    with ExitStack() as stack:
        for site in sites:
            records._watched += (site.name,)
            _watch(stack, site.module, site.read, _appender(records, site.name, copy, keep))
        yield records


@contextmanager
def capture(module: nn.Module, *, copy: bool = True, keep: str = "last") -> Iterator[Records]:
    """Records every ``nn.MultiheadAttention`` inside a module of one's own.

    Records are named as in ``module.named_modules()``; a module that is itself the attention is named by its
    class. ``copy`` clones what went in, so that later changes in place cannot reach the record; ``keep``
    is "last" (a site's latest call) or "all" (``records.calls(name)``). The output is the same to the bit.

    Raises: CaptureError when there is no ``nn.MultiheadAttention``.
    """
    if keep not in ("last", "all"):
        raise ChoiceError(f"keep is {keep!r}: it must be 'last' or 'all'")
    layers = {id(layer.self_attn): layer for layer in module.modules() if isinstance(layer, nn.TransformerEncoderLayer)}
    found = {
        name or type(part).__name__: part
        for name, part in module.named_modules()
        if isinstance(part, nn.MultiheadAttention)
    }
    if not found:
        raise CaptureError(
            f"{type(module).__name__} holds no nn.MultiheadAttention to capture: for attention of another "
            "class, describe each place as an AttentionSite with a reader"
        )
    records = Records()
    records._watched = tuple(found)
    with ExitStack() as stack:
        for name, attention in found.items():
            note = _appender(records, name, copy, keep)
            layer = layers.get(id(attention))
            if layer is None:
                _watch(stack, attention, None, note)
            else:
                _wrap_layer(stack, layer, attention, note)
        yield records


def _appender(records: Records, name: str, copy: bool, keep: str) -> _Keep:
    def append(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], read: Reader | None) -> None:
        new = DenseRecord(module, args, kwargs, read=read, copy=copy)
        earlier = records._calls.get(name, []) if keep == "all" else []
        records._calls[name] = [*earlier, new]

    return append


def _watch(stack: ExitStack, module: nn.Module, read: Reader | None, note: _Keep) -> None:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        note(module, args, kwargs, read)

    stack.callback(module.register_forward_hook(hook, with_kwargs=True).remove)


def _wrap_layer(
    stack: ExitStack, layer: nn.TransformerEncoderLayer, attention: nn.MultiheadAttention, note: _Keep
) -> None:
    calls = 0

    def after_attention(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        nonlocal calls
        calls += 1
        note(attention, args, kwargs, None)

    def after_layer(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        nonlocal calls
        is_fused = calls == 0 and type(layer).forward is nn.TransformerEncoderLayer.forward
        calls = 0
        if is_fused:
            note(layer, args, kwargs, read_encoder_layer)

    _wrap_forward(stack, attention, after_attention)
    _wrap_forward(stack, layer, after_layer)


def _wrap_forward(
    stack: ExitStack, module: nn.Module, after: Callable[[tuple[Any, ...], Mapping[str, Any]], None]
) -> None:
    inner = module.forward
    earlier = module.__dict__.get("forward")

    def forward(*args: Any, **kwargs: Any) -> Any:
        output = inner(*args, **kwargs)
        after(args, kwargs)
        return output

    def restore() -> None:
        if earlier is None:
            del module.__dict__["forward"]
        else:
            module.__dict__["forward"] = earlier

    module.__dict__["forward"] = forward
    stack.callback(restore)
