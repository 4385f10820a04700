"""Watches attention during a forward, and always lets go of it; computes nothing.

Hooks keep what went in, as references or copies. The one exception to a plain forward hook is a self-attention
inside ``nn.TransformerEncoderLayer``: that layer leaves its fused path as soon as anything below it carries a
hook, which would change the output's last bits, so there the instance's ``forward`` is wrapped instead.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from threading import get_ident
from typing import Any

from torch import Tensor, nn

from detr_attnviz.errors import CaptureError, ChoiceError
from detr_attnviz.recording.records import DenseRecord
from detr_attnviz.sites import AttentionSite, Reader

_Note = Callable[[nn.Module, tuple[Any, ...], Mapping[str, Any], Reader | None], None]


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
        """Every call of a site that was kept, oldest first.

        Raises: UnknownSiteError (a KeyError) for a site that is not there or was not reached.
        """
        if name in self._calls:
            return tuple(self._calls[name])
        if name in self._watched:
            raise UnknownSiteError(f"site {name!r} was watched, but no forward reached it yet")
        near = get_close_matches(name, self._watched, n=3, cutoff=0.5) or self._watched
        raise UnknownSiteError(f"no site {name!r} here; there are {', '.join(near) or 'none'}")

    def picture(self, index: int) -> "Records":
        """The same records of one picture of the batch alone: their maps' batch axis is 1."""
        own = Records()
        own._watched = self._watched
        own._calls = {name: [call.picture(index) for call in calls] for name, calls in self._calls.items()}
        return own


@contextmanager
def record(sites: Sequence[AttentionSite], *, copy: bool = False) -> Iterator[Records]:
    """Records this thread's latest call at each of ``sites`` until the block ends, and lets go however it ends.

    Raises: CaptureError when a site's attention has a forward of its own and no reader.
    """
    _refuse_unreadable((site.module, site.read) for site in sites)
    records = Records()
    with ExitStack() as stack:
        for site in sites:
            _watch(stack, site.module, site.read, _of_this_thread(_noter(records, (site.name,), copy, "last")))
        yield records


@contextmanager
def outputs(module: nn.Module | None) -> Iterator[list[Tensor]]:
    """What ``module`` gives to this thread while the block runs, call by call."""
    found: list[Tensor] = []
    thread = get_ident()

    def keep(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        if get_ident() == thread:
            found.append(output)

    with ExitStack() as stack:
        if module is not None:
            stack.callback(module.register_forward_hook(keep).remove)
        yield found


@contextmanager
def capture(
    module: nn.Module, *, copy: bool = True, keep: str = "last", readers: Mapping[type[nn.Module], Reader] | None = None
) -> Iterator[Records]:
    """Records every ``nn.MultiheadAttention`` inside a module of one's own.

    Records are named as in ``module.named_modules()``; a module that is itself the attention is named by its
    class. ``copy`` clones what went in, so that nothing done later can reach the record; ``keep`` is "last" (a
    site's latest call) or "all" (``records.calls(name)``). ``readers`` adds attention of other classes: each
    reader turns a call of its class into an ``AttentionCall``. The module's output is the same to the bit.

    Raises: CaptureError when there is nothing to capture, when attention has a forward of its own and no reader,
    or when the module is compiled.
    """
    if keep not in ("last", "all"):
        raise ChoiceError(f"keep is {keep!r}: it must be 'last' or 'all'")
    places = _places(module, readers or {})
    layers = {id(layer.self_attn): layer for layer in module.modules() if isinstance(layer, nn.TransformerEncoderLayer)}
    records = Records()
    with ExitStack() as stack:
        for attention, read, names in places:
            note = _noter(records, names, copy, keep)
            layer = layers.get(id(attention))
            if layer is None or read is not None:
                _watch(stack, attention, read, note)
            else:
                _wrap_layer(stack, layer, attention, note)
        yield records


def _places(
    module: nn.Module, readers: Mapping[type[nn.Module], Reader]
) -> list[tuple[nn.Module, Reader | None, tuple[str, ...]]]:
    """Every attention inside, its reader if it has one, and all the names it goes by."""
    found: dict[int, tuple[nn.Module, Reader | None, list[str]]] = {}
    for name, part in module.named_modules(remove_duplicate=False):
        if type(part).__name__ == "OptimizedModule" or getattr(part, "_compiled_call_impl", None) is not None:
            raise CaptureError(
                f"{name or type(part).__name__} is compiled, and hooks inside it may never run: capture and call the "
                "module that was compiled (compiled._orig_mod)"
            )
        read = next((read for kind, read in readers.items() if isinstance(part, kind)), None)
        if read is not None or isinstance(part, nn.MultiheadAttention):
            found.setdefault(id(part), (part, read, []))[2].append(name or type(part).__name__)
    if not found:
        raise CaptureError(
            f"{type(module).__name__} holds no nn.MultiheadAttention to capture; for attention of another class "
            "use capture(module, readers={ItsClass: read})"
        )
    _refuse_unreadable((part, read) for part, read, _ in found.values())
    return [(part, read, tuple(names)) for part, read, names in found.values()]


def _refuse_unreadable(places: Iterable[tuple[nn.Module, Reader | None]]) -> None:
    """A subclass that only computes the same by other means says so by ``computes_multihead = True``.

    It offers ``project(x, part)`` too: ``x`` through Wq, Wk or Wv (part 0, 1, 2).
    """
    own = {
        type(part).__name__
        for part, read in places
        if read is None
        and type(part).forward is not nn.MultiheadAttention.forward
        and not getattr(part, "computes_multihead", False)
    }
    if own:
        raise CaptureError(
            f"{', '.join(sorted(own))} has a forward of its own, which cannot be read as nn.MultiheadAttention's: "
            "use capture(module, readers={ItsClass: read})"
        )


def _noter(records: Records, names: tuple[str, ...], copy: bool, keep: str) -> _Note:
    records._watched += names

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], read: Reader | None) -> None:
        new = DenseRecord(module, args, kwargs, read=read, copy=copy)
        for name in names:
            earlier = records._calls.get(name, []) if keep == "all" else []
            records._calls[name] = [*earlier, new]

    return note


def _of_this_thread(note: _Note) -> _Note:
    thread = get_ident()

    def note_own(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], read: Reader | None) -> None:
        if get_ident() == thread:
            note(module, args, kwargs, read)

    return note_own


def _watch(stack: ExitStack, module: nn.Module, read: Reader | None, note: _Note) -> None:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        note(module, args, kwargs, read)

    stack.callback(module.register_forward_hook(hook, with_kwargs=True).remove)


def _wrap_layer(stack: ExitStack, layer: nn.TransformerEncoderLayer, attention: nn.Module, note: _Note) -> None:
    """Records the layer's attention whether the layer calls it or runs it fused."""
    was_called = False

    def before_layer() -> None:
        nonlocal was_called
        was_called = False

    def after_attention(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        nonlocal was_called
        was_called = True
        note(attention, args, kwargs, None)

    def after_layer(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if not was_called and type(layer).forward is nn.TransformerEncoderLayer.forward:
            note(layer, args, kwargs, None)

    _Tap.add(stack, attention, _Listener(lambda: None, after_attention))
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
