"""Recognises how a checkpoint names its tensors and renames them to the official keys.

Each dialect is a table of templates, ``found → official``. In a template ``{n}`` and the like stand for a number
and ``{p}`` for the rest of a tensor's own name (``weight``, ``running_mean`` …). Wrappers' prefixes (``module.``,
``detr.``, ``model.`` …) are taken off first, so every table is written without them. Nothing is dropped silently: a
key either gets its official name, is known and unused (``extra``), is known to mean nothing (``ignored``), or is
listed as ``unknown``.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from detr_attnviz.checkpoints.relatives import refuse_relative
from detr_attnviz.errors import CheckpointError

PREFIXES = ("module.", "_orig_mod.", "model.", "detr.")
"""What wrappers put before a key, in any number and order."""

IGNORED = ("total_ops", "total_params", "num_batches_tracked", "pixel_mean", "pixel_std", "empty_weight")
"""Last parts of keys that hold no weight: profilers' and batch norms' counters, detectron2's and losses' constants."""

OFFICIAL = (
    ("backbone.0.body.{conv}.{p}", "backbone.0.body.{conv}.{p}"),
    ("backbone.0.body.layer{s}.{b}.{p}", "backbone.0.body.layer{s}.{b}.{p}"),
    ("backbone.1.row_embed.weight", "backbone.1.row_embed.weight"),
    ("backbone.1.col_embed.weight", "backbone.1.col_embed.weight"),
    ("input_proj.{p}", "input_proj.{p}"),
    ("transformer.{side}.layers.{n}.{attn}.in_proj_{p}", "transformer.{side}.layers.{n}.{attn}.in_proj_{p}"),
    ("transformer.{side}.layers.{n}.{attn}.out_proj.{p}", "transformer.{side}.layers.{n}.{attn}.out_proj.{p}"),
    ("transformer.{side}.layers.{n}.linear{k}.{p}", "transformer.{side}.layers.{n}.linear{k}.{p}"),
    ("transformer.{side}.layers.{n}.norm{k}.{p}", "transformer.{side}.layers.{n}.norm{k}.{p}"),
    ("transformer.{side}.norm.{p}", "transformer.{side}.norm.{p}"),
    ("query_embed.weight", "query_embed.weight"),
    ("class_embed.{p}", "class_embed.{p}"),
    ("bbox_embed.layers.{n}.{p}", "bbox_embed.layers.{n}.{p}"),
)

TRANSFORMER = tuple(row for row in OFFICIAL if row[0].startswith("transformer."))
HEADS = tuple(row for row in OFFICIAL if row[0].startswith(("query_", "class_", "bbox_", "input_", "backbone.1")))

DETECTRON2 = (
    ("backbone.0.backbone.stem.conv1.norm.{p}", "backbone.0.body.bn1.{p}"),
    ("backbone.0.backbone.stem.conv1.{p}", "backbone.0.body.conv1.{p}"),
    ("backbone.0.backbone.res{s+1}.{b}.conv{k}.norm.{p}", "backbone.0.body.layer{s}.{b}.bn{k}.{p}"),
    ("backbone.0.backbone.res{s+1}.{b}.conv{k}.{p}", "backbone.0.body.layer{s}.{b}.conv{k}.{p}"),
    ("backbone.0.backbone.res{s+1}.{b}.shortcut.norm.{p}", "backbone.0.body.layer{s}.{b}.downsample.1.{p}"),
    ("backbone.0.backbone.res{s+1}.{b}.shortcut.{p}", "backbone.0.body.layer{s}.{b}.downsample.0.{p}"),
    *TRANSFORMER,
    *HEADS,
)

NOTEBOOK = (
    ("backbone.layer{s}.{b}.{p}", "backbone.0.body.layer{s}.{b}.{p}"),
    ("backbone.{conv}.{p}", "backbone.0.body.{conv}.{p}"),
    ("conv.{p}", "input_proj.{p}"),
    ("linear_class.{p}", "class_embed.{p}"),
    ("linear_bbox.{p}", "bbox_embed.layers.0.{p}"),
    ("query_pos", "query_embed.weight"),
    ("row_embed", "backbone.1.row_embed.weight"),
    ("col_embed", "backbone.1.col_embed.weight"),
    *TRANSFORMER,
)

_HF_BODY = r"backbone.{body}"
_HF_NATIVE = _HF_BODY + "encoder.stages.{s-1}.layers.{b}."
HUGGING_FACE = (
    (_HF_BODY + "layer{s}.{b}.{p}", "backbone.0.body.layer{s}.{b}.{p}"),
    (_HF_BODY + "{conv}.{p}", "backbone.0.body.{conv}.{p}"),
    (_HF_BODY + "embedder.embedder.convolution.{p}", "backbone.0.body.conv1.{p}"),
    (_HF_BODY + "embedder.embedder.normalization.{p}", "backbone.0.body.bn1.{p}"),
    (_HF_NATIVE + "layer.{k-1}.convolution.{p}", "backbone.0.body.layer{s}.{b}.conv{k}.{p}"),
    (_HF_NATIVE + "layer.{k-1}.normalization.{p}", "backbone.0.body.layer{s}.{b}.bn{k}.{p}"),
    (_HF_NATIVE + "shortcut.convolution.{p}", "backbone.0.body.layer{s}.{b}.downsample.0.{p}"),
    (_HF_NATIVE + "shortcut.normalization.{p}", "backbone.0.body.layer{s}.{b}.downsample.1.{p}"),
    ("{place}position_embedding.row_embeddings.weight", "backbone.1.row_embed.weight"),
    ("{place}position_embedding.column_embeddings.weight", "backbone.1.col_embed.weight"),
    ("input_projection.{p}", "input_proj.{p}"),
    ("{side}.layers.{n}.self_attn.{qkv}_proj.{p}", "transformer.{side}.layers.{n}.self_attn.{qkv}.{p}"),
    ("{side}.layers.{n}.encoder_attn.{qkv}_proj.{p}", "transformer.{side}.layers.{n}.multihead_attn.{qkv}.{p}"),
    ("{side}.layers.{n}.self_attn.{out}.{p}", "transformer.{side}.layers.{n}.self_attn.out_proj.{p}"),
    ("{side}.layers.{n}.encoder_attn.{out}.{p}", "transformer.{side}.layers.{n}.multihead_attn.out_proj.{p}"),
    ("{side}.layers.{n}.{mlp}fc{k}.{p}", "transformer.{side}.layers.{n}.linear{k}.{p}"),
    ("{side}.layers.{n}.self_attn_layer_norm.{p}", "transformer.{side}.layers.{n}.norm1.{p}"),
    ("{side}.layers.{n}.encoder_attn_layer_norm.{p}", "transformer.{side}.layers.{n}.norm2.{p}"),
    ("encoder.layers.{n}.final_layer_norm.{p}", "transformer.encoder.layers.{n}.norm2.{p}"),
    ("decoder.layers.{n}.final_layer_norm.{p}", "transformer.decoder.layers.{n}.norm3.{p}"),
    ("{side}.layernorm.{p}", "transformer.{side}.norm.{p}"),
    ("query_position_embeddings.weight", "query_embed.weight"),
    ("class_labels_classifier.{p}", "class_embed.{p}"),
    ("bbox_predictor.layers.{n}.{p}", "bbox_embed.layers.{n}.{p}"),
)

DIALECTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "official": OFFICIAL,
    "detectron2": DETECTRON2,
    "notebook": NOTEBOOK,
    "hugging-face": HUGGING_FACE,
}

PLACEHOLDERS = {
    "s": r"[1-4]",
    "s+1": r"[2-5]",
    "s-1": r"[0-3]",
    "b": r"\d+",
    "n": r"\d+",
    "k": r"[1-3]",
    "k-1": r"[0-2]",
    "p": r"\w+(?:\.\w+)*",
    "conv": r"conv1|bn1",
    "side": r"encoder|decoder",
    "attn": r"self_attn|multihead_attn",
    "qkv": r"[qkv]",
    "out": r"out_proj|o_proj",
    "mlp": r"(?:mlp\.)?",
    "body": r"(?:conv_encoder\.)?model\.(?:_backbone\.)?",
    "place": r"(?:backbone\.)?",
}

BODY_TENSOR = re.compile(
    r"backbone\.0\.body\.(?:layer\d\.\d+\.)?"
    r"(?:(?:conv\d|downsample\.0)\.weight|(?:bn\d|downsample\.1)\.(?:weight|bias|running_mean|running_var))"
)
"""What a ResNet body may hold: convolutions have no bias."""

EXTRA = re.compile(r"(?:bbox_attention|mask_head)\..+")
CLASSIFIER = re.compile(r"backbone\.(?:0\.body\.|0\.backbone\.|(?:conv_encoder\.)?model\.)?(?:fc|classifier(?:\.\d+)?)\.\w+")


@dataclass(frozen=True)
class Renamed:
    """A state dict under the official keys, and what became of every other key.

    ``dialect`` is ``official``, ``panoptic``, ``detectron2``, ``notebook`` or ``hugging-face``; ``prefixes`` are the
    wrappers' prefixes that were taken off. ``extra`` holds the mask head of a panoptic checkpoint: known, not used
    for boxes or attention. ``unknown`` and ``ignored`` list keys as found in the file, sorted.
    """

    tensors: dict[str, Tensor]
    dialect: str
    unknown: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    extra: dict[str, Tensor] = field(default_factory=dict)
    prefixes: tuple[str, ...] = ()


def canonical(tensors: Mapping[str, Tensor]) -> Renamed:
    """The same tensors under the official keys, bit for bit; q, k, v kept apart are joined into ``in_proj``.

    Raises:
        CheckpointError: the file belongs to another model (named), holds nothing of a DETR, or says one tensor twice.
    """
    refuse_relative(tensors)
    found = {key: strip_prefixes(key) for key in tensors}
    ignored = {key for key, bare in found.items() if bare.rpartition(".")[2] in IGNORED or CLASSIFIER.fullmatch(bare)}
    extra = {bare: key for key, bare in found.items() if EXTRA.fullmatch(bare)}
    candidates = {key: bare for key, bare in found.items() if key not in ignored and bare not in extra}
    dialect, placed = _best_dialect(candidates)
    if not placed:
        raise CheckpointError(_nothing_fits(tensors))
    renamed, incomplete = _join_attention(_one_key_each(placed, tensors))
    unknown = [key for key in candidates if key not in placed] + [
        key for key, official in placed.items() if official in incomplete
    ]
    return Renamed(
        tensors=renamed,
        dialect="panoptic" if dialect == "official" and extra else dialect,
        unknown=tuple(sorted(unknown)),
        ignored=tuple(sorted(ignored)),
        extra={bare: tensors[key] for bare, key in extra.items()},
        prefixes=tuple(sorted({key.removesuffix(bare) for key, bare in found.items()} - {""})),
    )


def strip_prefixes(key: str) -> str:
    """A key without the prefixes that wrappers put before it: ``module.detr.class_embed.bias → class_embed.bias``."""
    while key.startswith(PREFIXES):
        key = key.partition(".")[2]
    return key


def _best_dialect(candidates: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The dialect that places most keys, and ``key in the file → official key`` under it."""
    best: tuple[str, dict[str, str]] = ("official", {})
    for dialect, rules in _RULES.items():
        placed = {key: name for key, bare in candidates.items() if (name := _rename(bare, rules)) is not None}
        if len(placed) > len(best[1]):
            best = dialect, placed
        if len(placed) == len(candidates):
            break
    return best


def _rename(key: str, rules: Iterable[tuple[re.Pattern[str], str]]) -> str | None:
    for pattern, template in rules:
        if match := pattern.fullmatch(key):
            name = template.format(**{group: text for group, text in match.groupdict().items() if text is not None})
            return name if _may_exist(name) else None
    return None


def _may_exist(name: str) -> bool:
    if name.startswith("backbone.0.body."):
        return BODY_TENSOR.fullmatch(name) is not None
    return name.endswith(("weight", "bias"))


def _compile(found: str) -> re.Pattern[str]:
    """A template as a regular expression whose groups are already shifted to the official numbers by ``_Shift``."""
    parts = re.split(r"\{(.+?)\}", found)
    pattern = ""
    for index, part in enumerate(parts):
        if index % 2 == 0:
            pattern += re.escape(part)
        else:
            pattern += f"(?P<{_GROUP_NAMES.get(part, part)}>{PLACEHOLDERS[part]})"
    return re.compile(pattern)
