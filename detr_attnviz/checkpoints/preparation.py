"""Reads how pictures are prepared for a checkpoint: to which size, and with which mean and standard deviation."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from detr_attnviz.checkpoints.saved import quoted, whole
from detr_attnviz.errors import CheckpointError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SHORTEST_PX, LONGEST_PX = 800, 1333
MOST_PX = 8192
"""Of a shortest side: every picture would be made as large."""

Three = tuple[float, float, float]


class Preparation(NamedTuple):
    """Sides of the resized picture, and the numbers of its red, green and blue in 0–1 that normalise it."""

    shortest_px: int = SHORTEST_PX
    longest_px: int = LONGEST_PX
    mean: Three = IMAGENET_MEAN
    std: Three = IMAGENET_STD


def saved_preparation(args: Mapping[str, object], notes: list[str]) -> Preparation:
    """From our metadata, else ``preprocessor_config.json``, else the official one; adds to ``notes`` what is not used.

    Raises:
        CheckpointError: a mean or standard deviation that no picture survives.
    """
    saved = args.get("preprocessor_config")
    processor = saved if isinstance(saved, Mapping) else {}
    shortest, longest = _sizes(args, processor, notes)
    mean = _three("mean", args, notes) or _three("image_mean", processor, notes) or IMAGENET_MEAN
    std = _three("std", args, notes) or _three("image_std", processor, notes) or IMAGENET_STD
    return Preparation(shortest, longest, mean, std)


def _sizes(args: Mapping[str, object], processor: Mapping[str, object], notes: list[str]) -> tuple[int, int]:
    size = processor.get("size")
    edges = size if isinstance(size, Mapping) else {"shortest_edge": size, "longest_edge": processor.get("max_size")}
    own = _pixels("shortest_px", "--shortest-px", args, notes, MOST_PX)
    shortest = own or _side(edges.get("shortest_edge"), MOST_PX) or SHORTEST_PX
    longest = (
        _pixels("longest_px", "--longest-px", args, notes)
        or _pixels("longest_edge", "--longest-px", edges, notes)
        or round(shortest * LONGEST_PX / SHORTEST_PX)
    )
    longest = max(shortest, longest)
    if size is not None and own is None and _side(edges.get("shortest_edge"), MOST_PX) is None:
        notes.append(
            f"{quoted('size', size)} in preprocessor_config is not how DETR sizes pictures and is not used: shortest "
            f"side {shortest}, longest at most {longest}; --shortest-px and --longest-px change them"
        )
    return shortest, longest


def _side(value: object, most: int | None) -> int | None:
    pixels = whole(value)
    return pixels if pixels is None or most is None or pixels <= most else None


def _pixels(
    name: str, option: str, args: Mapping[str, object], notes: list[str], most: int | None = None
) -> int | None:
    value = args.get(name)
    pixels = _side(value, most)
    if value is not None and pixels is None:
        notes.append(
            f"{quoted(name, value)} in the checkpoint is no number of pixels and is not used: {option} N sets it"
        )
    return pixels


def _three(name: str, args: Mapping[str, object], notes: list[str]) -> Three | None:
    value = args.get(name)
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or len(value) != 3 or not all(_is_number(part) for part in value):
        notes.append(f"{quoted(name, value)} in the checkpoint is not three numbers and is not used")
        return None
    smallest = 0.0 if name.endswith("std") else -math.inf
    if not all(math.isfinite(part) and part > smallest for part in value):
        wanted = "finite and above 0" if name.endswith("std") else "finite"
        raise CheckpointError(
            f"{quoted(name, value)} in the checkpoint's metadata or preprocessor_config.json; "
            f"expected three numbers, {wanted}; correct them there"
        )
    first, second, third = value
    return float(first), float(second), float(third)


def _is_number(value: object) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53)
