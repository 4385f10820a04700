"""Conditional DETR of Atten4Vis/ConditionalDETR.

Source: models/conditional_detr.py and models/transformer.py there; the modules' names are those of its state dict.
"""

from detr_attnviz.checkpoints.originals import resnet
from detr_attnviz.checkpoints.originals.reading import Reading
from detr_attnviz.checkpoints.originals.templates import Rows, expand

_ENCODER, _TO_ENCODER = "transformer.encoder.layers.{n}.", "model.encoder.layers.{n}."
_DECODER, _TO_DECODER = "transformer.decoder.layers.{n}.", "model.decoder.layers.{n}."

ENCODER: Rows = {
    _ENCODER + "self_attn.in_proj_{p}": _TO_ENCODER + "self_attn.{qkv}_proj.{p}",
    _ENCODER + "self_attn.out_proj.{p}": _TO_ENCODER + "self_attn.out_proj.{p}",
    _ENCODER + "linear1.{p}": _TO_ENCODER + "fc1.{p}",
    _ENCODER + "linear2.{p}": _TO_ENCODER + "fc2.{p}",
    _ENCODER + "norm1.{p}": _TO_ENCODER + "self_attn_layer_norm.{p}",
    _ENCODER + "norm2.{p}": _TO_ENCODER + "final_layer_norm.{p}",
}
DECODER: Rows = {
    **{
        _DECODER + part + ".{p}": _TO_DECODER + part + ".{p}"
        for part in (
            "sa_qcontent_proj",
            "sa_qpos_proj",
            "sa_kcontent_proj",
            "sa_kpos_proj",
            "sa_v_proj",
            "ca_qcontent_proj",
            "ca_kcontent_proj",
            "ca_kpos_proj",
            "ca_v_proj",
            "ca_qpos_sine_proj",
            "self_attn.out_proj",
        )
    },
    _DECODER + "cross_attn.out_proj.{p}": _TO_DECODER + "encoder_attn.out_proj.{p}",
    _DECODER + "linear1.{p}": _TO_DECODER + "fc1.{p}",
    _DECODER + "linear2.{p}": _TO_DECODER + "fc2.{p}",
    _DECODER + "norm1.{p}": _TO_DECODER + "self_attn_layer_norm.{p}",
    _DECODER + "norm2.{p}": _TO_DECODER + "encoder_attn_layer_norm.{p}",
    _DECODER + "norm3.{p}": _TO_DECODER + "final_layer_norm.{p}",
}
ENDS: Rows = {
    "transformer.decoder.layers.0.ca_qpos_proj.{p}": "model.decoder.layers.0.ca_qpos_proj.{p}",
    "transformer.decoder.norm.{p}": "model.decoder.layernorm.{p}",
    "transformer.decoder.query_scale.layers.{two}.{p}": "model.decoder.query_scale.layers.{two}.{p}",
    "transformer.decoder.ref_point_head.layers.{two}.{p}": "model.decoder.ref_point_head.layers.{two}.{p}",
    "input_proj.{p}": "model.input_projection.{p}",
    "query_embed.weight": "model.query_position_embeddings.weight",
    "class_embed.{p}": "class_labels_classifier.{p}",
    "bbox_embed.layers.{three}.{p}": "bbox_predictor.layers.{three}.{p}",
}


def matches(reading: Reading) -> bool:
    """Whether the tensors are laid out as that repository's."""
    return reading.has("transformer.decoder.layers.0.ca_qpos_sine_proj.weight") and reading.has("query_embed.weight")


def config(reading: Reading) -> dict[str, object]:
    """The configuration, without its kind.

    Raises:
        CheckpointError: a backbone, a position embedding or an option that was not taught.
    """
    reading.refuse_unless("position_embedding", ("sine", "v2"))
    reading.refuse_unless("pre_norm", (False,))
    width = reading.size("input_proj.weight")
    heads = reading.heads(width)
    return {
        **resnet.config(reading, (4,)),
        "d_model": width,
        **reading.transformer(heads),
        "num_queries": reading.size("query_embed.weight"),
        **reading.labels(reading.size("class_embed.weight")),
    }


def names(reading: Reading) -> dict[str, str]:
    """Every original name and its target."""
    return {
        **resnet.names(reading),
        **expand(ENCODER, n=range(reading.count("transformer.encoder.layers."))),
        **expand(DECODER, n=range(reading.count("transformer.decoder.layers."))),
        **expand(ENDS, two=range(2), three=range(3)),
    }


def dropped(reading: Reading) -> set[str]:
    """Names that have no target on purpose."""
    return resnet.counters(reading)
