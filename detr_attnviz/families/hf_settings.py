"""A configuration of transformers as what a model is: nothing in it is fetched, and no code that it names is run.

A ``config.json`` is anybody's text. transformers would ask the Hub for what some of its entries name, on every depth.
"""

import re
from collections.abc import Mapping
from typing import Any

from detr_attnviz.checkpoints.saved import quoted
from detr_attnviz.errors import CheckpointError

_NOT_OURS = frozenset(
    {
        *("auto_map", "name_or_path", "_name_or_path", "transformers_weights"),
        *("attn_implementation", "_attn_implementation", "_attn_implementation_internal"),
        *("experts_implementation", "_experts_implementation", "_experts_implementation_internal"),
        *("kernel_config", "use_kernels", "fusion_config", "distributed_config"),
        *("dtype", "torch_dtype", "output_attentions", "output_hidden_states", "return_dict"),
    }
)
"""Entries that change where a model comes from and how it is run, not what it is."""

_FETCHES = frozenset({"use_pretrained_backbone", "pretrained"})
_NAMES_OF_TIMM = ("backbone", "architecture")
_PLAIN_NAME = re.compile(r"[\w.-]*")
_WITH_TIMM_DEFAULTS = ("detr", "conditional_detr", "dab-detr", "table-transformer", "deformable_detr")
_TEXT_MODELS = ("bert",)


def settings_of(config: Mapping[str, object], source: str) -> dict[str, Any]:
    """``config`` without what is to be fetched or run.

    Raises: CheckpointError for one whose model is not whole without that, or whose weights are quantized.
    """
    settings: dict[str, Any] = _own({name: value for name, value in config.items() if name != "preprocessor_config"})
    settings["auxiliary_loss"] = False  # with it DETR's decoder gives its next layer what was meant for the loss
    settings["use_pretrained_backbone"] = False
    _name_backbone(settings, source)
    _check_everywhere(settings, source)
    _check_parts(settings, source)
    return settings


def _own(value: Any) -> Any:
    if isinstance(value, list):
        return [_own(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {name: name not in _FETCHES and _own(item) for name, item in value.items() if name not in _NOT_OURS}


def _name_backbone(settings: dict[str, Any], source: str) -> None:
    """Writes out what ``backbone`` and its options say: with options, transformers would ask the Hub about the name."""
    options = settings.pop("backbone_kwargs", None) or {}
    name = settings.get("backbone")
    if settings.get("backbone_config"):
        settings["backbone"] = None
        return
    is_usual = settings.get("model_type") in _WITH_TIMM_DEFAULTS or "out_indices" in options
    if name is not None and (settings.get("use_timm_backbone") is False or not is_usual):
        raise CheckpointError(
            f"{source}: its backbone is another model, {name}, whose configuration is not there; save the model again "
            "with a newer transformers, which writes a backbone_config"
        )
    if "output_stride" in options:
        settings["dilation"] = options["output_stride"] == 16
    if "out_indices" in options:
        settings["backbone_config"] = {
            "model_type": "timm_backbone",
            "backbone": name or "resnet50",
            "num_channels": options.get("in_chans", settings.get("num_channels", 3)),
            "features_only": True,
            "out_indices": options["out_indices"],
            "output_stride": options.get("output_stride", 16 if settings.get("dilation") else None),
        }


def _check_everywhere(value: Any, source: str) -> None:
    if isinstance(value, list):
        for item in value:
            _check_everywhere(item, source)
    if not isinstance(value, Mapping):
        return
    if value.get("quantization_config"):
        raise CheckpointError(f"{source}: quantized weights cannot be read here; take the model that they were made of")
    for key in _NAMES_OF_TIMM:
        name = value.get(key)
        if isinstance(name, str) and not _PLAIN_NAME.fullmatch(name):  # "hf-hub:owner/name", "local-dir:/folder"
            raise CheckpointError(
                f"{source}: refused, because {quoted(key, name)} in its configuration is an address, from which a "
                "model would be fetched; expected the name of one of timm's own models, such as 'resnet50'"
            )
    for item in value.values():
        _check_everywhere(item, source)


def _check_parts(settings: Mapping[str, Any], source: str) -> None:
    """Of other kinds some fetch code when they are made, or are made of parts of their own."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING_NAMES

    for part, known in (("backbone_config", MODEL_FOR_BACKBONE_MAPPING_NAMES), ("text_config", _TEXT_MODELS)):
        described = settings.get(part)
        kind = described.get("model_type") if isinstance(described, Mapping) else None
        if kind is not None and kind not in known:
            raise CheckpointError(
                f"{source}: {quoted('model_type', kind)} in its {part} is no part of a DETR that is known here; known "
                f"are {', '.join(known)}"
            )
