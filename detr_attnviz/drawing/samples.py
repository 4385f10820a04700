"""What is said and drawn of sampled attention, as numbers: where its points lie and what they weigh.

Of an explanation of one level only that level's points count.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32

from detr_attnviz.explanation import Explanation, Samples


class Sample(NamedTuple):
    """One point: its place in original pixels, its weight and its level."""

    x: float
    y: float
    weight: float
    level: int


def samples_of(explanation: Explanation) -> Samples:
    """The samples of an explanation that is known to have them."""
    assert explanation.samples is not None
    return explanation.samples


def seen_samples(explanation: Explanation, index: int) -> list[Sample]:
    """The points of map ``index`` that lie in the picture and weigh something, heaviest first."""
    weights = np.where(_is_outside(explanation, index), 0, known_weights(explanation, index))
    ranked = [number for number in np.argsort(-weights, kind="stable").tolist() if weights[number] > 0]
    samples = samples_of(explanation)
    xs, ys = samples.places[index].T.tolist()
    return [Sample(xs[number], ys[number], float(weights[number]), samples.levels[number]) for number in ranked]


def heaviest(explanation: Explanation, index: int) -> float:
    """The largest weight of a point of map ``index`` in the picture; 0 where none weighs anything."""
    weights = known_weights(explanation, index)
    return float(weights[~_is_outside(explanation, index)].max(initial=0.0))


def outside_share(explanation: Explanation, index: int) -> float:
    """How much of its attention map ``index`` has at points outside the picture."""
    return float(known_weights(explanation, index)[_is_outside(explanation, index)].sum())


def level_shares(explanation: Explanation, index: int) -> dict[int, float]:
    """How much of its attention map ``index`` has on each of its levels, the finest first."""
    weights, levels = known_weights(explanation, index), np.array(samples_of(explanation).levels)
    return {level: float(weights[levels == level].sum()) for level in levels_of(explanation)}


def unknown_count(explanation: Explanation, index: int) -> int:
    """How many points have a place or a weight that is no number."""
    return int((~_is_known(explanation, index) & _is_shown(explanation)).sum())


def levels_of(explanation: Explanation) -> list[int]:
    """The levels that points are shown of."""
    return [explanation.level] if explanation.level is not None else sorted(set(samples_of(explanation).levels))


def points_per_map(explanation: Explanation) -> int:
    """How many points a map has, those that weigh nothing too."""
    return int(_is_shown(explanation).sum())


def known_weights(explanation: Explanation, index: int) -> Float32[np.ndarray, "samples"]:
    """The weights of map ``index``, 0 for a point that is not shown, is no number or has no place."""
    counts = _is_known(explanation, index) & _is_shown(explanation)
    return np.asarray(np.where(counts, samples_of(explanation).weights[index], 0), dtype=np.float32)


def _is_shown(explanation: Explanation) -> Bool[np.ndarray, "samples"]:
    return np.isin(samples_of(explanation).levels, levels_of(explanation))


def _is_known(explanation: Explanation, index: int) -> Bool[np.ndarray, "samples"]:
    samples = samples_of(explanation)
    return np.asarray(np.isfinite(samples.weights[index]) & np.isfinite(samples.places[index]).all(axis=-1))


def _is_outside(explanation: Explanation, index: int) -> Bool[np.ndarray, "samples"]:
    places = samples_of(explanation).places[index]
    return np.asarray(((places < 0) | (places > np.array(explanation.image.size))).any(axis=-1))
