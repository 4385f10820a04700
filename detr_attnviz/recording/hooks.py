"""Watches attention during a forward, and always lets go of it; computes nothing.

Hooks keep what went in, as references or copies. The one exception to a plain forward hook is a self-attention
inside ``nn.TransformerEncoderLayer`` (see ``taps``), and sites that say themselves how they are heard.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from functools import partial
from threading import get_ident
from typing import Any, cast

from torch import Tensor, nn

from detr_attnviz.errors import CaptureError, ChoiceError
from detr_attnviz.recording.records import DenseRecord
from detr_attnviz.recording.sampled import SampledRecord
from detr_attnviz.recording.taps import listen_to_layer
from detr_attnviz.sites import AttentionSite, Form, Reader, SampledReader

Record = DenseRecord | SampledRecord
_Make = Callable[[nn.Module, tuple[Any, ...], Mapping[str, Any], bool], Record]
_Note = Callable[[nn.Module, tuple[Any, ...], Mapping[str, Any]], None]


class UnknownSiteError(ChoiceError, KeyError):
    """A site that was not recorded."""

    __str__ = Exception.__str__


class Records(Mapping[str, Any]):
    """What was recorded, by site name; ``records[name]`` is the site's latest call.

    That is a ``DenseRecord``, or a ``SampledRecord`` where attention is sampled; ``dense`` and ``sampled`` give one
    that is sure to be the one or the other.
    """

    def __init__(self) -> None:
        self._calls: dict[str, list[Record]] = {}
        self._watched: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.calls(name)[-1]

    def dense(self, name: str) -> DenseRecord:
        """The latest call of a site of dense attention.

        Raises: UnknownSiteError; ChoiceError for sampled attention.
        """
        record: Record = self.calls(name)[-1]
        if isinstance(record, SampledRecord):
            raise ChoiceError(
                f"{name} is sampled attention: a query reads a few places and gives the other cells no weight that a "
                "method could work with; method raw shows it"
            )
        return record

    def sampled(self, name: str) -> SampledRecord:
        """The latest call of a site of sampled attention.

        Raises: UnknownSiteError; ChoiceError for dense attention.
        """
        record: Record = self.calls(name)[-1]
        if isinstance(record, DenseRecord):
            raise ChoiceError(f"{name} is dense attention: a query has a weight for every token, and reads no places")
        return record

    def __iter__(self) -> Iterator[str]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)

    def __repr__(self) -> str:
        return f"Records({', '.join(self)})"

    def calls(self, name: str) -> tuple[Any, ...]:
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
            note = _of_this_thread(_noter(records, (site.name,), _maker(site), copy, "last"))
            stack.callback(site.hear(partial(note, site.module)))
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
    module: nn.Module,
    *,
    copy: bool = True,
    keep: str = "last",
    readers: Mapping[type[nn.Module], Reader] | None = None,
    sampled_readers: Mapping[type[nn.Module], SampledReader] | None = None,
    sites: Sequence[AttentionSite] | None = None,
) -> Iterator[Records]:
    """Records every ``nn.MultiheadAttention`` inside a module of one's own.

    Records are named as in ``module.named_modules()``; a module that is itself the attention is named by its
    class. ``copy`` clones what went in, so that nothing done later can reach the record; ``keep`` is "last" (a
    site's latest call) or "all" (``records.calls(name)``). ``readers`` adds attention of other classes: each
    reader turns a call of its class into an ``AttentionCall``; ``sampled_readers`` adds deformable attention, by
    readers that give a ``SampledCall``. With ``sites`` exactly those are recorded, under their own names. The
    module's output is the same to the bit.

    Raises: CaptureError when there is nothing to capture, when attention has a forward of its own and no reader,
    or when the module is compiled.
    """
    if keep not in ("last", "all"):
        raise ChoiceError(f"keep is {keep!r}: it must be 'last' or 'all'")
    if sites is not None and (readers or sampled_readers):
        raise ChoiceError("sites have readers of their own: leave readers and sampled_readers out")
    places = _places(module, readers or {}, sampled_readers or {}) if sites is None else _places_of(module, sites)
    layers = {id(layer.self_attn): layer for layer in module.modules() if isinstance(layer, nn.TransformerEncoderLayer)}
    records = Records()
    with ExitStack() as stack:
        for site, names in places:
            note = _noter(records, names, _maker(site), copy, keep)
            layer = layers.get(id(site.module))
            if layer is None or site.read is not None:
                stack.callback(site.hear(partial(note, site.module)))
            else:
                listen_to_layer(stack, layer, partial(note, site.module), partial(note, layer))
        yield records


_Place = tuple[AttentionSite, tuple[str, ...]]


def _places_of(module: nn.Module, sites: Sequence[AttentionSite]) -> list[_Place]:
    """Sites that were named, once it is sure that they can be heard."""
    for _ in _parts(module):
        pass
    inside = {id(part) for part in module.modules()}
    strangers = [site.name for site in sites if id(site.module) not in inside]
    if strangers:
        raise CaptureError(f"site {strangers[0]} watches a module that is not inside {type(module).__name__}")
    if not sites:
        raise CaptureError("sites is empty: there is nothing to capture")
    _refuse_unreadable((site.module, site.read) for site in sites)
    return [(site, (site.name,)) for site in sites]


def _places(
    module: nn.Module,
    readers: Mapping[type[nn.Module], Reader],
    sampled_readers: Mapping[type[nn.Module], SampledReader],
) -> list[_Place]:
    """Every attention inside, as a site, and all the names it goes by."""
    found: dict[int, tuple[AttentionSite, list[str]]] = {}
    for name, part in _parts(module):
        sampled = next((read for kind, read in sampled_readers.items() if isinstance(part, kind)), None)
        read = sampled or next((read for kind, read in readers.items() if isinstance(part, kind)), None)
        if read is not None or isinstance(part, nn.MultiheadAttention):
            form: Form = "dense" if sampled is None else "sampled"
            site = AttentionSite(name or type(part).__name__, "decoder-cross", 0, part, read, form)
            found.setdefault(id(part), (site, []))[1].append(site.name)
    if not found:
        raise CaptureError(
            f"{type(module).__name__} holds no nn.MultiheadAttention to capture; for attention of another class "
            "use capture(module, readers={ItsClass: read})"
        )
    _refuse_unreadable((site.module, site.read) for site, _ in found.values())
    return [(site, tuple(names)) for site, names in found.values()]


def _parts(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Everything inside, under all its names.

    Raises: CaptureError at a compiled part.
    """
    for name, part in module.named_modules(remove_duplicate=False):
        if type(part).__name__ == "OptimizedModule" or getattr(part, "_compiled_call_impl", None) is not None:
            raise CaptureError(
                f"{name or type(part).__name__} is compiled, and hooks inside it may never run: capture and call the "
                "module that was compiled (compiled._orig_mod)"
            )
        yield name, part


def _refuse_unreadable(places: Iterable[tuple[nn.Module, Reader | SampledReader | None]]) -> None:
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


def _maker(site: AttentionSite) -> _Make:
    def dense(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], copy: bool) -> Record:
        return DenseRecord(module, args, kwargs, read=cast("Reader | None", site.read), copy=copy)

    def sampled(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], copy: bool) -> Record:
        return SampledRecord(module, args, kwargs, read=cast("SampledReader", site.read), copy=copy)

    if site.form == "dense":
        return dense
    if site.read is None:
        raise CaptureError(f"site {site.name} is sampled attention and needs a reader that gives a SampledCall")
    return sampled


def _noter(records: Records, names: tuple[str, ...], make: _Make, copy: bool, keep: str) -> _Note:
    records._watched += names

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        new = make(module, args, kwargs, copy)
        for name in names:
            earlier = records._calls.get(name, []) if keep == "all" else []
            records._calls[name] = [*earlier, new]

    return note


def _of_this_thread(note: _Note) -> _Note:
    thread = get_ident()

    def note_own(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if get_ident() == thread:
            note(module, args, kwargs)

    return note_own
