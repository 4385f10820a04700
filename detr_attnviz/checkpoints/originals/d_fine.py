"""D-FINE of Peterande/D-FINE.

Source: src/zoo/dfine/hybrid_encoder.py and dfine_decoder.py there. How many points each level has is read off
``num_points_scale``, which holds one over that number for every point.
"""

from detr_attnviz.checkpoints.originals import real_time
from detr_attnviz.checkpoints.originals.reading import Reading
from detr_attnviz.checkpoints.originals.templates import Rows, expand
from detr_attnviz.checkpoints.saved import whole
from detr_attnviz.errors import CheckpointError

_LAYER, _TO_LAYER = "decoder.decoder.layers.{n}.", "model.decoder.layers.{n}."
_LQE = "decoder.decoder.lqe_layers."
_PER_LAYER = ("decoder.decoder.layers.", "decoder.dec_score_head.", "decoder.dec_bbox_head.", _LQE)
_SCALE = "decoder.decoder.layers.0.cross_attn.num_points_scale"

LAYERS: Rows = {
    _LAYER + "cross_attn.num_points_scale": _TO_LAYER + "encoder_attn.num_points_scale",
    _LAYER + "gateway.gate.{p}": _TO_LAYER + "gateway.gate.{p}",
    _LAYER + "gateway.norm.{p}": _TO_LAYER + "gateway.norm.{p}",
    _LQE + "{n}.reg_conf.layers.{part}.{p}": "model.decoder.lqe_layers.{n}.reg_conf.layers.{part}.{p}",
}
ENDS: Rows = {
    "decoder.pre_bbox_head.layers.{three}.{p}": "model.decoder.pre_bbox_head.layers.{three}.{p}",
    "decoder.up": "model.decoder.up",
    "decoder.reg_scale": "model.decoder.reg_scale",
}
TWICE = ("decoder.decoder.up", "decoder.decoder.reg_scale")
"""The decoder holds these two of its parent as well."""

MOST_POINTS = 128
"""Sampling points of a query and head on all levels; published models have 12."""

FUSION = {"cv1": "conv1", "cv2.1": "conv2", "cv3.1": "conv3", "cv4": "conv4"}
"""Convolutions of a fusion block; between them stand two stacks of re-parametrised blocks."""
STACKS = {"cv2.0": "csp_rep1", "cv3.0": "csp_rep2"}


def matches(reading: Reading) -> bool:
    """Whether the tensors are laid out as that repository's."""
    return reading.has("decoder.pre_bbox_head.layers.0.weight") and reading.has("encoder.lateral_convs.0.conv.weight")


def config(reading: Reading) -> dict[str, object]:
    """The configuration, without its kind.

    Raises:
        CheckpointError: an option that was not taught.
    """
    reading.refuse_unless("cross_attn_method", ("default",))
    reading.refuse_unless("query_select_method", ("default",))
    shared = real_time.config(reading, _predicting_layers(reading))
    points = _points(reading)
    heads = reading.size(_SCALE.replace("num_points_scale", "attention_weights.weight")) // max(sum(points), 1)
    width = reading.size("decoder.enc_score_head.weight", 1)
    projected = real_time.projected_channels(reading, "decoder.input_proj.")
    first_of_lqe = f"{_LQE}0.reg_conf.layers.0.weight"
    return shared | {
        "hidden_expansion": _expansion(reading),
        "depth_mult": _blocks(reading) / 3,
        "encoder_attention_heads": heads,
        "decoder_attention_heads": heads,
        "decoder_in_channels": projected or [width] * real_time.levels(reading),
        "num_feature_levels": len(points),
        "decoder_n_points": points,
        "max_num_bins": reading.size("decoder.dec_bbox_head.0.layers.2.weight") // 4 - 1,
        "lqe_hidden_dim": reading.size(first_of_lqe),
        "lqe_layers": reading.count(f"{_LQE}0.reg_conf.layers."),
        "top_prob_values": reading.size(first_of_lqe, 1) // 4 - 1,
    }


def names(reading: Reading) -> dict[str, str]:
    """Every original name and its target."""
    used = _predicting_layers(reading)
    found = {
        **real_time.names(reading, used),
        **expand(LAYERS, n=range(used), part=range(reading.count(f"{_LQE}0.reg_conf.layers."))),
        **expand(ENDS, three=range(3)),
    }
    for level in range(reading.count("decoder.input_proj.")):
        found |= real_time.projection(reading, f"decoder.input_proj.{level}", f"model.decoder_input_proj.{level}")
    for level in range(real_time.levels(reading) - 1):
        for number in (1, 2):
            down = f"encoder.downsample_convs.{level}.0.cv{number}"
            found |= real_time.unit(down, f"model.encoder.downsample_convs.{level}.conv{number}")
        for kind in ("fpn_blocks", "pan_blocks"):
            found |= _fusion(reading, f"encoder.{kind}.{level}")
    return found


def dropped(reading: Reading) -> set[str]:
    """Names that have no target on purpose."""
    return real_time.dropped(reading, _predicting_layers(reading), _PER_LAYER) | set(TWICE)


def _fusion(reading: Reading, old: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part, target in FUSION.items():
        found |= real_time.unit(f"{old}.{part}", f"model.{old}.{target}")
    inner = [f"bottlenecks.{block}.conv{number}" for block in range(_blocks(reading)) for number in (1, 2)]
    for stack, target in STACKS.items():
        for part in ("conv1", "conv2", *inner):
            found |= real_time.unit(f"{old}.{stack}.{part}", f"model.{old}.{target}.{part}")
    return found


def _blocks(reading: Reading) -> int:
    return reading.count("encoder.fpn_blocks.0.cv2.0.bottlenecks.")


def _expansion(reading: Reading) -> float:
    """A value that gives back the width of the fusion blocks, which was rounded down to half of it times the width."""
    half, width = (
        reading.size("encoder.fpn_blocks.0.cv2.1.conv.weight"),
        reading.size("encoder.lateral_convs.0.conv.weight"),
    )
    return (2 * half + 0.5) / max(width, 1)


def _predicting_layers(reading: Reading) -> int:
    """How many decoder layers run: training may add some, also wider ones, after the one that predicts."""
    layers = reading.count("decoder.decoder.layers.")
    told = whole(reading.args.get("eval_idx"))
    if told is not None and told < layers:
        return told + 1
    widths = [reading.size(f"decoder.dec_score_head.{layer}.weight", 1) for layer in range(layers)]
    return sum(width == widths[0] for width in widths)


def _points(reading: Reading) -> list[int]:
    """Sampling points of each level.

    Raises:
        CheckpointError: the values do not tell them.
    """
    if not reading.has(_SCALE):
        return []
    scale = reading.tensors[_SCALE]
    if scale.ndim != 1 or scale.numel() > MOST_POINTS or not scale.is_floating_point():
        raise CheckpointError(
            f"{reading.place}: {_SCALE} has shape {list(scale.shape)} and type {scale.dtype}; expected a list of "
            f"floating-point numbers, one for each of at most {MOST_POINTS} points"
        )
    values = scale.tolist()
    points: list[int] = []
    while sum(points) < len(values) and values[sum(points)] * MOST_POINTS >= 1:
        points.append(max(round(1 / values[sum(points)]), 1))
    shares = [1 / count for count in points for _ in range(count)]
    if len(shares) != len(values) or any(abs(a - b) > 0.01 * b for a, b in zip(values, shares, strict=True)):
        raise CheckpointError(f"{reading.place}: {_SCALE} holds {values}; expected one over the points of each level")
    return points
