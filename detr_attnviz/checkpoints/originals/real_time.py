"""What RT-DETR and D-FINE share: the backbones, the hybrid encoder's attention, the decoder's ends and their sizes.

Their files hold no arguments: everything is read off the tensors, and what cannot be is assumed as published. They are
evaluated on squares, as the files were made for: with other pictures transformers' positions follow the picture's rows,
where the original code's follow its columns.
"""

from collections.abc import Collection

from detr_attnviz.checkpoints.originals import hgnet, vd_resnet
from detr_attnviz.checkpoints.originals.reading import Reading
from detr_attnviz.checkpoints.originals.templates import COUNTER, Rows, expand

USUAL_QUERIES = 300
USUAL_DENOISING = 100
STRIDES = (4, 8, 16, 32)
MADE_AGAIN = ("decoder.anchors", "decoder.valid_mask")
"""Buffers that follow from the picture's size."""

_AIFI, _TO_AIFI = "encoder.encoder.{i}.layers.{j}.", "model.encoder.encoder.{i}.layers.{j}."
_LAYER, _TO_LAYER = "decoder.decoder.layers.{n}.", "model.decoder.layers.{n}."
_NORM = ("weight", "bias", "running_mean", "running_var", COUNTER)

AIFI: Rows = {
    _AIFI + "self_attn.in_proj_{p}": _TO_AIFI + "self_attn.{qkv}_proj.{p}",
    _AIFI + "self_attn.out_proj.{p}": _TO_AIFI + "self_attn.out_proj.{p}",
    _AIFI + "linear1.{p}": _TO_AIFI + "fc1.{p}",
    _AIFI + "linear2.{p}": _TO_AIFI + "fc2.{p}",
    _AIFI + "norm1.{p}": _TO_AIFI + "self_attn_layer_norm.{p}",
    _AIFI + "norm2.{p}": _TO_AIFI + "final_layer_norm.{p}",
}
LAYERS: Rows = {
    _LAYER + "self_attn.in_proj_{p}": _TO_LAYER + "self_attn.{qkv}_proj.{p}",
    _LAYER + "self_attn.out_proj.{p}": _TO_LAYER + "self_attn.out_proj.{p}",
    _LAYER + "cross_attn.sampling_offsets.{p}": _TO_LAYER + "encoder_attn.sampling_offsets.{p}",
    _LAYER + "cross_attn.attention_weights.{p}": _TO_LAYER + "encoder_attn.attention_weights.{p}",
    _LAYER + "linear1.{p}": _TO_LAYER + "fc1.{p}",
    _LAYER + "linear2.{p}": _TO_LAYER + "fc2.{p}",
    _LAYER + "norm1.{p}": _TO_LAYER + "self_attn_layer_norm.{p}",
    _LAYER + "norm3.{p}": _TO_LAYER + "final_layer_norm.{p}",
    "decoder.dec_score_head.{n}.{p}": "model.decoder.class_embed.{n}.{p}",
    "decoder.dec_bbox_head.{n}.layers.{three}.{p}": "model.decoder.bbox_embed.{n}.layers.{three}.{p}",
}
ENDS: Rows = {
    "decoder.query_pos_head.layers.{two}.{p}": "model.decoder.query_pos_head.layers.{two}.{p}",
    "decoder.enc_score_head.{p}": "model.enc_score_head.{p}",
    "decoder.enc_bbox_head.layers.{three}.{p}": "model.enc_bbox_head.layers.{three}.{p}",
}
DENOISING = {"decoder.denoising_class_embed.weight": "model.denoising_class_embed.weight"}


def unit(old: str, new: str, parts: tuple[str, str] = ("conv", "norm")) -> dict[str, str]:
    """Rows for a convolution and its batch norm; ``parts`` are what transformers calls the two."""
    rows = {f"{old}.conv.weight": f"{new}.{parts[0]}.weight"}
    return rows | {f"{old}.norm.{stat}": f"{new}.{parts[1]}.{stat}" for stat in _NORM}


def levels(reading: Reading) -> int:
    """How many of the backbone's last stages are used."""
    return reading.count("encoder.input_proj.")


