"""How each kind of checkpoint names a DETR's tensors: tables of templates, ``found → official``.

A template stands for the keys it matches once wrappers' prefixes are gone. ``{n}`` and its like stand for a number,
``{s-1}`` for a number that is one less than the official ``{s}``; the others are in ``PLACEHOLDERS``.
``{qkv}`` marks parts that must be joined into one packed ``in_proj``.
"""

from collections.abc import Mapping

Rows = tuple[tuple[str, str], ...]

NUMBER = "(?:0|[1-9][0-9]?)"
"""A layer's or block's number in a name: as Python writes it, and below 100, as names are free and layers are not."""

PLACEHOLDERS: Mapping[str, str] = {
    "s": r"[1-4]",
    "s+1": r"[2-5]",
    "s-1": r"[0-3]",
    "b": NUMBER,
    "n": NUMBER,
    "k": r"[1-3]",
    "k-1": r"[0-2]",
    "p": r"weight|bias",
    "stat": r"weight|bias|running_mean|running_var",
    "side": r"encoder|decoder",
    "attn": r"self_attn|multihead_attn",
    "qkv": r"[qkv]",
    "out": r"out_proj|o_proj",
    "mlp": r"(?:mlp\.)?",
    "body": r"(?:conv_encoder\.)?model\.(?:_backbone\.)?",
    "place": r"(?:backbone\.)?",
}

IGNORED = ("total_ops", "total_params", "num_batches_tracked", "pixel_mean", "pixel_std", "empty_weight", "n_averaged")
"""Last parts of keys that hold no weight: counters of profilers and batch norms, constants."""

UNUSED_CLASSIFIER = r"backbone\.(?:0\.body\.|0\.backbone\.|(?:conv_encoder\.)?model\.)?fc\.(?:weight|bias)"
"""The classifier of a ResNet whose last layer was left in."""

EXTRA = r"(?:bbox_attention|mask_head)\..+"
"""A panoptic checkpoint's mask head: known, but neither boxes nor their attention need it."""

BODY = "backbone.0.body."
RESNET = (
    "conv1.weight",
    "bn1.{stat}",
    "layer{s}.{b}.conv{k}.weight",
    "layer{s}.{b}.bn{k}.{stat}",
    "layer{s}.{b}.downsample.0.weight",
    "layer{s}.{b}.downsample.1.{stat}",
)
TRANSFORMER = (
    "transformer.{side}.layers.{n}.{attn}.in_proj_{p}",
    "transformer.{side}.layers.{n}.{attn}.out_proj.{p}",
    "transformer.{side}.layers.{n}.linear{k}.{p}",
    "transformer.{side}.layers.{n}.norm{k}.{p}",
    "transformer.{side}.norm.{p}",
)
ENDS = (
    "backbone.1.row_embed.weight",
    "backbone.1.col_embed.weight",
    "input_proj.{p}",
    "query_embed.weight",
    "class_embed.{p}",
    "bbox_embed.layers.{n}.{p}",
)


def _under(found: str, names: tuple[str, ...], official: str = "") -> Rows:
    """The same names under another prefix."""
    return tuple((found + name, official + name) for name in names)


OFFICIAL: Rows = _under(BODY, RESNET, BODY) + _under("", TRANSFORMER + ENDS)

DETECTRON2: Rows = (
    ("backbone.0.backbone.stem.conv1.weight", BODY + "conv1.weight"),
    ("backbone.0.backbone.stem.conv1.norm.{stat}", BODY + "bn1.{stat}"),
    ("backbone.0.backbone.res{s+1}.{b}.conv{k}.weight", BODY + "layer{s}.{b}.conv{k}.weight"),
    ("backbone.0.backbone.res{s+1}.{b}.conv{k}.norm.{stat}", BODY + "layer{s}.{b}.bn{k}.{stat}"),
    ("backbone.0.backbone.res{s+1}.{b}.shortcut.weight", BODY + "layer{s}.{b}.downsample.0.weight"),
    ("backbone.0.backbone.res{s+1}.{b}.shortcut.norm.{stat}", BODY + "layer{s}.{b}.downsample.1.{stat}"),
    *_under("", TRANSFORMER + ENDS),
)

NOTEBOOK: Rows = (
    *_under("backbone.", RESNET, BODY),
    ("conv.{p}", "input_proj.{p}"),
    ("linear_class.{p}", "class_embed.{p}"),
    ("linear_bbox.{p}", "bbox_embed.layers.0.{p}"),
    ("query_pos", "query_embed.weight"),
    ("row_embed", "backbone.1.row_embed.weight"),
    ("col_embed", "backbone.1.col_embed.weight"),
    *_under("", TRANSFORMER),
)

_HF = "backbone.{body}"
_HF_BLOCK = _HF + "encoder.stages.{s-1}.layers.{b}."
_LAYER = "{side}.layers.{n}."
HUGGING_FACE: Rows = (
    *_under(_HF, RESNET, BODY),
    (_HF + "embedder.embedder.convolution.weight", BODY + "conv1.weight"),
    (_HF + "embedder.embedder.normalization.{stat}", BODY + "bn1.{stat}"),
    (_HF_BLOCK + "layer.{k-1}.convolution.weight", BODY + "layer{s}.{b}.conv{k}.weight"),
    (_HF_BLOCK + "layer.{k-1}.normalization.{stat}", BODY + "layer{s}.{b}.bn{k}.{stat}"),
    (_HF_BLOCK + "shortcut.convolution.weight", BODY + "layer{s}.{b}.downsample.0.weight"),
    (_HF_BLOCK + "shortcut.normalization.{stat}", BODY + "layer{s}.{b}.downsample.1.{stat}"),
    ("{place}position_embedding.row_embeddings.weight", "backbone.1.row_embed.weight"),
    ("{place}position_embedding.column_embeddings.weight", "backbone.1.col_embed.weight"),
    ("input_projection.{p}", "input_proj.{p}"),
    (_LAYER + "self_attn.{qkv}_proj.{p}", "transformer." + _LAYER + "self_attn.{qkv}.{p}"),
    (_LAYER + "encoder_attn.{qkv}_proj.{p}", "transformer." + _LAYER + "multihead_attn.{qkv}.{p}"),
    (_LAYER + "self_attn.{out}.{p}", "transformer." + _LAYER + "self_attn.out_proj.{p}"),
    (_LAYER + "encoder_attn.{out}.{p}", "transformer." + _LAYER + "multihead_attn.out_proj.{p}"),
    (_LAYER + "{mlp}fc{k}.{p}", "transformer." + _LAYER + "linear{k}.{p}"),
    (_LAYER + "self_attn_layer_norm.{p}", "transformer." + _LAYER + "norm1.{p}"),
    (_LAYER + "encoder_attn_layer_norm.{p}", "transformer." + _LAYER + "norm2.{p}"),
    ("encoder.layers.{n}.final_layer_norm.{p}", "transformer.encoder.layers.{n}.norm2.{p}"),
    ("decoder.layers.{n}.final_layer_norm.{p}", "transformer.decoder.layers.{n}.norm3.{p}"),
    ("{side}.layernorm.{p}", "transformer.{side}.norm.{p}"),
    ("query_position_embeddings.weight", "query_embed.weight"),
    ("class_labels_classifier.{p}", "class_embed.{p}"),
    ("bbox_predictor.layers.{n}.{p}", "bbox_embed.layers.{n}.{p}"),
)

DIALECTS: Mapping[str, Rows] = {
    "official": OFFICIAL,
    "detectron2": DETECTRON2,
    "notebook": NOTEBOOK,
    "hugging-face": HUGGING_FACE,
}
