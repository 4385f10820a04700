"""The dense attention of every DETR relative in transformers: where it is, how it is heard and how it is read."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from torch import nn

from detr_attnviz.errors import ChoiceError
from detr_attnviz.families.hf_attention import listen
from detr_attnviz.families.hf_calls import (
    read_dab_decoder,
    read_hidden,
    read_interface,
    read_own_projections,
    read_three_inputs,
    read_two_terms,
)
from detr_attnviz.families.hf_windows import Windows, patches_of, windowed_listen, windowed_reader
from detr_attnviz.sites import AttentionCall, AttentionSite, Listen, Reader


def dense_sites(model: nn.Module) -> tuple[AttentionSite, ...]:
    """Every site of dense attention in an object detector of transformers: the encoder's first, then the decoder's.

    ``model`` is its ``…ForObjectDetection``, and ``model.config.model_type`` tells the family.

    Raises: ChoiceError for a family that is not known.
    """
    model_type = str(cast(Any, model.config).model_type)
    if model_type not in _FAMILIES:
        raise ChoiceError(f"attention of {model_type!r} models is not known; known are {', '.join(sorted(_FAMILIES))}")
    family = _FAMILIES[model_type]
    return (*family.encoder(model), *family.decoder(model))


@dataclass(frozen=True)
class _Place:
    """Attention inside a layer: its path from there, and what tells of its calls."""

    path: str
    read: Reader
    listen: Listen | None = None  # a forward hook

    def site(self, name: str, layer: int, owner: nn.Module, level: int = 0) -> AttentionSite:
        room, _, kind = name.partition(".")
        return AttentionSite(
            f"{room}.{layer}.{kind}",
            "encoder-self" if room == "encoder" else "decoder-self" if kind == "self" else "decoder-cross",
            layer,
            owner.get_submodule(self.path),
            self.read,
            level=level,
            listen=self.listen,
        )


@dataclass(frozen=True)
class _Family:
    encoder: Callable[[nn.Module], Iterator[AttentionSite]]
    decoder: Callable[[nn.Module], Iterator[AttentionSite]]


def _encoder(place: _Place, model: nn.Module) -> Iterator[AttentionSite]:
    for number, layer in enumerate(_children(model, "model.encoder.layers")):
        yield place.site("encoder.self", number, layer)


def _decoder(places: Mapping[str, _Place], model: nn.Module) -> Iterator[AttentionSite]:
    for number, layer in enumerate(_children(model, "model.decoder.layers")):
        for kind, place in places.items():
            yield place.site(f"decoder.{kind}", number, layer)


def _one_level_encoder(model: nn.Module) -> Iterator[AttentionSite]:
    """The hybrid encoder of RT-DETR and its kin, which attends within some feature maps, each by itself."""
    encoder = model.get_submodule("model.encoder")
    if "aifi" not in encoder._modules:
        return  # DEIMv2's "lite" encoder only convolves
    config = cast(Any, model.config)
    levels = [level for level in config.encode_proj_layers for _ in range(config.encoder_layers)]
    layers = [layer for block in _children(encoder, "aifi") for layer in _children(block, "layers")]
    for number, (level, layer) in enumerate(zip(levels, layers, strict=True)):
        yield _HEARD.site("encoder.self", number, layer, level)


def _windowed_encoder(windows: Callable[[Any], Windows], model: nn.Module) -> Iterator[AttentionSite]:
    """The vision transformer that LW-DETR and RF-DETR have for a backbone, as it is all the encoder there is.

    In LW-DETR's large ones none of the decoder's feature maps has a cell for each patch.
    """
    scales = list(getattr(model.config, "projector_scale_factors", (1.0,)))
    backbone = model.get_submodule("model.backbone.backbone")
    patches = patches_of(backbone)
    for number, layer in enumerate(_children(backbone, "encoder.layer")):
        is_global = bool(layer.global_attention) if hasattr(layer, "global_attention") else not layer.window
        read = windowed_reader(windows(backbone.config), is_global=is_global)
        place = _Place("attention", read, windowed_listen(patches))
        site = place.site("encoder.self", number, layer)
        if 1.0 in scales:
            yield replace(site, level=scales.index(1.0))
        else:
            yield replace(site, stride_px=patches.stride[0])


def _vision_tokens(parts: Mapping[str, tuple[str, str]], model: nn.Module) -> Iterator[AttentionSite]:
    """YOLOS' one attention of a layer, by who looks at whom: a class token, then patches, then detection tokens."""
    detections = cast(Any, model.config).num_detection_tokens
    spans = {"patches": slice(1, -detections), "detections": slice(-detections, None)}
    for number, layer in enumerate(_children(model, "vit.encoder.layer")):
        for name, (queries, tokens) in parts.items():
            read = partial(_read_span, spans[queries], spans[tokens])
            yield replace(_Place("attention", read).site(name, number, layer), is_part=True)