def config(reading: Reading, layers: int) -> dict[str, object]:
    """The part of the configuration that both families have."""
    count, width = levels(reading), reading.size("decoder.enc_score_head.weight", 1)
    features = [f"stage{stage}" for stage in (1, 2, 3, 4)][-count:]
    backbone = hgnet if hgnet.matches(reading) else vd_resnet
    queries = reading.whole("num_queries", USUAL_QUERIES, "queries")
    return {
        "backbone_config": backbone.config(reading, features),
        "freeze_backbone_batch_norms": True,
        "encoder_in_channels": _projected(reading, "encoder.input_proj.", count),
        "encoder_hidden_dim": reading.size("encoder.lateral_convs.0.conv.weight"),
        "encoder_layers": reading.count("encoder.encoder.0.layers."),
        "encoder_ffn_dim": reading.size("encoder.encoder.0.layers.0.linear1.weight"),
        "encode_proj_layers": [count - 1],
        "feat_strides": list(STRIDES[-count:]),
        "d_model": width,
        "num_queries": queries,
        "decoder_layers": layers,
        "decoder_ffn_dim": reading.size("decoder.decoder.layers.0.linear1.weight"),
        "num_denoising": USUAL_DENOISING if reading.has(next(iter(DENOISING))) else 0,
        **reading.labels(reading.size("decoder.dec_score_head.0.weight")),
    }


def names(reading: Reading, layers: int) -> dict[str, str]:
    """Original names and targets of the parts that both families have."""
    backbone = hgnet if hgnet.matches(reading) else vd_resnet
    encoders, depth = range(reading.count("encoder.encoder.")), range(reading.count("encoder.encoder.0.layers."))
    found = {
        **backbone.names(reading),
        **expand(AIFI, i=encoders, j=depth),
        **expand(LAYERS, n=range(layers), three=range(3)),
        **expand(ENDS, two=range(2), three=range(3)),
        **_head_of_proposals(reading),
    }
    for level in range(levels(reading)):
        found |= projection(reading, f"encoder.input_proj.{level}", f"model.encoder_input_proj.{level}")
    for level in range(levels(reading) - 1):
        found |= unit(f"encoder.lateral_convs.{level}", f"model.encoder.lateral_convs.{level}")
    if reading.has(next(iter(DENOISING))):
        found |= DENOISING
    return found


def projection(reading: Reading, old: str, new: str) -> dict[str, str]:
    """Rows for a convolution and its norm at the entrance; the first RT-DETR numbers the two, the others name them."""
    if reading.has(f"{old}.0.weight"):
        return {f"{old}.0.weight": f"{new}.0.weight"} | {f"{old}.1.{stat}": f"{new}.1.{stat}" for stat in _NORM}
    return unit(old, new, ("0", "1"))


def dropped(reading: Reading, used: int, prefixes: Collection[str]) -> set[str]:
    """Names without a target on purpose; ``prefixes`` are those of decoder layers, of which ``used`` predict."""
    found = {name for name in reading.tensors if name.startswith("backbone.") and name.endswith(COUNTER)}
    for prefix in prefixes:
        later = tuple(f"{prefix}{layer}." for layer in range(used, reading.count(prefix)))
        found |= {name for name in reading.tensors if later and name.startswith(later)}
    return found | set(MADE_AGAIN)


def projected_channels(reading: Reading, prefix: str) -> list[int]:
    """The channels that each projection under a prefix takes in."""
    return _projected(reading, prefix, reading.count(prefix))


def _projected(reading: Reading, prefix: str, count: int) -> list[int]:
    rows = (f"{prefix}{level}." for level in range(count))
    return [reading.size(f"{row}0.weight", 1) or reading.size(f"{row}conv.weight", 1) for row in rows]


def _head_of_proposals(reading: Reading) -> dict[str, str]:
    numbered = reading.has("decoder.enc_output.0.weight")
    parts = ("0", "1") if numbered else ("proj", "norm")
    rows = {
        f"decoder.enc_output.{part}" + ".{p}": f"model.enc_output.{index}" + ".{p}" for index, part in enumerate(parts)
    }
    return expand(rows)
