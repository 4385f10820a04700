"""DAB-DETR of IDEA-Research/DAB-DETR.

Source: models/DAB_DETR/DABDETR.py and transformer.py there. The box head is in a state dict twice: once by itself and
once inside the decoder, which refines the anchors with it.
"""

from detr_attnviz.checkpoints.originals import conditional_detr, resnet
from detr_attnviz.checkpoints.originals.reading import Reading
from detr_attnviz.checkpoints.originals.templates import Rows, expand

USUAL_TEMPERATURE = 20
USUAL_ACTIVATION = "prelu"

_DECODER, _TO_DECODER = "transformer.decoder.layers.{n}.", "model.decoder.layers.{n}."
_SELF, _CROSS = _TO_DECODER + "self_attn.self_attn", _TO_DECODER + "cross_attn.cross_attn"

ENCODER = conditional_detr.ENCODER
DECODER: Rows = {
    _DECODER + "sa_qcontent_proj.{p}": _SELF + "_query_content_proj.{p}",
    _DECODER + "sa_qpos_proj.{p}": _SELF + "_query_pos_proj.{p}",
    _DECODER + "sa_kcontent_proj.{p}": _SELF + "_key_content_proj.{p}",
    _DECODER + "sa_kpos_proj.{p}": _SELF + "_key_pos_proj.{p}",
    _DECODER + "sa_v_proj.{p}": _SELF + "_value_proj.{p}",
    _DECODER + "self_attn.out_proj.{p}": _SELF + ".output_proj.{p}",
    _DECODER + "norm1.{p}": _SELF + "_layer_norm.{p}",
    _DECODER + "ca_qcontent_proj.{p}": _CROSS + "_query_content_proj.{p}",
    _DECODER + "ca_kcontent_proj.{p}": _CROSS + "_key_content_proj.{p}",
    _DECODER + "ca_kpos_proj.{p}": _CROSS + "_key_pos_proj.{p}",
    _DECODER + "ca_v_proj.{p}": _CROSS + "_value_proj.{p}",
    _DECODER + "ca_qpos_sine_proj.{p}": _CROSS + "_query_pos_sine_proj.{p}",
    _DECODER + "cross_attn.out_proj.{p}": _CROSS + ".output_proj.{p}",
    _DECODER + "norm2.{p}": _CROSS + "_layer_norm.{p}",
    _DECODER + "linear1.{p}": _TO_DECODER + "mlp.fc1.{p}",
    _DECODER + "linear2.{p}": _TO_DECODER + "mlp.fc2.{p}",
    _DECODER + "norm3.{p}": _TO_DECODER + "mlp.final_layer_norm.{p}",
}
QUERY_POSITION: Rows = {_DECODER + "ca_qpos_proj.{p}": _CROSS + "_query_pos_proj.{p}"}
ACTIVATION: Rows = {
    "transformer.encoder.layers.{e}.activation.weight": "model.encoder.layers.{e}.activation_fn.weight",
    _DECODER + "activation.weight": _TO_DECODER + "mlp.activation_fn.weight",
}
PATTERNS: Rows = {"transformer.patterns.weight": "model.patterns.weight"}
ENDS: Rows = {
    "transformer.encoder.query_scale.layers.{two}.{p}": "model.encoder.query_scale.layers.{two}.{p}",
    "transformer.decoder.query_scale.layers.{two}.{p}": "model.decoder.query_scale.layers.{two}.{p}",
    "transformer.decoder.ref_point_head.layers.{two}.{p}": "model.decoder.ref_point_head.layers.{two}.{p}",
    "transformer.decoder.ref_anchor_head.layers.{two}.{p}": "model.decoder.ref_anchor_head.layers.{two}.{p}",
    "transformer.decoder.bbox_embed.layers.{three}.{p}": "model.decoder.bbox_embed.layers.{three}.{p}",
    "transformer.decoder.norm.{p}": "model.decoder.layernorm.{p}",
    "input_proj.{p}": "model.input_projection.{p}",
    "refpoint_embed.weight": "model.query_refpoint_embeddings.weight",
    "class_embed.{p}": "class_embed.{p}",
    "bbox_embed.layers.{three}.{p}": "bbox_predictor.layers.{three}.{p}",
}


def matches(reading: Reading) -> bool:
    """Whether the tensors are laid out as that repository's."""
    return reading.has("transformer.decoder.layers.0.ca_qpos_sine_proj.weight") and reading.has("refpoint_embed.weight")


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
        "hidden_size": width,
        **reading.transformer(heads),
        "activation_function": _activation(reading),
        "num_queries": reading.size("refpoint_embed.weight"),
        "query_dim": reading.size("refpoint_embed.weight", 1),
        "num_patterns": reading.size("transformer.patterns.weight"),
        "keep_query_pos": _keeps_query_position(reading),
        "temperature_height": reading.whole("pe_temperatureH", USUAL_TEMPERATURE, "as temperature of rows' positions"),
        "temperature_width": reading.whole(
            "pe_temperatureW", USUAL_TEMPERATURE, "as temperature of columns' positions"
        ),
        **reading.labels(reading.size("class_embed.weight")),
    }


def names(reading: Reading) -> dict[str, str]:
    """Every original name and its target."""
    encoder = range(reading.count("transformer.encoder.layers."))
    decoder = range(reading.count("transformer.decoder.layers."))
    found = {
        **resnet.names(reading, within_timm="_backbone."),
        **expand(ENCODER, n=encoder),
        **expand(DECODER, n=decoder),
        **expand(QUERY_POSITION, n=decoder if _keeps_query_position(reading) else (0,)),
        **expand(ENDS, two=range(2), three=range(3)),
    }
    if _has_learned_activation(reading):
        found |= expand(ACTIVATION, e=encoder, n=decoder)
    if reading.has("transformer.patterns.weight"):
        found |= PATTERNS
    return found


def dropped(reading: Reading) -> set[str]:
    """Names that have no target on purpose."""
    return resnet.counters(reading)


def _activation(reading: Reading) -> str:
    if _has_learned_activation(reading):
        return USUAL_ACTIVATION
    reading.refuse_unless("transformer_activation", ("relu", "gelu"))
    told = reading.args.get("transformer_activation")
    if told is None:
        reading.assumed.append("ReLU assumed between the linear layers (the checkpoint does not say)")
    return str(told or "relu")


def _has_learned_activation(reading: Reading) -> bool:
    return reading.has("transformer.encoder.layers.0.activation.weight")


def _keeps_query_position(reading: Reading) -> bool:
    return reading.has("transformer.decoder.layers.1.ca_qpos_proj.weight")
