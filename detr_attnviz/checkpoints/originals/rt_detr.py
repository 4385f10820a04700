"""RT-DETR and RT-DETR v2 of lyuwenyu/RT-DETR (PyTorch).

Source: src/zoo/rtdetr/hybrid_encoder.py, rtdetr_decoder.py and rtdetrv2_decoder.py there. Only the second keeps how
the sampling points are shared out (``num_points_scale``), from which the number of heads follows.
"""

from detr_attnviz.checkpoints.originals import real_time, vd_resnet
from detr_attnviz.checkpoints.originals.reading import Reading
from detr_attnviz.checkpoints.originals.templates import Rows, expand
from detr_attnviz.checkpoints.saved import whole
from detr_attnviz.errors import CheckpointError

BLOCKS = 3
"""Re-parametrised blocks in each fusion block, in every published model and in transformers."""

MEDIUM = ([3, 4, 6, 3], 0.5, 6, 3)
"""Backbone, expansion and decoder layers of the published R50-m, and how many of its layers predict."""

_LAYER, _TO_LAYER = "decoder.decoder.layers.{n}.", "model.decoder.layers.{n}."
_PER_LAYER = ("decoder.decoder.layers.", "decoder.dec_score_head.", "decoder.dec_bbox_head.")
_SCALE = "decoder.decoder.layers.0.cross_attn.num_points_scale"
_WEIGHTS = "decoder.decoder.layers.0.cross_attn.attention_weights.weight"

LAYERS: Rows = {
    _LAYER + "cross_attn.value_proj.{p}": _TO_LAYER + "encoder_attn.value_proj.{p}",
    _LAYER + "cross_attn.output_proj.{p}": _TO_LAYER + "encoder_attn.output_proj.{p}",
    _LAYER + "norm2.{p}": _TO_LAYER + "encoder_attn_layer_norm.{p}",
}
POINTS: Rows = {_LAYER + "cross_attn.num_points_scale": _TO_LAYER + "encoder_attn.n_points_scale"}


def matches(reading: Reading) -> bool:
    """Whether the tensors are laid out as RT-DETR's."""
    return _is_of_either(reading) and not reading.has(_SCALE)


def matches_second(reading: Reading) -> bool:
    """Whether the tensors are laid out as RT-DETR v2's."""
    return _is_of_either(reading) and reading.has(_SCALE)


def config(reading: Reading) -> dict[str, object]:
    """The configuration, without its kind.

    Raises:
        CheckpointError: an option that was not taught.
    """
    reading.refuse_unless("query_select_method", ("default",))
    used = _predicting_layers(reading)
    if used < reading.count("decoder.decoder.layers.") and "eval_idx" not in reading.args:
        reading.assumed.append(
            f"decoder layer {used - 1} predicts, assumed as in the published R50-m: the last ones only train"
        )
    shared = real_time.config(reading, used)
    channels = real_time.projected_channels(reading, "decoder.input_proj.")
    count = real_time.levels(reading)
    heads, points = _heads_and_points(reading, len(channels))
    found = shared | {
        "hidden_expansion": _expansion(reading),
        "encoder_attention_heads": heads,
        "decoder_attention_heads": heads,
        "decoder_in_channels": channels[:count],
        "num_feature_levels": len(channels),
        "decoder_n_points": points,
    }
    if reading.has(_SCALE):
        found |= {"decoder_n_levels": len(channels), "decoder_method": _method(reading)}
    return found


def names(reading: Reading) -> dict[str, str]:
    """Every original name and its target."""
    used = _predicting_layers(reading)
    found = {
        **real_time.names(reading, used),
        **expand(LAYERS, n=range(used)),
        **(expand(POINTS, n=range(used)) if reading.has(_SCALE) else {}),
    }
    for level in range(reading.count("decoder.input_proj.")):
        found |= real_time.projection(reading, f"decoder.input_proj.{level}", f"model.decoder_input_proj.{level}")
    for level in range(real_time.levels(reading) - 1):
        found |= real_time.unit(f"encoder.downsample_convs.{level}", f"model.encoder.downsample_convs.{level}")
        for kind in ("fpn_blocks", "pan_blocks"):
            found |= _fusion(reading, f"encoder.{kind}.{level}")
    return found


def dropped(reading: Reading) -> set[str]:
    """Names that have no target on purpose."""
    return real_time.dropped(reading, _predicting_layers(reading), _PER_LAYER)


def _is_of_either(reading: Reading) -> bool:
    is_d_fine = reading.has("decoder.pre_bbox_head.layers.0.weight")
    return not is_d_fine and reading.has(_WEIGHTS) and reading.has("encoder.lateral_convs.0.conv.weight")


def _fusion(reading: Reading, old: str) -> dict[str, str]:
    convolutions = [name for name in ("conv1", "conv2", "conv3") if name != "conv3" or _expansion(reading) != 1]
    inner = [f"bottlenecks.{block}.conv{number}" for block in range(BLOCKS) for number in (1, 2)]
    found: dict[str, str] = {}
    for part in (*convolutions, *inner):
        found |= real_time.unit(f"{old}.{part}", f"model.{old}.{part}")
    return found


def _expansion(reading: Reading) -> float:
    outer = reading.size("encoder.lateral_convs.0.conv.weight")
    return reading.size("encoder.fpn_blocks.0.conv1.conv.weight") / max(outer, 1)


def _predicting_layers(reading: Reading) -> int:
    """How many decoder layers run: training may add some after the one that predicts (``eval_idx``)."""
    layers = reading.count("decoder.decoder.layers.")
    told = whole(reading.args.get("eval_idx"))
    if told is not None and told < layers:
        return told + 1
    backbone, expansion, trained, predicting = MEDIUM
    is_medium = vd_resnet.matches(reading) and vd_resnet.config(reading, [])["depths"] == backbone
    if is_medium and _has_bottlenecks(reading) and (_expansion(reading), layers) == (expansion, trained):
        return predicting
    return layers


def _has_bottlenecks(reading: Reading) -> bool:
    return vd_resnet.config(reading, [])["layer_type"] == "bottleneck"


def _heads_and_points(reading: Reading, levels: int) -> tuple[int, int]:
    rows = reading.size(_WEIGHTS)
    heads = rows // max(reading.size(_SCALE), 1) if reading.has(_SCALE) else reading.heads(rows)
    per_head = rows // max(heads, 1)
    if levels and per_head % levels:
        raise CheckpointError(
            f"{reading.place}: {per_head} sampling points for {levels} levels; expected as many points on each level"
        )
    return heads, per_head // max(levels, 1)


def _method(reading: Reading) -> str:
    reading.refuse_unless("cross_attn_method", ("default", "discrete"))
    told = reading.args.get("cross_attn_method")
    if told is None:
        reading.assumed.append(
            "bilinear sampling assumed (a checkpoint does not say whether it was trained with discrete)"
        )
    return str(told or "default")
