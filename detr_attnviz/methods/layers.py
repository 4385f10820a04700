"""Which recorded sites are meant by a kind and a choice of layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from detr_attnviz.detector import Detector
from detr_attnviz.errors import ChoiceError
from detr_attnviz.explanation import Kind
from detr_attnviz.methods.catalogue import ALL, Layers, layers_of
from detr_attnviz.recording.records import DenseRecord
from detr_attnviz.sites import AttentionSite, SiteKind
from detr_attnviz.trace import Trace

SITE_KINDS: Mapping[str, SiteKind] = {
    "cross": "decoder-cross",
    "encoder": "encoder-self",
    "decoder-self": "decoder-self",
}
_OF_ONE_LAYER = ("raw", "value-norm")
_IN_WORDS: dict[SiteKind, str] = {
    "encoder-self": "encoder self-attention",
    "decoder-self": "decoder self-attention",
    "decoder-cross": "decoder cross-attention",
}


@dataclass(frozen=True, slots=True)
class ChosenSites:
    """The sites that maps come from, first layer first.

    ``name`` is theirs together: ``decoder.5.cross``, ``decoder.3+5.cross``, ``decoder.all.cross``. ``layers`` count
    from 0.
    """

    name: str
    layers: tuple[int, ...] = ()
    names: tuple[str, ...] = ()


def find_sites(trace: Trace, kind: Kind, layer: Layers) -> ChosenSites:
    """The sites of a kind in one layer, in several or in all of them.

    Raises: ChoiceError naming the range of layers, or saying that there is no such attention.
    """
    there = [site.name for site in sites_of(trace.detector, SITE_KINDS[kind])]
    if not there:
        raise ChoiceError(f"this checkpoint has no {_IN_WORDS[SITE_KINDS[kind]]}, which kind {kind} shows")
    room, _, short = there[0].split(".")
    numbers = layers_of(layer)
    wrong = [number for number in numbers or () if not -len(there) <= number < len(there)]
    if wrong:
        raise ChoiceError(
            f"no layer {', '.join(map(str, wrong))}: this checkpoint's {room} has {len(there)} layers, "
            f"0–{len(there) - 1} (−1 is the last)"
        )
    if numbers is None:
        return ChosenSites(f"{room}.{ALL}.{short}", tuple(range(len(there))), tuple(there))
    layers = tuple(sorted({number % len(there) for number in numbers}))
    which = ALL if len(layers) == len(there) > 1 else "+".join(map(str, layers))
    return ChosenSites(f"{room}.{which}.{short}", layers, tuple(there[number] for number in layers))


def records_of(trace: Trace, kind: SiteKind, method: str) -> list[DenseRecord]:
    """What all sites of a kind saw, first layer first.

    Raises: ChoiceError when there are none, which says that ``method`` needs them.
    """
    return [trace.records.dense(site.name) for site in sites_for(trace.detector, kind, method)]


def sites_for(detector: Detector, kind: SiteKind, method: str) -> list[AttentionSite]:
    """All sites of a kind, first layer first.

    Raises: ChoiceError when there are none, which says that ``method`` needs them.
    """
    sites = sites_of(detector, kind)
    if not sites:
        raise ChoiceError(
            f"method {method} needs {_IN_WORDS[kind]}, and this detector has none that is recorded: choose a method of "
            "one layer, such as raw or value-norm"
        )
    check_form(sites, method)
    return sites


def check_form(sites: Sequence[AttentionSite], method: str) -> None:
    """Raises: ChoiceError for a method that needs a weight for every token where attention is sampled, or mixed."""
    sampled = [site.name for site in sites if site.form == "sampled"]
    if sampled:
        raise ChoiceError(
            f"method {method} needs attention over all cells, and {sampled[0]} is sampled attention, which reads a few "
            "places a query: choose method raw"
        )
    mixed = [site.name for site in sites if site.is_part]
    if mixed and method not in _OF_ONE_LAYER:
        raise ChoiceError(
            f"method {method} follows an encoder and then a decoder, but {mixed[0]} is part of one attention over "
            "cells and queries together: choose raw or value-norm"
        )


def sites_of(detector: Detector, kind: SiteKind) -> list[AttentionSite]:
    """All sites of a kind, first layer first."""
    return [site for site in detector.sites if site.kind == kind]
