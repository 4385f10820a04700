"""Small seeded models of transformers' families with deformable attention, built in code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
hub_errors = pytest.importorskip("huggingface_hub.errors", reason="transformers is not installed")

FAMILIES = (
    "deformable_detr",
    "rt_detr",
    "rt_detr_v2",
    "d_fine",
    "lw_detr",
    "rf_detr",
    "deimv2",
    "pp_doclayout_v2",
    "pp_doclayout_v3",
    "pp_doclayout_v4",
    "grounding-dino",
    "mm-grounding-dino",
)
WITH_MASK = ("deformable_detr", "lw_detr", "rf_detr", "grounding-dino", "mm-grounding-dino")
WITH_TEXT = ("grounding-dino", "mm-grounding-dino")
WORDS = {101: "[CLS]", 102: "[SEP]", 1012: ".", 1029: "?", 2000: "cat", 2001: "dog", 2002: "remote"}
PROMPT = (101, 2000, 1012, 2002, 2001, 1012, 102)

_NAMES = {
    "deformable_detr": "DeformableDetr",
    "rt_detr": "RTDetr",
    "rt_detr_v2": "RTDetrV2",
    "d_fine": "DFine",
    "lw_detr": "LwDetr",
    "rf_detr": "RfDetr",
    "deimv2": "Deimv2",
    "pp_doclayout_v2": "PPDocLayoutV2",
    "pp_doclayout_v3": "PPDocLayoutV3",
    "pp_doclayout_v4": "PPDocLayoutV4",
    "grounding-dino": "GroundingDino",
    "mm-grounding-dino": "MMGroundingDino",
}
_WIDTH = 32


def tiny(model_type: str, **changes: Any) -> nn.Module:
    """A family's detector in ``eval()``: 32 wide, 2 decoder layers, 6 queries, 4 classes; skips where it is missing.

    Offsets, weights and box heads are stirred: as initialised, every query would read alike and no box would move.
    """
    name = _NAMES[model_type]
    if not hasattr(transformers, f"{name}ForObjectDetection"):
        pytest.skip(f"transformers {transformers.__version__} has no {model_type}")
    try:
        getattr(transformers, f"{name}Config")()
    except hub_errors.StrictDataclassFieldValidationError as error:
        pytest.skip(f"transformers {transformers.__version__} does not accept its own {name}Config(): {error}")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        config = getattr(transformers, f"{name}Config")(**_sizes(model_type) | changes)
        model: nn.Module = getattr(transformers, f"{name}ForObjectDetection")(config)
        for part, value in model.state_dict().items():
            if "sampling_offsets" in part or "attention_weights" in part:
                value.copy_(torch.randn_like(value) * (1.0 if part.endswith("bias") else 0.3))
            elif "bbox_embed" in part or "reference_point" in part:
                value.add_(0.1 * torch.randn_like(value))
    return model.eval()


def tiny_inputs(model_type: str, height_px: int = 128, width_px: int = 192, batch: int = 1) -> dict[str, Tensor]:
    """Seeded pictures of one size, with the prompt where a family takes one."""
    generator = torch.Generator().manual_seed(height_px * 1000 + width_px)
    inputs = {"pixel_values": torch.randn(batch, 3, height_px, width_px, generator=generator)}
    if model_type in WITH_TEXT:
        inputs["input_ids"] = torch.tensor([PROMPT] * batch)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    return inputs


def save_folder(model_type: str, path: Path, **changes: Any) -> Path:
    """The tiny model as ``save_pretrained`` writes it, with what prepares pictures (and text) for it."""
    tiny(model_type, **changes).save_pretrained(path)  # type: ignore[operator]
    name = _NAMES[model_type]
    images = {"d_fine": "RTDetr", "rt_detr_v2": "RTDetr", "deimv2": "RTDetr", "lw_detr": "DeformableDetr"}
    images["mm-grounding-dino"] = "GroundingDino"
    processor = getattr(transformers, f"{images.get(model_type, name)}ImageProcessor")()
    if model_type in WITH_TEXT:
        (path / "vocab.txt").write_text("\n".join(WORDS.get(index, f"[unused{index}]") for index in range(2100)))
        tokenizer = transformers.BertTokenizer(str(path / "vocab.txt"))
        processor = transformers.GroundingDinoProcessor(processor, tokenizer)
    processor.save_pretrained(path)
    return path


def _sizes(model_type: str) -> dict[str, Any]:
    common = {"num_labels": 4, "num_queries": 6, "decoder_layers": 2, "decoder_ffn_dim": 64, "d_model": _WIDTH}
    own = {
        "deformable_detr": _deformable,
        "lw_detr": _lw_detr,
        "rf_detr": _rf_detr,
        "grounding-dino": _grounding,
        "mm-grounding-dino": _grounding,
    }
    return common | (own[model_type]() if model_type in own else _hybrid(model_type))


def _deformable() -> dict[str, Any]:
    return {
        "backbone_config": _resnet(),
        "encoder_layers": 2,
        "encoder_ffn_dim": 64,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_n_points": 3,
        "decoder_n_points": 2,
        "num_feature_levels": 4,
        "two_stage_num_proposals": 6,
    }


def _hybrid(model_type: str) -> dict[str, Any]:
    """RT-DETR and what came of it: one encoder layer on the coarsest level, levels mixed by convolutions."""
    sizes: dict[str, Any] = {
        "backbone_config": _hgnet() if model_type not in ("rt_detr", "rt_detr_v2") else _rt_resnet(),
        "encoder_hidden_dim": _WIDTH,
        "encoder_in_channels": [16, 24, 32],
        "decoder_in_channels": [_WIDTH] * 3,
        "encoder_ffn_dim": 64,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "decoder_n_points": 3,
        "num_denoising": 0,
    }
    if model_type in ("d_fine", "deimv2"):
        sizes |= {"decoder_n_points": [3, 6, 2], "lqe_hidden_dim": 8, "max_num_bins": 8, "depth_mult": 0.34}
    if model_type == "pp_doclayout_v3":
        sizes |= {"backbone_config": _hgnet((1, 2, 3, 4)), "mask_feature_channels": [16, 16], "x4_feat_dim": 8}
    if model_type == "pp_doclayout_v2":
        sizes |= {"reading_order_config": _reading_order(), "class_thresholds": [0.5] * 4, "class_order": [0, 1, 2, 3]}
    if model_type == "pp_doclayout_v4":
        sizes["hidden_size"] = _WIDTH
    return sizes


def _lw_detr() -> dict[str, Any]:
    backbone = transformers.LwDetrViTConfig(
        hidden_size=_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=128,
        pretrain_image_size=64,
        window_block_indices=[0],
        num_windows=4,
        out_indices=[1, 2],
    )
    return {
        "backbone_config": backbone,
        "projector_scale_factors": [2.0, 0.5],
        "decoder_self_attention_heads": 2,
        "decoder_cross_attention_heads": 4,
        "decoder_n_points": 3,
        "c2f_num_blocks": 1,
        "group_detr": 2,
    }


def _rf_detr() -> dict[str, Any]:
    backbone = {
        "model_type": "rf_detr_dinov2",
        "hidden_size": _WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 128,
        "patch_size": 16,
        "num_windows": 2,
        "window_block_indexes": [0],
        "out_indices": [1, 2],
    }
    return {
        "backbone_config": backbone,
        "decoder_self_attention_heads": 2,
        "decoder_cross_attention_heads": 4,
        "decoder_n_points": 3,
        "group_detr": 2,
    }


def _grounding() -> dict[str, Any]:
    backbone = transformers.SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, out_indices=[2, 3, 4]
    )
    text = transformers.BertConfig(
        vocab_size=2100, hidden_size=_WIDTH, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    return {
        "backbone_config": backbone,
        "text_config": text,
        "encoder_layers": 2,
        "encoder_ffn_dim": 64,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_n_points": 3,
        "decoder_n_points": 2,
        "max_text_len": 32,
    }


def _resnet() -> Any:
    return transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )


def _rt_resnet() -> Any:
    return transformers.RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type="basic", out_indices=[2, 3, 4]
    )


def _hgnet(out_indices: tuple[int, ...] = (2, 3, 4)) -> Any:
    return transformers.HGNetV2Config(
        embedding_size=8,
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 16, 24, 32],
        stem_channels=[3, 8, 8],
        stage_in_channels=[8, 8, 16, 24],
        stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[8, 16, 24, 32],
        stage_num_blocks=[1, 1, 1, 1],
        stage_numb_of_layers=[1, 1, 1, 1],
        out_indices=list(out_indices),
    )


def _reading_order() -> Mapping[str, Any]:
    return {
        "hidden_size": _WIDTH,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "coordinate_size": 5,
        "shape_size": 6,
        "num_classes": 4,
        "relation_bias_embed_dim": 4,
        "global_pointer_head_size": 8,
    }
