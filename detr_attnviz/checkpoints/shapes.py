"""Reads a DETR's sizes off the shapes of its tensors under official keys; contradictions are gathered, then raised."""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from detr_attnviz.errors import CheckpointError, few

Shapes = Mapping[str, tuple[int, ...]]

BODY = "backbone.0.body."
NEEDED = (
    BODY + "conv1.weight",
    BODY + "layer1.0.conv1.weight",
    "input_proj.weight",
    "query_embed.weight",
    "class_embed.weight",
    "bbox_embed.layers.0.weight",
    "transformer.encoder.layers.0.self_attn.in_proj_weight",
    "transformer.encoder.layers.0.linear1.weight",
    "transformer.decoder.layers.0.multihead_attn.in_proj_weight",
)
OPTIONAL = (BODY + "layer1.0.conv2.weight", BODY + "layer1.0.conv3.weight", "backbone.1.row_embed.weight")
"""Tensors that not every DETR has, and from which sizes are read as well."""
SPARE_NUMBERS = 125_000_000
"""How many more than twice those that are there a model may be missing: it says by name which."""


class ResNetSizes(NamedTuple):
    """What distinguishes one ResNet from another; stage ``s`` has ``64·2^s`` planes as in torchvision."""

    blocks: tuple[int, int, int, int]
    bottleneck: bool
    expansion: int
    width_per_group: int
    groups: int


class Sizes(NamedTuple):
    """Sizes of a DETR; ``classes`` without the no-object row, ``position_cells`` ``None`` for sine positions."""

    resnet: ResNetSizes
    width: int
    feedforward: int
    encoder_layers: int
    decoder_layers: int
    queries: int
    classes: int
    position_cells: int | None
    has_encoder_norm: bool
    box_layers: int


