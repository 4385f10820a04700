"""Deformable DETR of fundamentalvision/Deformable-DETR: one or two stages, with or without box refinement.

Source: models/deformable_detr.py and models/deformable_transformer.py there. Refined box heads are in a state dict
twice, as are the class heads of two stages: the decoder holds them as well. Without refinement all heads are one.
"""

from detr_attnviz.checkpoints.originals import resnet
from detr_attnviz.checkpoints.originals.reading import Reading
from detr_attnviz.checkpoints.originals.templates import Rows, expand
from detr_attnviz.errors import CheckpointError

USUAL_PROPOSALS = 300
SEVERAL_SCALES = (2, 3, 4)
"""The ResNet's stages that are used when there is more than one level; further levels are made from the last."""

_ENCODER, _TO_ENCODER = "transformer.encoder.layers.{n}.", "model.encoder.layers.{n}."
_DECODER, _TO_DECODER = "transformer.decoder.layers.{n}.", "model.decoder.layers.{n}."
_SAMPLED = ("sampling_offsets", "attention_weights", "value_proj", "output_proj")

ENCODER: Rows = {
    **{_ENCODER + f"self_attn.{part}" + ".{p}": _TO_ENCODER + f"self_attn.{part}" + ".{p}" for part in _SAMPLED},
    _ENCODER + "linear1.{p}": _TO_ENCODER + "fc1.{p}",
    _ENCODER + "linear2.{p}": _TO_ENCODER + "fc2.{p}",
    _ENCODER + "norm1.{p}": _TO_ENCODER + "self_attn_layer_norm.{p}",
    _ENCODER + "norm2.{p}": _TO_ENCODER + "final_layer_norm.{p}",
}
DECODER: Rows = {
    **{_DECODER + f"cross_attn.{part}" + ".{p}": _TO_DECODER + f"encoder_attn.{part}" + ".{p}" for part in _SAMPLED},
    _DECODER + "self_attn.in_proj_{p}": _TO_DECODER + "self_attn.{qkv}_proj.{p}",
    _DECODER + "self_attn.out_proj.{p}": _TO_DECODER + "self_attn.out_proj.{p}",
    _DECODER + "linear1.{p}": _TO_DECODER + "fc1.{p}",
    _DECODER + "linear2.{p}": _TO_DECODER + "fc2.{p}",
    _DECODER + "norm1.{p}": _TO_DECODER + "encoder_attn_layer_norm.{p}",
    _DECODER + "norm2.{p}": _TO_DECODER + "self_attn_layer_norm.{p}",
    _DECODER + "norm3.{p}": _TO_DECODER + "final_layer_norm.{p}",
}
ENDS: Rows = {
    "transformer.level_embed": "model.level_embed",
    "input_proj.{level}.{two}.{p}": "model.input_proj.{level}.{two}.{p}",
    "class_embed.{head}.{p}": "class_embed.{head}.{p}",
    "bbox_embed.{head}.layers.{three}.{p}": "bbox_embed.{head}.layers.{three}.{p}",
}
ONE_STAGE: Rows = {
    "query_embed.weight": "model.query_position_embeddings.weight",
    "transformer.reference_points.{p}": "model.reference_points.{p}",
}
TWO_STAGES: Rows = {
    "transformer.enc_output.{p}": "model.enc_output.{p}",
    "transformer.enc_output_norm.{p}": "model.enc_output_norm.{p}",
    "transformer.pos_trans.{p}": "model.pos_trans.{p}",
    "transformer.pos_trans_norm.{p}": "model.pos_trans_norm.{p}",
    "transformer.decoder.class_embed.{head}.{p}": "model.decoder.class_embed.{head}.{p}",
}
REFINEMENT: Rows = {
    "transformer.decoder.bbox_embed.{head}.layers.{three}.{p}": "model.decoder.bbox_embed.{head}.layers.{three}.{p}",
}


def matches(reading: Reading) -> bool:
    """Whether the tensors are laid out as that repository's; its descendants have embeddings of their own."""
    others = ("refpoint_embed.weight", "tgt_embed.weight", "label_enc.weight", "transformer.tgt_embed.weight")
    needed = ("transformer.level_embed", "transformer.encoder.layers.0.self_attn.sampling_offsets.weight")
    return all(map(reading.has, needed)) and not any(map(reading.has, others))


def config(reading: Reading) -> dict[str, object]:
    """The configuration, without its kind.

    Raises:
        CheckpointError: a backbone, a position embedding or an option that was not taught.
    """
    reading.refuse_unless("position_embedding", ("sine", "v2"))
    levels = _levels(reading)
    width = reading.size("transformer.level_embed", 1)
    heads = reading.heads(width)
    two_stages = _has_two_stages(reading)
    return {
        **resnet.config(reading, SEVERAL_SCALES if levels > 1 else (4,)),
        "d_model": width,
        "num_feature_levels": levels,
        **reading.transformer(heads),
        "encoder_n_points": _points(reading, "transformer.encoder.layers.0.self_attn", heads * levels),
        "decoder_n_points": _points(reading, "transformer.decoder.layers.0.cross_attn", heads * levels),
        "two_stage": two_stages,
        "with_box_refine": _refines_boxes(reading),
        **_queries(reading, two_stages),
        **reading.labels(reading.size("class_embed.0.weight")),
    }


def names(reading: Reading) -> dict[str, str]:
    """Every original name and its target."""
    two_stages, layers = _has_two_stages(reading), reading.count("transformer.decoder.layers.")
    heads = range(layers + two_stages)
    levels = range(_levels(reading))
    found = {
        **resnet.names(reading),
        **expand(ENCODER, n=range(reading.count("transformer.encoder.layers."))),
        **expand(DECODER, n=range(layers)),
        **expand(ENDS, level=levels, head=heads, two=range(2), three=range(3)),
        **expand(TWO_STAGES if two_stages else ONE_STAGE, head=heads),
    }
    if _refines_boxes(reading):
        found |= expand(REFINEMENT, head=heads, three=range(3))
    return found


def dropped(reading: Reading) -> set[str]:
    """Names that have no target on purpose."""
    return resnet.counters(reading)


def _levels(reading: Reading) -> int:
    """As many as there are projections, one into each.

    Raises:
        CheckpointError: their embeddings are more or fewer.
    """
    levels, embedded = reading.count("input_proj."), reading.size("transformer.level_embed")
    if levels != embedded:
        raise CheckpointError(
            f"{reading.place}: transformer.level_embed has {embedded} rows for {levels} projections input_proj.N; "
            "expected one for each"
        )
    return levels


def _has_two_stages(reading: Reading) -> bool:
    return reading.has("transformer.enc_output.weight")


def _refines_boxes(reading: Reading) -> bool:
    """Two stages always refine: the proposals' boxes come from the decoder's heads."""
    return _has_two_stages(reading) or reading.has("transformer.decoder.bbox_embed.0.layers.0.weight")


def _points(reading: Reading, module: str, heads_and_levels: int) -> int:
    return reading.size(f"{module}.attention_weights.weight") // max(heads_and_levels, 1)


def _queries(reading: Reading, two_stages: bool) -> dict[str, object]:
    if not two_stages:
        return {"num_queries": reading.size("query_embed.weight")}
    proposals = reading.whole("num_queries", USUAL_PROPOSALS, "proposals of the first stage")
    return {"num_queries": proposals, "two_stage_num_proposals": proposals}
