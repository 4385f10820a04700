"""The order of a map's cells, what of them is left in the picture, and how alike two maps order them."""

import numpy as np
from numpy.typing import NDArray

Order = NDArray[np.int64]


def ranked(values: NDArray[np.floating], ties: Order) -> Order:
    """Tokens from the highest value to the lowest; those of one value stand as in ``ties``, a permutation.

    What is no number comes last.
    """
    known = np.nan_to_num(np.asarray(values, np.float64).ravel(), nan=-np.inf)
    order: Order = ties[np.argsort(-known[ties], kind="stable")]
    return order


def is_empty(values: NDArray[np.floating]) -> bool:
    """Whether no cell's value is above another's, so that the map ranks none."""
    known = np.nan_to_num(np.asarray(values, np.float64), nan=-np.inf)
    return bool(known.max() == known.min())


def kept(order: Order, share: float, direction: str) -> NDArray[np.bool_]:
    """Which tokens stay in the picture: all but the first ``share`` of ``order``, or these alone for "insertion"."""
    count = int(share * len(order) + 0.5)
    is_first = np.zeros(len(order), dtype=np.bool_)
    is_first[order[:count]] = True
    return is_first if direction == "insertion" else ~is_first


def rank_correlation(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Spearman's rank correlation of two maps, −1 to 1; equal values share their mean rank, an empty map gives 0."""
    ranks = [_mean_ranks(np.asarray(values, np.float64).ravel()) for values in (one, other)]
    first, second = (rank - rank.mean() for rank in ranks)
    size = np.sqrt((first @ first) * (second @ second))
    return float(first @ second / size) if size else 0.0


def _mean_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, places, counts = np.unique(np.nan_to_num(values, nan=-np.inf), return_inverse=True, return_counts=True)
    last = counts.cumsum()
    means: NDArray[np.float64] = (last - (counts - 1) / 2)[places]
    return means
