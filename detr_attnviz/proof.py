"""What a verification found, site by site, and whether that is a proof."""

import math
from dataclasses import dataclass
from typing import Literal

from detr_attnviz.errors import few

TOLERANCE = 1e-6
OWN_TOLERANCE = 1e-5
"""For code that scales logits, or adds up an output, in another order: float32 holds a logit of 40 to 4e-6 only."""
ROW_TOLERANCE = 1e-5
ROUNDINGS = 4
"""How many roundings of the largest logit two right softmaxes may be apart; 1.9 were measured, on sharpened random
weights, where a faster kernel than the record's had made the module's q and k."""

Against = Literal["weights", "output", "nothing"]


@dataclass(frozen=True)
class SiteProof:
    """How far one site's map is from the truth.

    With ``against`` "weights" ``difference`` is the largest to the module's own per-head weights, and ``row_error`` the
    largest |row sum − 1| (to their row sums, where not every token is on the map). With "output", as at sampled
    attention, ``difference`` is the largest between the module's output and the one that its values give when they are
    mixed as the maps say, in shares of the output's peak (of all queries of a decoder, of 64 cells of an encoder), and
    ``row_error`` the largest |map + outside − 1|. With "nothing" both are None: nobody could be asked.

    ``shape`` is (heads, queries, tokens), or (heads, queries, samples). ``padding_mass`` is the largest attention that
    a query gives to padding, None where nothing was padded or the model itself is not kept from looking there.
    """

    site: str
    shape: tuple[int, ...]
    difference: float | None
    row_error: float | None
    padding_mass: float | None
    against: Against = "weights"
    tolerance: float = TOLERANCE

    @property
    def has_truth(self) -> bool:
        """Whether there was anything to compare with."""
        return self.against != "nothing"

    @property
    def passed(self) -> bool:
        """NaN never passes: every comparison with it is false."""
        if self.difference is None or self.row_error is None:
            return False
        return self.difference <= self.tolerance and self.row_error <= ROW_TOLERANCE and not self.padding_mass

    @property
    def fault(self) -> str:
        """What is wrong with the map, in one sentence; "" where nothing is, or nobody could be asked."""
        if self.passed or self.difference is None or self.row_error is None:
            return ""
        own = "own weights" if self.against == "weights" else "own output"
        if any(map(math.isnan, (self.difference, self.row_error, self.padding_mass or 0.0))):
            return (
                f"{self.site}: the map or the module's {own} holds NaN: the checkpoint may hold NaN or Inf (attnviz "
                "inspect-weights counts them)"
            )
        if self.difference == math.inf:
            return f"{self.site}: the map has another shape than the module's {own}"
        if self.difference > self.tolerance:
            return (
                f"{self.site}: the map differs from the module's {own} by {self.difference:.1e}, and "
                f"{self.tolerance:g} at most was expected"
            )
        if self.row_error > ROW_TOLERANCE:
            return f"{self.site}: a row of the map sums to 1 ± {self.row_error:.1e}"
        return f"{self.site}: a query gives {self.padding_mass:g} of its attention to padding, which gets none"

    @property
    def badness(self) -> float:
        """By which sites that failed are compared: differences in tolerances, NaN above all."""
        values = [(self.difference or 0.0) / self.tolerance, (self.row_error or 0.0) / ROW_TOLERANCE]
        return math.inf if any(map(math.isnan, values)) else max(values)


@dataclass(frozen=True)
class Verification:
    """The proof for one picture: one entry per site, and whether recording left the output as it was.

    ``not_finite`` names what of the output ("logits", "boxes") holds NaN or infinite values: a proof of nothing.
    """

    sites: tuple[SiteProof, ...]
    output_unchanged: bool
    not_finite: tuple[str, ...] = ()

    @property
    def unproven(self) -> tuple[str, ...]:
        """Sites whose module says nothing of its attention that their maps could be compared with."""
        return tuple(site.site for site in self.sites if not site.has_truth)

    @property
    def passed(self) -> bool:
        """Every site that could be proven passed, there was one, and recording left the output, all numbers, alone."""
        proven = [site for site in self.sites if site.has_truth]
        is_sound = self.output_unchanged and not self.not_finite
        return is_sound and bool(proven) and all(site.passed for site in proven)

    @property
    def fault(self) -> str:
        """What is wrong at the worst site, in one sentence; "" where nothing is, whether or not all is proven."""
        failed = [site for site in self.sites if site.fault]
        if failed:
            return max(failed, key=lambda site: site.badness).fault
        if self.not_finite:
            return (
                f"the model's {' and '.join(self.not_finite)} hold NaN or infinity: its weights may (attnviz "
                "inspect-weights counts them)"
            )
        if not self.output_unchanged:
            return "the model's output is another while it is recorded, or each time that it runs"
        return ""

    @property
    def summary(self) -> str:
        """What is proven and what is not, in one sentence, when there is no fault."""
        proven = [site for site in self.sites if site.has_truth]
        if not proven:
            return f"maps not verified: nothing tells what the model itself says of {few(self.unproven)}"
        worst = max(site.difference or 0.0 for site in proven)
        but = f"; nothing tells what it says of {few(self.unproven)}" if self.unproven else ""
        return f"maps verified: within {worst:.1e} of what the model itself says, at {len(proven)} sites{but}"
