"""Where a module that somebody else built has its attention: as its owner says, or at DETR's usual names."""

import re
from collections.abc import Iterator, Sequence

from torch import nn

from detr_attnviz.errors import ChoiceError
from detr_attnviz.sites import AttentionSite, SiteKind

_PLACE = re.compile(r"(?:^|\.)(encoder|decoder)\.layers\.(\d+)\.(self_attn|multihead_attn|cross_attn|encoder_attn)$")
_PROJECTION = re.compile(r"(?:^|\.)(?:input_proj|input_projection)$")
_NAMES: dict[SiteKind, str] = {
    "encoder-self": "encoder.{}.self",
    "decoder-self": "decoder.{}.self",
    "decoder-cross": "decoder.{}.cross",
}


def default_sites(module: nn.Module) -> tuple[AttentionSite, ...]:
    """The ``nn.MultiheadAttention`` of the one transformer inside, encoder first.

    Raises: ChoiceError when there is none, or are several.
    """
    stacks: dict[str, list[tuple[tuple[bool, int, bool], AttentionSite]]] = {}
    for name, part in module.named_modules():
        place = _PLACE.search(name)
        if place is None or not isinstance(part, nn.MultiheadAttention):
            continue
        room, layer, is_self = place[1], int(place[2]), place[3] == "self_attn"
        kind: SiteKind = "encoder-self" if room == "encoder" else "decoder-self" if is_self else "decoder-cross"
        site = AttentionSite(_NAMES[kind].format(layer), kind, layer, part)
        stacks.setdefault(name[: place.start(1)], []).append(((room == "decoder", layer, not is_self), site))
    looking = {
        prefix: sites for prefix, sites in stacks.items() if any(site.kind == "decoder-cross" for _, site in sites)
    }
    if len(looking) != 1:
        found = f"several transformers ({', '.join(sorted(looking))})" if looking else "none"
        raise ChoiceError(
            f"{type(module).__name__} should have one nn.MultiheadAttention per layer at "
            f"decoder.layers.N.multihead_attn; found {found}: use capture(module) to record whatever attention it has, "
            "or say where it is with sites=[AttentionSite(…), …]"
        )
    (stack,) = looking.values()
    return tuple(site for _, site in sorted(stack, key=lambda entry: entry[0]))


def checked_sites(module: nn.Module, sites: Sequence[AttentionSite]) -> tuple[AttentionSite, ...]:
    """The owner's ``sites``, once it is sure that they can be watched.

    Raises: ChoiceError that lists everything wrong with them.
    """
    strangers = sorted({type(site).__name__ for site in sites if not isinstance(site, AttentionSite)})
    if strangers:
        raise ChoiceError(f"sites must be AttentionSites; found {', '.join(strangers)}")
    names = [site.name for site in sites]
    faults = [fault for site in sites for fault in _faults(module, site)]
    faults += [f"there are several {name}" for name in sorted(set(names)) if names.count(name) > 1]
    if not any(site.kind != "decoder-self" for site in sites):
        faults.append("none is of kind decoder-cross or encoder-self, so that nothing looks at the picture")
    if faults:
        raise ChoiceError(f"sites of {type(module).__name__}: {'; '.join(faults)}")
    return tuple(sites)


def _faults(module: nn.Module, site: AttentionSite) -> Iterator[str]:
    own = type(site.module).__name__
    expected = _NAMES[site.kind].format(site.layer) if site.kind in _NAMES else ""
    if not expected:
        yield f"kind of {site.name} is {site.kind!r}: it must be {', '.join(_NAMES)}"
    elif site.name != expected:
        yield f"{site.name} is {site.kind} of layer {site.layer}, which is called {expected}"
    if not any(site.module is part for part in module.modules()):
        yield f"{site.name} watches a {own} that is not inside the module"
    if site.read is None and (site.form == "sampled" or not isinstance(site.module, nn.MultiheadAttention)):
        what = "sampled" if site.form == "sampled" else f"no nn.MultiheadAttention but {own}"
        yield f"{site.name} is {what}: it needs a reader, AttentionSite(…, read=…)"


def projection_of(module: nn.Module) -> nn.Module | None:
    """The one convolution that takes the backbone's last features, by its usual names."""
    found = [part for name, part in module.named_modules() if _PROJECTION.search(name)]
    return found[0] if len(found) == 1 and isinstance(found[0], nn.Conv2d) else None
