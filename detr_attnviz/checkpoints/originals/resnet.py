"""The ResNet of torchvision, as DETR's relatives hold it, under the names of transformers' own ResNet.

That has no dilated stage: a DC5 model gets the ResNet of timm, which keeps torchvision's names.
"""

from collections.abc import Mapping

from detr_attnviz.checkpoints.originals.reading import Reading
from detr_attnviz.checkpoints.originals.templates import COUNTER, expand
from detr_attnviz.checkpoints.saved import saved_dilation
from detr_attnviz.errors import CheckpointError

BODY = "backbone.0.body."
TARGET = "model.backbone.conv_encoder.model."
STAGES = (1, 2, 3, 4)
DEPTHS: Mapping[tuple[int, ...], int] = {(3, 4, 6, 3): 50, (3, 4, 23, 3): 101, (3, 8, 36, 3): 152}
"""Blocks of the ResNets with bottlenecks, and what they are called."""


def config(reading: Reading, stages: tuple[int, ...]) -> dict[str, object]:
    """The configuration's entries for the backbone; ``stages`` (of 1–4) are those whose features are used.

    Raises:
        CheckpointError: another kind of backbone.
    """
    reading.refuse_unless("backbone", [f"resnet{depth}" for depth in (18, 34, *DEPTHS.values())])
    _refuse_wide(reading)
    if reading.dilated():
        return {"dilation": True, "backbone_config": _of_timm(reading, stages)}
    last = 3 if _has_bottlenecks(reading) else 2
    own = {
        "model_type": "resnet",
        "embedding_size": reading.size(f"{BODY}conv1.weight"),
        "hidden_sizes": [reading.size(f"{BODY}layer{stage}.0.conv{last}.weight") for stage in STAGES],
        "depths": _depths(reading),
        "layer_type": "bottleneck" if last == 3 else "basic",
        "out_features": [f"stage{stage}" for stage in stages],
    }
    return {"use_timm_backbone": False, "backbone_config": own}


def names(reading: Reading, within_timm: str = "") -> dict[str, str]:
    """Every original name of the backbone and its target; ``within_timm`` stands before timm's names in the model."""
    found = _own_names(reading)
    if saved_dilation(reading.args).value:
        return {old: f"{TARGET}{within_timm}{old.removeprefix(BODY)}" for old in found}
    return found


def _own_names(reading: Reading) -> dict[str, str]:
    stem = f"{TARGET}embedder.embedder."
    found = _unit(f"{BODY}conv1", f"{BODY}bn1", stem[:-1])
    convolutions = (1, 2, 3) if _has_bottlenecks(reading) else (1, 2)
    for stage, depth in zip(STAGES, _depths(reading), strict=True):
        for block in range(depth):
            old, new = f"{BODY}layer{stage}.{block}.", f"{TARGET}encoder.stages.{stage - 1}.layers.{block}."
            for number in convolutions:
                found |= _unit(f"{old}conv{number}", f"{old}bn{number}", f"{new}layer.{number - 1}")
            if block == 0 and (stage > 1 or _has_bottlenecks(reading)):
                found |= _unit(f"{old}downsample.0", f"{old}downsample.1", f"{new}shortcut")
    return found


def counters(reading: Reading) -> set[str]:
    """The batch norms' counters: the backbone is frozen, and has no place for them."""
    return {name for name in reading.tensors if name.startswith(BODY) and name.endswith(COUNTER)}


def _unit(convolution: str, norm: str, target: str) -> dict[str, str]:
    rows = {f"{convolution}.weight": f"{target}.convolution.weight", norm + ".{stat}": target + ".normalization.{stat}"}
    return expand(rows)


def _of_timm(reading: Reading, stages: tuple[int, ...]) -> dict[str, object]:
    depth = DEPTHS.get(tuple(_depths(reading)))
    if depth is None or not _has_bottlenecks(reading):
        raise CheckpointError(
            f"{reading.place}: its last stage is dilated (DC5), which is supported for resnet50, 101 and 152"
        )
    return {
        "model_type": "timm_backbone",
        "backbone": f"resnet{depth}",
        "num_channels": 3,
        "features_only": True,
        "use_pretrained_backbone": False,
        "out_indices": list(stages),
        "output_stride": 16,
    }


def _depths(reading: Reading) -> list[int]:
    return [reading.count(f"{BODY}layer{stage}.") for stage in STAGES]


def _has_bottlenecks(reading: Reading) -> bool:
    return reading.has(f"{BODY}layer1.0.conv3.weight")


def _refuse_wide(reading: Reading) -> None:
    first = f"{BODY}layer1.0."
    inner, outer = reading.size(f"{first}conv2.weight"), reading.size(f"{first}conv3.weight")
    columns = reading.size(f"{first}conv2.weight", 1)
    if inner and outer and (inner * 4 != outer or inner != columns):
        raise CheckpointError(
            f"{reading.place}: a wide or grouped ResNet ({first}conv2.weight has {inner} rows of {columns} channels); "
            "expected a plain ResNet, such as resnet50"
        )
