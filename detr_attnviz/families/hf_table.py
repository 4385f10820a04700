"""What is known of every DETR relative in transformers, by the ``model_type`` of its configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from detr_attnviz.sites import Form

Score = Literal["softmax", "sigmoid"]

OLDEST = "5.4"
"""The lowest version of transformers whose models all run their attention through its attention interface."""


@dataclass(frozen=True)
class Known:
    """One family.

    ``form`` is that of its cross-attention. ``score`` "softmax" has no-object as its last class, "sigmoid" has none.
    ``since`` is the lowest version of transformers with it, ``processor`` the name of its image processor there and
    ``size`` what it was made for where that is not the processor's default. ``has_mask`` tells that the model can be
    told which pixels are padding, ``needs_text`` that it looks for what a prompt names.
    """

    title: str
    form: Form
    score: Score
    processor: str
    since: str = OLDEST
    size: Mapping[str, int] | None = None
    has_mask: bool = True
    needs_text: bool = False


_SQUARE = {"height": 640, "width": 640}

KNOWN: Mapping[str, Known] = {
    "detr": Known("DETR", "dense", "softmax", "DetrImageProcessor"),
    "conditional_detr": Known("Conditional DETR", "dense", "sigmoid", "ConditionalDetrImageProcessor"),
    "dab-detr": Known("DAB-DETR", "dense", "sigmoid", "ConditionalDetrImageProcessor", "5.5"),
    "table-transformer": Known("Table Transformer", "dense", "softmax", "DetrImageProcessor"),
    "yolos": Known("YOLOS", "dense", "softmax", "YolosImageProcessor", has_mask=False),
    "deformable_detr": Known("Deformable DETR", "sampled", "sigmoid", "DeformableDetrImageProcessor"),
    "rt_detr": Known("RT-DETR", "sampled", "sigmoid", "RTDetrImageProcessor", has_mask=False),
    "rt_detr_v2": Known("RT-DETR v2", "sampled", "sigmoid", "RTDetrImageProcessor", has_mask=False),
    "d_fine": Known("D-FINE", "sampled", "sigmoid", "RTDetrImageProcessor", has_mask=False),
    "deimv2": Known("DEIMv2", "sampled", "sigmoid", "RTDetrImageProcessor", "5.7", has_mask=False),
    "lw_detr": Known("LW-DETR", "sampled", "sigmoid", "DeformableDetrImageProcessor", size=_SQUARE),
    "rf_detr": Known("RF-DETR", "sampled", "sigmoid", "RfDetrImageProcessor", "5.9", size=_SQUARE),
    "pp_doclayout_v2": Known("PP-DocLayout v2", "sampled", "sigmoid", "PPDocLayoutV2ImageProcessor", has_mask=False),
    "pp_doclayout_v3": Known("PP-DocLayout v3", "sampled", "sigmoid", "PPDocLayoutV3ImageProcessor", has_mask=False),
    "pp_doclayout_v4": Known(
        "PP-DocLayout v4", "sampled", "sigmoid", "PPDocLayoutV4ImageProcessor", "5.20", has_mask=False
    ),
    "grounding-dino": Known(
        "Grounding DINO", "sampled", "sigmoid", "GroundingDinoImageProcessor", "5.5", needs_text=True
    ),
    "mm-grounding-dino": Known(
        "MM Grounding DINO", "sampled", "sigmoid", "GroundingDinoImageProcessor", needs_text=True
    ),
}
"""``model_type`` → what is known of the family. Folders of "detr" and "table-transformer" need no transformers."""
