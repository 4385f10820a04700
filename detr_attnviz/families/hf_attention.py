"""Hears attention that runs through transformers' attention interface.

A module of transformers looks up its attention function by the name in its own ``config`` and hands it query, key,
value and mask, projected and split into heads. While somebody listens to a module, its ``config`` is a stand-in that
gives the name of a function of ours, registered with ``AttentionInterface``: it runs the very function that the module
would have run, then says what went in. Model, masks and every other module keep the real ``config``, so outputs stay
the same to the bit, and a module that nobody listens to is as transformers made it.
"""

from collections.abc import Callable, Mapping
from inspect import unwrap
from threading import Lock
from typing import Any, cast

from torch import nn

from detr_attnviz.errors import CaptureError
from detr_attnviz.sites import Note

_INTERFACE, _EAGER = "ALL_ATTENTION_FUNCTIONS", "eager_attention_forward"
_LOCK = Lock()


def listen(module: nn.Module, note: Note) -> Callable[[], None]:
    """Passes what ``module`` gives to its attention function to ``note``, call by call, until the returned is called.

    ``note`` gets ``(query, key, value, mask)`` and the options, ``scaling`` among them, from whichever thread runs the
    module. Several may listen to one module and leave in any order.

    Raises: CaptureError for a module that does not use the interface.
    """
    scope, own = _scope(module), module.__dict__
    if "config" not in own or not {_INTERFACE, _EAGER} <= scope.keys():
        raise CaptureError(
            f"{type(module).__name__} does not call transformers' attention interface, through which attention is "
            "heard: transformers 5.4 or newer is needed"
        )
    with _LOCK:
        config = own["config"]
        heard = config if isinstance(config, _Heard) else _Heard(config, scope[_INTERFACE])
        heard.notes += (note,)
        own["config"] = heard

    def stop() -> None:
        with _LOCK:
            heard.notes = _without(heard.notes, note)
            if not heard.notes and own["config"] is heard:
                own["config"] = heard.config

    return stop


class _Heard:
    """Stands in for a module's ``config``; only the name of the attention function is another."""

    def __init__(self, config: Any, functions: Any) -> None:
        self.config = config
        self.functions = functions
        self.notes: tuple[Note, ...] = ()  # replaced as a whole: other threads may be going through it

    @property
    def _attn_implementation(self) -> str:
        implementation = self.config._attn_implementation
        name = f"attnviz_{implementation}"
        if name not in self.functions:
            self.functions.register(name, _hearing(implementation))
        return name

    def __getattr__(self, name: str) -> Any:
        return getattr(self.config, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self.config,)  # nobody listens to a copy of the model


def _itself(config: Any) -> Any:
    return config


def _hearing(implementation: str | None) -> Callable[..., Any]:
    """The attention function ``implementation``, which tells those who listen to the module what it was given."""

    def attend(
        module: nn.Module, query: Any, key: Any, value: Any, attention_mask: Any = None, **options: Any
    ) -> tuple[Any, Any]:
        scope = _scope(module)
        function = scope[_INTERFACE].get_interface(implementation, scope[_EAGER])
        output = function(module, query, key, value, attention_mask, **options)
        heard = module.__dict__["config"]
        for note in heard.notes if isinstance(heard, _Heard) else ():
            note((query, key, value, attention_mask), options)
        return cast(tuple[Any, Any], output)

    return attend


def _scope(module: nn.Module) -> Mapping[str, Any]:
    """The names that the module's own ``forward`` sees: there is one eager function in every file of transformers."""
    return cast(Mapping[str, Any], unwrap(type(module).forward).__globals__)


def _without(notes: tuple[Note, ...], note: Note) -> tuple[Note, ...]:
    place = next((place for place, other in enumerate(notes) if other is note), len(notes))
    return notes[:place] + notes[place + 1 :]