def read(tensors: Mapping[str, Tensor]) -> Sizes:
    """The sizes of a state dict.

    Raises:
        CheckpointError: tensors that every DETR has are missing, or shapes contradict each other; all are named.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if missing := [name for name in NEEDED if name not in shapes]:
        raise CheckpointError(
            f"not a whole DETR: {len(missing)} tensors that every DETR has are missing: {', '.join(missing)}"
        )
    strange = [f"{name} {list(shape)}" for name, shape in shapes.items() if not _is_usual(name, shape)]
    if strange:
        raise CheckpointError(f"tensors of strange shape: {few(sorted(strange), 8)}")
    wrong: list[str] = []
    cells = shapes.get("backbone.1.row_embed.weight")
    sizes = Sizes(
        resnet=_resnet(shapes, wrong),
        width=shapes["input_proj.weight"][0],
        feedforward=shapes["transformer.encoder.layers.0.linear1.weight"][0],
        encoder_layers=_count(shapes, "transformer.encoder.layers.", wrong),
        decoder_layers=_count(shapes, "transformer.decoder.layers.", wrong),
        queries=shapes["query_embed.weight"][0],
        classes=shapes["class_embed.weight"][0] - 1,
        position_cells=cells[0] if cells else None,
        has_encoder_norm="transformer.encoder.norm.weight" in shapes,
        box_layers=_count(shapes, "bbox_embed.layers.", wrong),
    )
    wrong += _contradictions(shapes, sizes)
    if wrong:
        more = f" and {len(wrong) - 8} more" if len(wrong) > 8 else ""
        raise CheckpointError(f"tensors that do not make one model: {'; '.join(wrong[:8])}{more}")
    _refuse_giant(shapes, sizes)
    return sizes


def _is_usual(name: str, shape: tuple[int, ...]) -> bool:
    """Whether sizes can be read off: nothing is empty, and matrices and convolutions have their axes."""
    has_axes = len(shape) in (2, 4) or name not in NEEDED + OPTIONAL
    return has_axes and 0 not in shape


def _count(shapes: Shapes, prefix: str, wrong: list[str]) -> int:
    """How many numbered parts lie under ``prefix``; their numbers must run from 0 without a gap."""
    numbers = {int(name[len(prefix) :].partition(".")[0]) for name in shapes if name.startswith(prefix)}
    if gaps := sorted(set(range(max(numbers, default=-1) + 1)) - numbers):
        missing = few([f"{prefix}{gap}" for gap in gaps], 8)
        wrong.append(f"{missing} missing, although {prefix}{max(numbers)} is there: the file is not whole")
    return len(numbers)


def _resnet(shapes: Shapes, wrong: list[str]) -> ResNetSizes:
    blocks = tuple(_count(shapes, f"{BODY}layer{stage}.", wrong) for stage in (1, 2, 3, 4))
    first = f"{BODY}layer1.0."
    if f"{first}conv3.weight" not in shapes:
        return ResNetSizes(_four(blocks), False, 1, 64, 1)
    inner = shapes.get(f"{first}conv2.weight", (64, 64))
    groups = max(inner[0] // max(inner[1], 1), 1)
    expansion = max(shapes[f"{first}conv3.weight"][0] // 64, 1)
    return ResNetSizes(_four(blocks), True, expansion, inner[0] // groups, groups)


def _four(blocks: tuple[int, ...]) -> tuple[int, int, int, int]:
    first, second, third, last = blocks
    return first, second, third, last


def _contradictions(shapes: Shapes, sizes: Sizes) -> list[str]:
    expected = _expected(sizes)
    return [
        f"{name} {list(shape)} instead of {list(expected_shape)}"
        for name, shape in sorted(shapes.items())
        if (expected_shape := _lookup(name, expected)) is not None and shape != expected_shape
    ]


def _refuse_giant(shapes: Shapes, sizes: Sizes) -> None:
    """A few tensors may ask for any size, and a model takes its memory before it is known what is missing.

    Raises:
        CheckpointError: the model would hold far more numbers than the tensors do.
    """
    layers = {"transformer.encoder.": sizes.encoder_layers, "transformer.decoder.": sizes.decoder_layers}
    asked = sizes.box_layers * sizes.width**2 + sum(
        layers.get(name[: len("transformer.encoder.")], 1) * math.prod(shape)
        for name, shape in _expected(sizes).items()
    )
    there = sum(map(math.prod, shapes.values()))
    if asked > 2 * there + SPARE_NUMBERS:
        raise CheckpointError(
            f"its sizes ask for a model of {asked:,} numbers, but its {len(shapes)} tensors hold {there:,} only: the "
            "file is not whole"
        )


def _lookup(name: str, expected: Shapes) -> tuple[int, ...] | None:
    """The shape that a tensor should have; layer numbers do not matter inside the transformer."""
    return expected.get(re.sub(r"^(transformer\.\w+\.layers)\.\d+\.", r"\1.", name))


def _expected(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    width, feedforward = sizes.width, sizes.feedforward
    expected: dict[str, tuple[int, ...]] = {
        "input_proj.weight": (width, 512 * sizes.resnet.expansion, 1, 1),
        "query_embed.weight": (sizes.queries, width),
        "class_embed.weight": (sizes.classes + 1, width),
        "class_embed.bias": (sizes.classes + 1,),
        f"bbox_embed.layers.{sizes.box_layers - 1}.weight": (4, width),
    }
    for axis in ("row", "col"):
        expected[f"backbone.1.{axis}_embed.weight"] = (sizes.position_cells or 0, width // 2)
    for layer in ("transformer.encoder.layers.", "transformer.decoder.layers."):
        expected[f"{layer}linear1.weight"] = (feedforward, width)
        expected[f"{layer}linear2.weight"] = (width, feedforward)
        for attention in ("self_attn", "multihead_attn"):
            expected[f"{layer}{attention}.in_proj_weight"] = (3 * width, width)
            expected[f"{layer}{attention}.in_proj_bias"] = (3 * width,)
            expected[f"{layer}{attention}.out_proj.weight"] = (width, width)
    return expected | _expected_body(sizes.resnet)


def _expected_body(resnet: ResNetSizes) -> dict[str, tuple[int, ...]]:
    expected: dict[str, tuple[int, ...]] = {BODY + "conv1.weight": (64, 3, 7, 7)}
    before = 64
    for stage, blocks in enumerate(resnet.blocks):
        planes = 64 << stage
        inner = planes * resnet.width_per_group // 64 * resnet.groups if resnet.bottleneck else planes
        after = planes * resnet.expansion
        for block in range(blocks):
            name = f"{BODY}layer{stage + 1}.{block}."
            if resnet.bottleneck:
                expected[name + "conv1.weight"] = (inner, before, 1, 1)
                expected[name + "conv2.weight"] = (inner, inner // resnet.groups, 3, 3)
                expected[name + "conv3.weight"] = (after, inner, 1, 1)
            else:
                expected[name + "conv1.weight"] = (inner, before, 3, 3)
                expected[name + "conv2.weight"] = (after, inner, 3, 3)
            if block == 0:
                expected[name + "downsample.0.weight"] = (after, before, 1, 1)
            before = after
    return expected
