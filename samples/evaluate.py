"""Measures a demo file on held-out drawings: average precision, and where the attention goes.

The attention numbers are about the head mean of the last decoder layer's cross-attention, for every
object that was found (right class, IoU over 0.5). Outline cells are those that an object's outline
or extremity fills at least a little; middle cells lie wholly inside the object, off its outline.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from drawings import FORMATS, HELD_OUT_SEED, Store, build_store, normalise
from losses import to_corners
from numpy.typing import NDArray
from outlines import cell_targets, objects_of
from shapes import CLASSES
from student import attend_weights
from torch import Tensor
from weights import read_demo

from detr_attnviz.models.detr import DETR, DecoderLayer, DetrOutput

HELD_OUT_COUNTS = {"square": 300, "landscape": 100, "portrait": 100}
_THRESHOLDS = np.arange(0.5, 1.0, 0.05)
_RECALLS = np.linspace(0, 1, 101)
_MIDDLE_CELLS = 4  # an object needs that many, or its middle and its outline cannot be told apart
_FILLED = 0.02  # of a cell, by an outline
_BATCH = 10

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Precision:
    """COCO's box average precision: over IoU 0.5 to 0.95, at 0.5 and at 0.75."""

    ap: float
    ap50: float
    ap75: float


@dataclass(frozen=True)
class Looks:
    """Where the queries of the found objects look; means over objects."""

    objects: int
    near: float  # mass inside 1.2 x the box
    near_uniform: float  # the same for a map that is equal everywhere
    outline: float  # mass on outline cells (objects with a middle)
    outline_uniform: float
    middle: float  # mass on middle cells (objects with a middle)
    middle_uniform: float
    contrast: float  # attention per outline cell over attention per middle cell
    peak_on_outline: float  # part of the objects whose brightest cell is on the outline


@dataclass(frozen=True)
class Answers:
    """What the model says about one picture, beside the truth; boxes in xyxy, 0-1."""

    scores: Array  # [queries]
    labels: NDArray[np.int64]
    boxes: Array  # [queries 4]
    true_labels: NDArray[np.int64]
    true_boxes: Array


def overlaps(first: Array, second: Array) -> Array:
    """IoU of every pair of boxes in xyxy: `[N 4], [M 4] → [N M]`."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    inner = (high - low).clip(0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (first, second)]
    return np.asarray(inner / (areas[0][:, None] + areas[1][None] - inner).clip(1e-12))


def average_precision(answers: list[Answers]) -> Precision:
    """Mean over the classes that occur, by COCO's rules (greedy matching, 101 recall levels)."""
    table = np.array(
        [
            [_class_precision(answers, label, threshold) for threshold in _THRESHOLDS]
            for label in range(len(CLASSES))
            if any((answer.true_labels == label).any() for answer in answers)
        ]
    ).mean(axis=0)
    return Precision(float(table.mean()), float(table[0]), float(table[5]))


def _class_precision(answers: list[Answers], label: int, threshold: float) -> float:
    scores, hits, objects = [], [], 0
    for answer in answers:
        chosen = np.flatnonzero(answer.labels == label)
        chosen = chosen[np.argsort(-answer.scores[chosen], kind="stable")]
        truth = answer.true_boxes[answer.true_labels == label]
        objects += len(truth)
        scores.append(answer.scores[chosen])
        hits.append(_hits(overlaps(answer.boxes[chosen], truth), threshold))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    hit = np.concatenate(hits)[order]
    recall = hit.cumsum() / objects
    precision = hit.cumsum() / np.arange(1, len(hit) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.append(best_from_here, 0.0)[at].mean())


def _hits(iou: Array, threshold: float) -> NDArray[np.bool_]:
    """Which answers, best first, take an object that is still free."""
    free = iou.copy()
    hits = np.zeros(len(iou), dtype=bool)
    for index in range(len(iou)):
        if free.shape[1] and free[index].max() >= threshold:
            hits[index] = True
            free[:, free[index].argmax()] = -1
    return hits


@torch.no_grad()
def run(detr: DETR, store: Store, size: tuple[int, int], count: int) -> Iterator[tuple[list[Answers], Tensor, Tensor]]:
    """Per batch: the answers, the last cross-attention `[B heads Q rows cols]`, the owner maps."""
    for start in range(0, count, _BATCH):
        batch = store.batch(np.arange(start, min(start + _BATCH, count)), size)
        output, attention = look(detr, normalise(batch.images))
        scores, labels = output.logits.softmax(-1)[..., :-1].max(-1)
        found, truth = to_corners(output.boxes), to_corners(batch.boxes)
        answers = [
            Answers(
                scores[index].double().numpy(),
                labels[index].numpy(),
                found[index].double().numpy(),
                batch.labels[index][is_object].numpy(),
                truth[index][is_object].double().numpy(),
            )
            for index, is_object in enumerate(batch.labels >= 0)
        ]
        yield answers, attention, batch.owners


