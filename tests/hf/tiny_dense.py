"""Small seeded models of transformers' families with dense attention, built in code."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.hf import tiny_sampled

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
hub_errors = pytest.importorskip("huggingface_hub.errors", reason="transformers is not installed")

FAMILIES = ("detr", "conditional_detr", "dab-detr", "table-transformer", "yolos")
WITH_MASK = ("detr", "conditional_detr", "dab-detr", "table-transformer")

_NAMES = {
    "detr": "Detr",
    "conditional_detr": "ConditionalDetr",
    "dab-detr": "DabDetr",
    "table-transformer": "TableTransformer",
    "yolos": "Yolos",
}
_WIDTH = 32
_LOOKING = ("q_proj", "k_proj", ".query.", ".key.", "content_proj", "pos_proj", "sine_proj")
_TOKENS = ("_tokens", "position_embeddings", "refpoint_embed")
_HEADS = ("bbox_embed", "bbox_predictor", "reference_points_head", "ref_point_head", "query_pos_head")


def tiny(model_type: str, **changes: Any) -> nn.Module:
    """A family's detector in ``eval()``: 32 wide, 2 layers each, 4 heads, 6 queries, 4 classes; skips if it is missing.

    Families with sampled attention are those of ``tiny_sampled``, LW-DETR with a level for its backbone's patches.
    Queries, keys, convolutions and learned tokens are stirred: as initialised, everybody would look everywhere alike.
    """
    if model_type == "lw_detr":
        changes = {"projector_scale_factors": [2.0, 1.0]} | changes
    if model_type not in FAMILIES:
        return _stirred(tiny_sampled.tiny(model_type, **changes))
    name = _NAMES[model_type]
    try:
        config = getattr(transformers, f"{name}Config")(**_sizes(model_type) | changes)
    except hub_errors.StrictDataclassFieldValidationError as error:
        pytest.skip(f"transformers {transformers.__version__} does not accept its own {name}Config(): {error}")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return _stirred(getattr(transformers, f"{name}ForObjectDetection")(config)).eval()


def tiny_inputs(model_type: str, height_px: int = 128, width_px: int = 192, batch: int = 1) -> dict[str, Tensor]:
    """Seeded pictures of one size, with the prompt where a family takes one."""
    return tiny_sampled.tiny_inputs(model_type, height_px, width_px, batch)


def save_folder(model_type: str, path: Path, **changes: Any) -> Path:
    """The tiny model as ``save_pretrained`` writes it, with what prepares pictures for it."""
    tiny(model_type, **changes).save_pretrained(path)  # type: ignore[operator]
    images = {"dab-detr": "ConditionalDetr", "table-transformer": "Detr"}
    getattr(transformers, f"{images.get(model_type, _NAMES[model_type])}ImageProcessor")().save_pretrained(path)
    return path


def _stirred(model: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(2)

    def noise(value: Tensor) -> Tensor:
        return torch.randn(value.shape, generator=generator)

    for name, value in model.named_parameters():
        if any(part in f".{name}" for part in _LOOKING):
            value.data.copy_(0.4 * noise(value) if value.dim() > 1 else 0.3 * noise(value))
        elif any(part in name for part in _TOKENS):
            value.data.copy_(noise(value))
        elif value.dim() == 4 or (value.dim() == 2 and any(part in name for part in _HEADS)):
            value.data.copy_(noise(value) / value[0].numel() ** 0.5)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.weight.data.copy_(1 + 0.3 * noise(part.weight))
    return model


def _sizes(model_type: str) -> dict[str, Any]:
    if model_type == "yolos":
        return {
            "num_labels": 4,
            "hidden_size": _WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 64,
            "image_size": [128, 192],
            "num_detection_tokens": 6,
        }
    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type="basic", out_features=["stage4"]
    )
    return {
        "backbone_config": backbone,
        "num_labels": 4,
        "num_queries": 6,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "hidden_size" if model_type == "dab-detr" else "d_model": _WIDTH,
    }