def _read_span(
    queries: slice, tokens: slice, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> AttentionCall:
    call = read_hidden(module, args, kwargs)
    shown = slice(*tokens.indices(call.key.shape[2]))
    return replace(call, query=call.query[:, :, queries], shown=shown)


def _children(model: nn.Module, path: str) -> Iterator[nn.Module]:
    return iter(model.get_submodule(path).children())


def _lw_windows(config: Any) -> Windows:
    return Windows(config.num_windows_side)


def _rf_windows(config: Any) -> Windows:
    return Windows(config.num_windows, class_tokens=1, transposes=True)


def _none(model: nn.Module) -> Iterator[AttentionSite]:
    return iter(())


_HEARD = _Place("self_attn", read_interface, listen)
_HEARD_DECODER = partial(_decoder, {"self": _HEARD})
_OWN = _Place("self_attn", read_own_projections)
_ONE_LEVEL = _Family(_one_level_encoder, _HEARD_DECODER)
_WITH_TEXT = _Family(_none, partial(_decoder, {"self": _Place("self_attn", read_three_inputs)}))

_FAMILIES: Mapping[str, _Family] = {
    "detr": _Family(
        partial(_encoder, _HEARD),
        partial(_decoder, {"self": _HEARD, "cross": _Place("encoder_attn", read_interface, listen)}),
    ),
    "conditional_detr": _Family(
        partial(_encoder, _HEARD),
        partial(_decoder, {"self": _HEARD, "cross": _Place("encoder_attn", read_two_terms, listen)}),
    ),
    "dab-detr": _Family(
        partial(_encoder, _OWN),
        partial(
            _decoder,
            {
                "self": _Place("self_attn.self_attn", read_dab_decoder),
                "cross": _Place("cross_attn.cross_attn", read_dab_decoder),
            },
        ),
    ),
    "table-transformer": _Family(
        partial(_encoder, _OWN),
        partial(_decoder, {"self": _OWN, "cross": _Place("encoder_attn", read_own_projections)}),
    ),
    "yolos": _Family(
        partial(_vision_tokens, {"encoder.self": ("patches", "patches")}),
        partial(
            _vision_tokens,
            {"decoder.self": ("detections", "detections"), "decoder.cross": ("detections", "patches")},
        ),
    ),
    "deformable_detr": _Family(_none, _HEARD_DECODER),
    "lw_detr": _Family(partial(_windowed_encoder, _lw_windows), _HEARD_DECODER),
    "rf_detr": _Family(partial(_windowed_encoder, _rf_windows), _HEARD_DECODER),
    "grounding-dino": _WITH_TEXT,
    "mm-grounding-dino": _WITH_TEXT,
    **dict.fromkeys(
        (
            "rt_detr",
            "rt_detr_v2",
            "d_fine",
            "deimv2",
            "pp_doclayout_v2",
            "pp_doclayout_v3",
            "pp_doclayout_v4",
        ),
        _ONE_LEVEL,
    ),
}