@torch.no_grad()
def look(detr: DETR, images: Tensor) -> tuple[DetrOutput, Tensor]:
    """One forward, and the last decoder layer's cross-attention `[B heads Q rows cols]`."""
    layer = detr.transformer.decoder.layers[-1]
    assert isinstance(layer, DecoderLayer)
    module = layer.multihead_attn
    seen: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, inputs: seen.extend(inputs[:2]))
    try:
        output = detr(images)
    finally:
        handle.remove()
    queries, keys = (x.transpose(0, 1) for x in seen)
    rows = -(-images.shape[2] // detr.stride_px)
    weights = attend_weights(module, queries, keys)
    return output, weights.view(*weights.shape[:3], rows, -1)


def _looks(answers: Answers, attention: Tensor, owners: Tensor) -> Iterator[dict[str, float]]:
    """The attention numbers of one picture's found objects; `attention [heads Q rows cols]`."""
    rows, cols = attention.shape[2:]
    targets = cell_targets(owners[None], rows, cols)
    objects = objects_of(owners[None])[0].float()
    filled = F.adaptive_avg_pool2d(objects, (rows, cols)).numpy()
    iou = overlaps(answers.boxes, answers.true_boxes)
    iou[answers.labels[:, None] != answers.true_labels[None]] = 0
    for index, box in enumerate(answers.true_boxes):
        query = int((iou[:, index] * answers.scores).argmax())
        if iou[query, index] < 0.5:
            continue
        shown = attention[:, query].mean(0).double().numpy()
        near = _box_cover(box, rows, cols)
        numbers = {"near": (shown * near).sum(), "near_uniform": near.mean()}
        outline = targets.shares[0, index].numpy() > _FILLED
        middle = (filled[index] > 0.99) & ~outline
        if middle.sum() >= _MIDDLE_CELLS:
            numbers["outline"], numbers["outline_uniform"] = shown[outline].sum(), outline.mean()
            numbers["middle"], numbers["middle_uniform"] = shown[middle].sum(), middle.mean()
            numbers["peak_on_outline"] = outline.flat[shown.argmax()]
        yield {name: float(value) for name, value in numbers.items()}


def _box_cover(box: Array, rows: int, cols: int) -> Array:
    """The part of every cell that 1.2 x the box covers."""
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) * 0.6
    parts = []
    for axis, cells in ((1, rows), (0, cols)):
        edges = np.arange(cells + 1) / cells
        low = np.maximum(edges[:-1], centre[axis] - half[axis])
        high = np.minimum(edges[1:], centre[axis] + half[axis])
        parts.append((high - low).clip(0) * cells)
    return np.asarray(parts[0][:, None] * parts[1][None])


def _summarise(each: list[dict[str, float]]) -> Looks:
    names = (
        "near",
        "near_uniform",
        "outline",
        "outline_uniform",
        "middle",
        "middle_uniform",
        "peak_on_outline",
    )
    mean = {name: float(np.mean([one[name] for one in each if name in one] or [np.nan])) for name in names}
    per_outline = mean["outline"] / mean["outline_uniform"]
    per_middle = mean["middle"] / mean["middle_uniform"]
    return Looks(objects=len(each), contrast=per_outline / per_middle, **mean)


def held_out_stores(folder: Path, workers: int = 2) -> dict[str, Store]:
    """The 500 held-out drawings, drawn when they are not there yet."""
    for name, count in HELD_OUT_COUNTS.items():
        build_store(folder / name, HELD_OUT_SEED, count, FORMATS[name], workers)
    return {name: Store(folder / name) for name in HELD_OUT_COUNTS}


def measure(detr: DETR, stores: dict[str, Store], shortest_px: int, fraction: float = 1.0) -> tuple[Precision, Looks]:
    """Precision and attention over (the first `fraction` of) each held-out store."""
    answers: list[Answers] = []
    each: list[dict[str, float]] = []
    for name, store in stores.items():
        width, height = FORMATS[name]
        size = (
            shortest_px * height // min(width, height),
            shortest_px * width // min(width, height),
        )
        for some, attention, owners in run(detr, store, size, round(len(store) * fraction)):
            answers += some
            for picture, maps, owner in zip(some, attention, owners, strict=True):
                each += _looks(picture, maps, owner)
    return average_precision(answers), _summarise(each)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a demo file on held-out drawings.")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--drawings", type=Path, default=Path("drawings/held_out"))
    parser.add_argument("--shortest-px", type=int, help="instead of the file's own size")
    given = parser.parse_args()
    detr, shortest_px = read_demo(given.weights)
    stores = held_out_stores(given.drawings)
    precision, looks = measure(detr, stores, given.shortest_px or shortest_px)
    print(json.dumps(asdict(precision) | asdict(looks), indent=1))


if __name__ == "__main__":
    main()
