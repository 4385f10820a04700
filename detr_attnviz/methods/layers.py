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
    there = {site.layer: site.name for site in sites_of(trace.detector, SITE_KINDS[kind])}
    if not there:
        raise ChoiceError(f"this checkpoint has no {_IN_WORDS[SITE_KINDS[kind]]}, which kind {kind} shows")
    known = sorted(there)
    room, _, short = there[known[0]].split(".")
    numbers = layers_of(layer)
    wrong = [number for number in numbers or () if number not in there and not -len(known) <= number < 0]
    if wrong:
        raise ChoiceError(f"no layer {', '.join(map(str, wrong))}: {_known_layers(room, known)} (−1 is the last)")
    layers = tuple(known if numbers is None else sorted({known[n] if n < 0 else n for n in numbers}))
    is_all = numbers is None or len(layers) == len(known) > 1
    which = ALL if is_all and _are_all(known) else "+".join(map(str, layers))
    return ChosenSites(f"{room}.{which}.{short}", layers, tuple(there[number] for number in layers))


def _known_layers(room: str, known: Sequence[int]) -> str:
    if not _are_all(known):
        return f"the {room} layers that are recorded here are {', '.join(map(str, known))}"
    return f"this checkpoint's {room} has {len(known)} layers, 0–{len(known) - 1}"


def _are_all(layers: Sequence[int]) -> bool:
    """Whether layers are counted from 0 without a gap."""
    return list(layers) == list(range(len(layers)))


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
    layers = [site.layer for site in sites]
    if not _are_all(layers):
        raise ChoiceError(
            f"method {method} goes through all layers, and of {_IN_WORDS[kind]} only layers "
            f"{', '.join(map(str, layers))} are recorded: choose a method of one layer, such as raw or value-norm"
        )
    return sites


def decoder_sites_for(detector: Detector, method: str) -> tuple[list[AttentionSite], list[AttentionSite]]:
    """Self- and cross-attention of every decoder layer.

    Raises: ChoiceError when one is missing somewhere.
    """
    listening, looking = (sites_for(detector, kind, method) for kind in ("decoder-self", "decoder-cross"))
    if len(listening) != len(looking):
        raise ChoiceError(
            f"method {method} needs self- and cross-attention in every decoder layer: this detector has "
            f"{len(listening)} of the one and {len(looking)} of the other"
        )
    return listening, looking


def missing_for(detector: Detector, method: str) -> str:
    """Why ``method`` cannot explain this detector's objects, as far as its sites tell; "" if it can."""
    try:
        if method in ("rollout", "relevance"):
            sites_for(detector, "encoder-self", method)
            decoder_sites_for(detector, method)
        elif method == "gradcam" and detector.family.projection() is None:
            return "method gradcam needs a single projection of the backbone's last features"
        elif method not in ("raw", "gradcam"):
            check_form(sites_of(detector, "decoder-cross"), method)
    except ChoiceError as error:
        return str(error)
    return ""


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
