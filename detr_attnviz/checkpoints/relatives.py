"""Recognises models that are not DETR but are met beside it, so that an error can name them.

The telltales are parts that DETR itself never has. They are looked for in the keys without wrappers' prefixes; the
first row whose every pattern is found somewhere wins, so the special stand before the general.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from detr_attnviz.checkpoints.prefixes import strip_prefixes
from detr_attnviz.errors import CheckpointError

TELLTALES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Grounding DINO", (r"sampling_offsets", r"(?:^|\.)(?:bert|text_backbone)\.")),
    ("D-FINE or DEIM", (r"pre_bbox_head|lqe_layers",)),
    ("RT-DETR", (r"lateral_convs", r"pan_blocks")),
    ("RF-DETR or LW-DETR", (r"sampling_offsets", r"^backbone\.0\.projector|backbone\..*projector\.")),
    ("DINO", (r"sampling_offsets", r"label_enc|tgt_embed")),
    ("Deformable DETR", (r"sampling_offsets",)),
    ("DAB-DETR", (r"refpoint_embed|query_refpoint_embeddings",)),
    ("Conditional DETR", (r"ca_qcontent_proj|q_content_proj",)),
    ("Anchor DETR", (r"adapt_pos2d",)),
    ("MDETR", (r"transformer\.text_encoder\.",)),
    ("YOLOS", (r"detection_tokens|det_token",)),
    ("MaskFormer or Mask2Former", (r"sem_seg_head|pixel_level_module",)),
    ("Faster or Mask R-CNN", (r"roi_heads",)),
    ("YOLO", (r"^\d+\.(?:conv|cv\d|m)\.", r"^\d+\.(?:conv\.weight|bn\.)|\.bn\.")),
    ("a ResNet classifier", (r"^layer1\.0\.conv1\.weight", r"^fc\.weight")),
    ("a ResNet without a transformer", (r"^layer1\.0\.conv1\.weight", r"^conv1\.weight")),
    ("a Vision Transformer", (r"^(?:vit\.)?(?:blocks\.0\.attn|encoder\.layer\.0\.attention\.attention)\.",)),
    ("BERT", (r"^(?:bert\.)?embeddings\.word_embeddings\.",)),
)

IN_TRANSFORMERS = frozenset(
    {
        "Grounding DINO",
        "D-FINE or DEIM",
        "RT-DETR",
        "RF-DETR or LW-DETR",
        "Deformable DETR",
        "DAB-DETR",
        "Conditional DETR",
        "YOLOS",
    }
)
"""Relatives that are run where they come as transformers keeps them."""

MODEL_TYPES: Mapping[str, str] = {
    "conditional_detr": "Conditional DETR",
    "dab-detr": "DAB-DETR",
    "deformable_detr": "Deformable DETR",
    "grounding-dino": "Grounding DINO",
    "rt_detr": "RT-DETR",
    "rt_detr_v2": "RT-DETR v2",
    "d_fine": "D-FINE",
    "lw_detr": "LW-DETR",
    "rf_detr": "RF-DETR",
    "yolos": "YOLOS",
    "maskformer": "MaskFormer",
    "mask2former": "Mask2Former",
    "vit": "a Vision Transformer",
    "bert": "BERT",
}
"""``model_type`` of a Hugging Face ``config.json`` → the model's name."""


def relative_of(keys: Iterable[str], args: Mapping[str, object] | None = None) -> tuple[str, str] | None:
    """The relative's name and what gave it away, or ``None``; ``args`` may hold a Hugging Face ``model_type``."""
    model_type = (args or {}).get("model_type")
    if isinstance(model_type, str) and model_type in MODEL_TYPES:
        return MODEL_TYPES[model_type], f"model_type {model_type!r} in its configuration"
    bare = sorted({strip_prefixes(key) for key in keys})
    for name, patterns in TELLTALES:
        evidence = [next((key for key in bare if re.search(pattern, key)), None) for pattern in patterns]
        if evidence[0] is not None and None not in evidence:
            return name, f"its tensor {evidence[0]!r}"
    return None


def refuse_folder_untold(folder: Path, keys: Iterable[str], args: Mapping[str, object]) -> None:
    """Raise for a Hugging Face folder of a relative whose configuration does not say which model it is.

    Raises:
        CheckpointError: naming what is missing, and where to get it.
    """
    relative = relative_of(keys)
    if relative is None or relative[0] not in IN_TRANSFORMERS or isinstance(args.get("model_type"), str):
        return
    has_config = (folder / "config.json").is_file()
    missing = "its config.json has no model_type" if has_config else "there is no config.json beside the weights"
    raise CheckpointError(
        f"{folder}: this looks like {relative[0]} as transformers keeps it (by {relative[1]}), but {missing}, which "
        "tells what model it is: fetch config.json from where the weights came from (model.save_pretrained writes it)"
    )


def refuse_relative(keys: Iterable[str], args: Mapping[str, object] | None = None) -> None:
    """Raise for a model that is recognised and is not DETR.

    Raises:
        CheckpointError: naming the model and what gave it away.
    """
    if relative := relative_of(keys, args):
        name, evidence = relative
        forms = f"{name} as a Hugging Face folder or by its name on the Hub, or " if name in IN_TRANSFORMERS else ""
        raise CheckpointError(
            f"this looks like {name}, not DETR (by {evidence}); expected {forms}DETR with plain multi-head attention. "
            "attnviz inspect-weights shows the attention weights of many other models"
        )
