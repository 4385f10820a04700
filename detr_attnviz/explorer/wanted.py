"""What a page is asked to hold, and whether a detector has it."""

from collections.abc import Sequence
from dataclasses import dataclass

from detr_attnviz.detector import Detector
from detr_attnviz.errors import ChoiceError
from detr_attnviz.explanation import Kind
from detr_attnviz.methods.catalogue import Layers, check_beside_raw, layers_of
from detr_attnviz.methods.layers import SITE_KINDS, missing_for, sites_of
from detr_attnviz.trace import Trace

COARSE_PX = 32
"""Cells of a sampled encoder are embedded by default where they are at least so large: finer ones are too many."""


@dataclass(frozen=True)
class Wanted:
    """The choices of ``explore``.

    Raises: ChoiceError for what no detector could answer.
    """

    layers: Layers = "all"
    methods: tuple[str, ...] = ()
    encoder: bool = True
    point_levels: tuple[int, ...] | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        layers_of(self.layers)
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ChoiceError(f"threshold is {self.threshold:g}: it must be in 0–1")
        check_beside_raw(self.methods)

    def check(self, detector: Detector) -> None:
        """Raises: ChoiceError for all that this detector lacks."""
        faults = [fault for name in self.methods if (fault := missing_for(detector, name))]
        if missing := self._missing_layers(detector):
            there = "; ".join(self._known_layers(detector)) or "there is none"
            faults.append(f"no layer {', '.join(map(str, missing))} in the attention that the page would hold: {there}")
        if self.point_levels is not None and not _has_sampled_encoder(detector):
            faults.append(
                f"point level {', '.join(map(str, self.point_levels))}: this detector's encoder has no sampled "
                "attention, so there are no levels to choose from: leave it out"
            )
        if faults:
            raise ChoiceError("; ".join(faults))

    def sites(self, trace: Trace, kind: Kind) -> list[str]:
        """Recorded sites of a kind in the layers that are wanted, first layer first."""
        if kind not in self._kinds:
            return []
        found = _of_layers(trace.detector, kind, layers_of(self.layers))
        return [site for site in found if site in trace.records]

    def levels(self, trace: Trace) -> tuple[int, ...]:
        """The levels of a sampled encoder whose cells are embedded.

        Raises: ChoiceError for a level that is not there.
        """
        count = len(trace.levels)
        if self.point_levels is not None:
            wrong = [level for level in self.point_levels if not 0 <= level < count]
            if wrong:
                raise ChoiceError(f"no level {wrong[0]}: levels are 0–{count - 1}, the finest first")
            return tuple(sorted(set(self.point_levels)))
        coarse = tuple(level for level, grid in enumerate(trace.levels) if grid.stride_px >= COARSE_PX)
        return coarse or (count - 1,)

    @property
    def _kinds(self) -> list[str]:
        return [kind for kind in SITE_KINDS if self.encoder or kind != "encoder"]

    def _missing_layers(self, detector: Detector) -> list[int]:
        numbers = layers_of(self.layers) or ()
        return [layer for layer in numbers if not any(_of_layers(detector, kind, (layer,)) for kind in self._kinds)]

    def _known_layers(self, detector: Detector) -> list[str]:
        """``"cross has 0, 1, 2"`` for each kind that is wanted and there."""
        layers = {kind: [site.layer for site in sites_of(detector, SITE_KINDS[kind])] for kind in self._kinds}
        return [f"{kind} has {', '.join(map(str, sorted(known)))}" for kind, known in layers.items() if known]


def _of_layers(detector: Detector, kind: str, layers: Sequence[int] | None) -> list[str]:
    """Names of a kind's sites in those of ``layers`` that it has; −1 is its last."""
    there = {site.layer: site.name for site in sites_of(detector, SITE_KINDS[kind])}
    known = sorted(there)
    if layers is None:
        return [there[layer] for layer in known]
    chosen = {known[layer] if -len(known) <= layer < 0 else layer for layer in layers}
    return [there[layer] for layer in known if layer in chosen]


def _has_sampled_encoder(detector: Detector) -> bool:
    return any(site.form == "sampled" for site in sites_of(detector, "encoder-self"))
