"""Relatives of DETR as transformers builds them, in the sizes that are published, with random weights.

Nothing is downloaded: backbones are built, and a prompt's few words are a vocabulary of their own.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

PROMPT = "a cat. a remote control."
_COCO_IDS, _COCO_NAMES = 91, 80  # labels by COCO's numbers, which have gaps, or one after the other
_WORDS = {101: "[CLS]", 102: "[SEP]", 1012: ".", 1029: "?", 1037: "a", 1038: "cat", 1039: "remote", 1040: "control"}
"""Marks by the numbers that BERT gives them: Grounding DINO tells phrases apart by these."""


def is_there(model_type: str) -> bool:
    """Whether the installed transformers has this family."""
    return hasattr(transformers, f"{_MODELS[model_type][0]}ForObjectDetection")


def built(model_type: str) -> nn.Module:
    """The family's object detector in ``eval()``, the same at every call."""
    name, sizes = _MODELS[model_type]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = getattr(transformers, f"{name}Config")(**sizes())
        model: nn.Module = getattr(transformers, f"{name}ForObjectDetection")(config)
        for part in model.modules():
            if isinstance(part, nn.Conv2d):
                _fill(part.weight)
    return model.eval()


def write_tokenizer(folder: Path) -> None:
    """What reads ``PROMPT``."""
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(_WORDS.get(number, f"[unused{number}]") for number in range(max(_WORDS) + 1)))
    transformers.BertTokenizer(str(vocabulary)).save_pretrained(folder)


def _fill(weight: Tensor) -> None:
    """With what keeps numbers in size; where transformers begins smaller they fade to denormals, ten times as slow."""
    weight.detach().normal_(std=weight[0].numel() ** -0.5)


def _single_scale() -> dict[str, Any]:
    return {"backbone_config": _resnet_50("stage4"), "num_queries": 300, "num_labels": _COCO_IDS}


def _deformable() -> dict[str, Any]:
    return _single_scale() | {"backbone_config": _resnet_50("stage2", "stage3", "stage4")}


def _resnet_50(*stages: str) -> Any:
    return transformers.ResNetConfig(out_features=list(stages))


def _real_time() -> dict[str, Any]:
    return {"num_labels": _COCO_NAMES}


def _yolos_small() -> dict[str, Any]:
    return {
        "hidden_size": 384,
        "num_attention_heads": 6,
        "intermediate_size": 1536,
        "image_size": [512, 864],
        "num_labels": _COCO_IDS,
    }


def _lw_detr_tiny() -> dict[str, Any]:
    backbone = transformers.LwDetrViTConfig(
        hidden_size=192,
        num_hidden_layers=6,
        num_attention_heads=12,
        image_size=1024,
        window_block_indices=[0, 2, 4],
        out_indices=[2, 4, 6],
    )
    return {
        "backbone_config": backbone,
        "projector_scale_factors": [1.0],
        "decoder_n_points": 2,
        "num_queries": 100,
        "num_labels": _COCO_IDS,
    }


def _rf_detr_base() -> dict[str, Any]:
    backbone = transformers.RfDetrDinov2Config(
        hidden_size=384,
        num_attention_heads=6,
        image_size=560,
        patch_size=14,
        num_windows=4,
        out_features=["stage2", "stage5", "stage8", "stage11"],
    )
    return {"backbone_config": backbone, "decoder_n_points": 2, "num_labels": _COCO_IDS}


_MODELS: Mapping[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "conditional_detr": ("ConditionalDetr", _single_scale),
    "dab-detr": ("DabDetr", _single_scale),
    "yolos": ("Yolos", _yolos_small),
    "deformable_detr": ("DeformableDetr", _deformable),
    "rt_detr": ("RTDetr", _real_time),
    "d_fine": ("DFine", _real_time),
    "lw_detr": ("LwDetr", _lw_detr_tiny),
    "rf_detr": ("RfDetr", _rf_detr_base),
    "grounding-dino": ("GroundingDino", dict),
}
