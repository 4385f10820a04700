"""Finds the wanted state dict among everything that a pickled checkpoint holds: model, EMA, optimizer, arguments."""

import argparse
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any, Literal, NamedTuple

from torch import Tensor

from detr_attnviz.checkpoints.asked import printable
from detr_attnviz.errors import CheckpointError, ChoiceError

Weights = Literal["auto", "model", "ema"]

MODEL_NAMES = ("model", "state_dict", "model_state_dict", "module", "net", "network")
EMA_NAMES = ("model_ema", "ema", "ema_model", "ema_state_dict", "state_dict_ema", "ema_params")
ARGS_NAMES = ("args", "hyper_parameters", "config", "cfg", "hparams")

_MOST_LEVELS = 4  # a file may hold itself

MEANT_AVERAGED = "decoder.dec_score_head.0.weight"
"""A tensor of RT-DETR and D-FINE, whose own scripts evaluate the averaged weights."""


class Choice(NamedTuple):
    """The chosen state dict as found, saved arguments, single values beside it, and what a user should know."""

    state: dict[str, Tensor]
    args: dict[str, object]
    metadata: dict[str, str]
    flavour: str
    notes: tuple[str, ...]


class _Found(NamedTuple):
    place: str
    state: Mapping[Any, Any]


def choose(content: object, weights: Weights, source: str) -> Choice:
    """The plain state dict, or with ``weights="ema"`` the averaged one; the other one if there is no choice.

    ``"auto"`` takes those that the model's own repository evaluates: the plain ones, but not for RT-DETR and D-FINE.

    Raises:
        CheckpointError: no tensors anywhere.
        ChoiceError: averaged weights asked for, none there.
    """
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        raise CheckpointError(f"{source}: holds a {kind}; expected a dictionary of tensors: save model.state_dict()")
    plain, averaged = _find(content, MODEL_NAMES), _find(content, EMA_NAMES)
    if plain is None and _is_state_dict(content):
        plain = _Found("", content)
    if weights == "auto" and averaged is not None and _are_meant(averaged):
        weights = "ema"
    chosen = averaged if weights == "ema" else plain or averaged
    if chosen is None:
        raise _nothing(content, plain, source)
    flavour = "ema" if chosen is averaged else _flavour(chosen.place, content)
    notes = _note_on_choice(chosen, plain, averaged) + _note_on_skipped(chosen)
    singles = {str(key): str(value) for key, value in content.items() if type(value) in (int, float, str)}
    return Choice(only_tensors(chosen.state), _args_of(content), singles, flavour, notes)


def only_tensors(content: object) -> dict[str, Tensor]:
    """The tensors of a mapping under their keys, without gradients attached."""
    if not isinstance(content, Mapping):
        return {}
    return {str(key): tensor.detach() for key, tensor in content.items() if isinstance(tensor, Tensor)}


def _find(content: Mapping[Any, Any], names: Iterable[str], levels: int = _MOST_LEVELS) -> _Found | None:
    """The first state dict under one of these names, or some levels further down (``ema.module``)."""
    for name in names if levels else ():
        inner = content.get(name)
        if not isinstance(inner, Mapping):
            continue
        if _is_state_dict(inner):
            return _Found(name, inner)
        if deeper := _find(inner, MODEL_NAMES, levels - 1):
            return _Found(f"{name}.{deeper.place}", deeper.state)
    return None


def _is_state_dict(value: Mapping[Any, Any]) -> bool:
    return any(isinstance(key, str) and isinstance(tensor, Tensor) for key, tensor in value.items())


def _are_meant(averaged: _Found) -> bool:
    return any(str(key).endswith(MEANT_AVERAGED) for key in averaged.state)


def _nothing(content: Mapping[Any, Any], plain: _Found | None, source: str) -> CheckpointError | ChoiceError:
    if plain is not None:
        return ChoiceError(f"{source}: no averaged (EMA) weights to choose; it holds {_place(plain)} only")
    keys = ", ".join(printable(str(key)) for key in list(content)[:8]) or "nothing"
    return CheckpointError(f"{source}: no tensors found; it holds {keys}; expected those of model.state_dict()")


def _place(found: _Found) -> str:
    return repr(found.place) if found.place else "a bare state dict"


def _flavour(place: str, content: Mapping[Any, Any]) -> str:
    if not place:
        return "bare"
    return "hub" if len(content) == 1 else "training"


def _note_on_choice(chosen: _Found, plain: _Found | None, averaged: _Found | None) -> tuple[str, ...]:
    if averaged is None:
        return ()
    if plain is None:
        return (f"averaged (EMA) weights taken from {_place(chosen)}: the file has no others",)
    kind, other = ("plain", averaged) if chosen is plain else ("averaged (EMA)", plain)
    other_kind = "averaged (EMA)" if chosen is plain else "plain"
    return (f"{kind} weights taken from {_place(chosen)}; the file also has {other_kind} ones in {_place(other)}",)


def _note_on_skipped(chosen: _Found) -> tuple[str, ...]:
    """A bare state dict may lie among other entries; elsewhere a value that is no tensor is worth a word."""
    skipped = sorted(printable(str(key)) for key, value in chosen.state.items() if not isinstance(value, Tensor))
    if not skipped or not chosen.place:
        return ()
    return (f"{len(skipped)} values that are no tensors were skipped ({', '.join(skipped[:5])})",)


def _args_of(content: Mapping[Any, Any]) -> dict[str, object]:
    for name in ARGS_NAMES:
        found = content.get(name)
        if isinstance(found, argparse.Namespace):
            found = vars(found)
        if isinstance(found, Mapping) and found:
            return {str(key): str(value) if isinstance(value, PurePath) else value for key, value in found.items()}
    return {}
