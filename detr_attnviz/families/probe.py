"""Runs a built module once and listens at its sites: how many queries and tokens it has, and of what shapes."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from detr_attnviz.errors import AttnVizError, CaptureError, ChoiceError
from detr_attnviz.families.base import Prediction
from detr_attnviz.families.layout import Seen, Size
from detr_attnviz.sites import AttentionCall, AttentionSite, SampledCall

_Call = tuple[tuple[Any, ...], Mapping[str, Any]]


@dataclass(frozen=True)
class _Heard:
    """One call: its queries, and the tokens or the levels that they looked at."""

    queries: int
    tokens: int = 0
    shapes: tuple[Size, ...] = ()


def probed(sites: Sequence[AttentionSite], run: Callable[[], Prediction], size_px: Size) -> Seen:
    """What ``run`` on an input of ``size_px`` shows of the feature maps; every reader is tried.

    Raises: CaptureError for a reader that fails or gives something else than its site's call; ChoiceError for an
    output that has not one row for each object query.
    """
    over_picture = [site for site in sites if site.kind != "decoder-self"]
    looking = min(over_picture, key=lambda site: (site.form != "sampled", site.kind != "decoder-cross"))
    calls: dict[str, _Call] = {}
    with torch.no_grad(), ExitStack() as stack:
        for site in sites:
            if site.read is not None or site is looking:
                stack.callback(site.hear(partial(_keep, calls, site.name)))
        prediction = run()
        heard = {site.name: _heard(site, *calls[site.name]) for site in sites if site.name in calls}
    for site in sites:
        if site.kind == "decoder-cross" and site.name in heard:
            _check_rows(site.name, heard[site.name].queries, prediction.logits.shape[1])
    found = heard.get(looking.name, _Heard(0))
    return Seen(size_px, found.shapes, found.tokens)


def _keep(calls: dict[str, _Call], name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    calls[name] = args, kwargs


def _heard(site: AttentionSite, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Heard:
    if site.read is None:
        query, key = (kwargs[name] if name in kwargs else args[place] for place, name in enumerate(("query", "key")))
        axis = 1 if getattr(site.module, "batch_first", False) else 0
        return _Heard(query.shape[axis], key.shape[axis])
    try:
        call = site.read(site.module, args, kwargs)
    except AttnVizError:
        raise
    except Exception as error:
        raise CaptureError(
            f"the reader of {site.name} failed on a call of {type(site.module).__name__}: "
            f"{type(error).__name__}: {error}"
        ) from error
    return _of_call(site, call)


def _of_call(site: AttentionSite, call: Any) -> _Heard:
    if site.form == "sampled" and isinstance(call, SampledCall) and call.weights.dim() == 4:
        return _Heard(call.weights.shape[2], shapes=tuple((int(rows), int(cols)) for rows, cols in call.shapes))
    if site.form == "dense" and isinstance(call, AttentionCall) and call.query.dim() == call.key.dim() == 4:
        tokens = call.key.shape[2]
        return _Heard(call.query.shape[2], tokens if call.shown is None else len(range(tokens)[call.shown]))
    expected = "a SampledCall with weights" if site.form == "sampled" else "an AttentionCall with query and key"
    raise CaptureError(
        f"the reader of {site.name} gave {type(call).__name__}{_shapes_in_words(call)}: its form is {site.form!r}, so "
        f"{expected} [batch heads …] was expected"
    )


def _shapes_in_words(call: Any) -> str:
    if isinstance(call, AttentionCall):
        return f" with query {list(call.query.shape)} and key {list(call.key.shape)}"
    return f" with weights {list(call.weights.shape)}" if isinstance(call, SampledCall) else ""


def _check_rows(site: str, queries: int, rows: int) -> None:
    if queries != rows:
        raise ChoiceError(
            f"the output has {rows} rows, but {site} has {queries} queries: one row for each object query, in the "
            "model's own order, was expected (no sorting, no choice of the best)"
        )
