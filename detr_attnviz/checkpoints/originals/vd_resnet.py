"""RT-DETR's own ResNet (variant "vd") under the names of transformers' `rt_detr_resnet`.

Source: src/nn/backbone/presnet.py of lyuwenyu/RT-DETR. All its batch norms act as frozen ones, so counters are dropped.
"""

from detr_attnviz.checkpoints.originals.reading import Reading
from detr_attnviz.checkpoints.originals.templates import expand

BODY = "backbone."
TARGET = "model.backbone.model."
STAGES = range(4)


def matches(reading: Reading) -> bool:
    """Whether the backbone is this one."""
    return reading.has(f"{BODY}conv1.conv1_1.conv.weight")


def config(reading: Reading, features: list[str]) -> dict[str, object]:
    """The configuration of the backbone."""
    last = "c" if _has_bottlenecks(reading) else "b"
    return {
        "model_type": "rt_detr_resnet",
        "embedding_size": reading.size(f"{BODY}conv1.conv1_3.conv.weight"),
        "hidden_sizes": [
            reading.size(f"{BODY}res_layers.{stage}.blocks.0.branch2{last}.conv.weight") for stage in STAGES
        ],
        "depths": _depths(reading),
        "layer_type": "bottleneck" if last == "c" else "basic",
        "out_features": features,
    }


def names(reading: Reading) -> dict[str, str]:
    """Every original name of the backbone and its target."""
    found: dict[str, str] = {}
    for number in range(3):
        found |= _unit(f"{BODY}conv1.conv1_{number + 1}", f"{TARGET}embedder.embedder.{number}")
    branches = "abc" if _has_bottlenecks(reading) else "ab"
    for stage, depth in zip(STAGES, _depths(reading), strict=True):
        for block in range(depth):
            old, new = f"{BODY}res_layers.{stage}.blocks.{block}.", f"{TARGET}encoder.stages.{stage}.layers.{block}."
            for number, branch in enumerate(branches):
                found |= _unit(f"{old}branch2{branch}", f"{new}layer.{number}")
        first = f"{BODY}res_layers.{stage}.blocks.0.short", f"{TARGET}encoder.stages.{stage}.layers.0.shortcut"
        pooled = stage > 0
        found |= _unit(*((f"{first[0]}.conv", f"{first[1]}.1") if pooled else first))
    return found


def _unit(old: str, new: str) -> dict[str, str]:
    return expand(
        {f"{old}.conv.weight": f"{new}.convolution.weight", old + ".norm.{stat}": new + ".normalization.{stat}"}
    )


def _depths(reading: Reading) -> list[int]:
    return [reading.count(f"{BODY}res_layers.{stage}.blocks.") for stage in STAGES]


def _has_bottlenecks(reading: Reading) -> bool:
    return reading.has(f"{BODY}res_layers.0.blocks.0.branch2c.conv.weight")
