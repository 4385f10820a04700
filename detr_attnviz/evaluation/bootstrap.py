"""How far a mean over queries may be off: pictures are drawn anew from those there are, with all their queries.

Efron's bootstrap over pictures, because queries of one picture are no independent witnesses. Everything that is asked
of one ``Bootstrap`` is computed on the same drawn pictures, so that differences are paired.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
DRAWS = 2000
LEVEL = 0.95
FEWEST_PICTURES = 10
"""With fewer the bootstrap's intervals are far too narrow, and none is given."""
_SEED = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number; its standard error, None with one picture; the ends of its 95 % interval, None with few pictures."""

    value: float
    standard_error: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def is_surely_not_zero(self) -> bool:
        """Whether there is an interval, and 0 is not in it."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Drawn:
    """Numbers ``[…]``, and the same on every drawn set of pictures ``[draws …]``; no draws of a single picture."""

    values: Array
    draws: Array
    pictures: int

    @property
    def has_intervals(self) -> bool:
        return self.pictures >= FEWEST_PICTURES

    def estimate(self, *place: int) -> Estimate:
        """The number at ``place``."""
        value, draws = float(self.values[place]), np.moveaxis(self.draws, 0, -1)[place]
        if not len(draws) or not np.isfinite(draws).all():
            return Estimate(value)
        error = float(draws.std(ddof=1)) * (self.pictures / (self.pictures - 1)) ** 0.5  # drawn sets vary a little less
        if not self.has_intervals:
            return Estimate(value, error)
        low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Estimate(value, error, float(low), float(high))

    def minus(self, place: int) -> "Drawn":
        """Every number's difference from the one at ``place`` of the last axis."""
        values, draws = (numbers - numbers[..., [place]] for numbers in (self.values, self.draws))
        return Drawn(values, draws, self.pictures)


class Bootstrap:
    """Drawn pictures; ``owners [queries]`` is the number of each query's picture, from 0, every one met."""

    def __init__(self, owners: NDArray[np.int64]) -> None:
        self._first = np.flatnonzero(np.diff(owners, prepend=-1))  # queries stand picture by picture
        pictures = len(self._first)
        draws = DRAWS if pictures > 1 else 0
        chances = np.full(pictures, 1 / pictures)
        self._counts = np.random.default_rng(_SEED).multinomial(pictures, chances, size=draws).astype(np.float64)

    def ratio(self, upper: Array, lower: Array) -> Drawn:
        """Sum over queries of ``upper [queries …]``, divided by that of ``lower``, which broadcasts to it.

        No number where the lower sum is not above 0.
        """
        above, below = (np.add.reduceat(part, self._first) for part in np.broadcast_arrays(upper, lower))
        values, draws = (_quotient(total(above), total(below)) for total in (_sum, self._drawn))
        return Drawn(values, draws, len(self._first))

    def mean(self, values: Array) -> Drawn:
        """The mean over queries of ``values [queries …]``."""
        return self.ratio(values, np.ones(()))

    def mean_of_known(self, values: Array) -> Drawn:
        """The mean over the queries that have a number in ``values [queries …]``."""
        is_known = np.isfinite(values)
        return self.ratio(np.where(is_known, values, 0.0), is_known.astype(np.float64))

    def _drawn(self, sums: Array) -> Array:
        drawn: Array = np.tensordot(self._counts, sums, axes=1)
        return drawn


def _sum(sums: Array) -> Array:
    total: Array = sums.sum(0)
    return total


def _quotient(above: Array, below: Array) -> Array:
    quotient: Array = np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)
    return quotient
