"""The evaluation of one picture: its queries, their maps by every method, and all that is measured of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detr_attnviz.batch.room import Room
from detr_attnviz.detections import Detection
from detr_attnviz.detector import Detector
from detr_attnviz.errors import CaptureError, ChoiceError, ImageError
from detr_attnviz.evaluation.answers import Answers, Targets
from detr_attnviz.evaluation.choice import MethodChoice
from detr_attnviz.evaluation.copies import copied, heads_of, shuffled
from detr_attnviz.evaluation.curves import Disturbances, curves
from detr_attnviz.evaluation.heads import head_effects, sites_of
from detr_attnviz.evaluation.inside import energy_inside, is_middle_inside, parts_inside, peak_inside
from detr_attnviz.evaluation.ranking import is_empty, rank_correlation, ranked
from detr_attnviz.evaluation.results import PLACES, Box, Curves, HeadEffects, MapResult, QueryResult
from detr_attnviz.evaluation.settings import CONTROLS, EvaluationSettings
from detr_attnviz.families.base import Prediction
from detr_attnviz.grid import Grid
from detr_attnviz.methods.explain import explain
from detr_attnviz.methods.select import select
from detr_attnviz.trace import Trace

Maps = NDArray[np.floating]
"""``[queries rows cols]``."""

NEAR_CELLS = 1.0
"""How far from the box a peak still counts as near it."""


@dataclass(frozen=True)
class Findings:
    """What one picture gave: its chosen queries, and the forwards that disturbed pictures and silenced heads took."""

    queries: tuple[QueryResult, ...] = ()
    forwards: int = 0


@dataclass(frozen=True)
class Examiner:
    """Evaluates pictures one by one under the same settings."""

    detector: Detector
    settings: EvaluationSettings
    batch_size: int
    room: Room | None = None

    @cached_property
    def shuffled(self) -> Detector:
        """The control."""
        return shuffled(self.detector, self.settings.seed)

    @cached_property
    def copy(self) -> Detector:
        """The one whose heads are silenced."""
        return copied(self.detector)

    @cached_property
    def head_forwards(self) -> int:
        """Forwards a picture that silencing every head takes."""
        return sum(heads_of(site) for site in sites_of(self.detector, self.settings.heads))

    @cached_property
    def most_forwards(self) -> int | None:
        """Forwards that a picture takes at most; None when any number of queries may be chosen."""
        top_k = self.settings.top_k
        return None if top_k is None else self.settings.most_forwards(top_k) + self.head_forwards

    def examine(self, image: Image.Image) -> Findings:
        """Everything about an upright RGB picture; nothing when no query is chosen in it.

        Raises: ChoiceError or CaptureError for a method by which this detector cannot be explained; ImageError when the
            output or a map is not all numbers: nothing could be measured by it.
        """
        settings = self.settings
        trace = _trace(self.detector, settings, image)
        chosen = select(trace, threshold=settings.threshold, label=settings.labels or None, top_k=settings.top_k)
        _check_output(trace, chosen)
        if not chosen:
            return Findings()
        # Seeded by what the picture shows: the same numbers under another name and in another order.
        random = np.random.default_rng([settings.seed, *sha256(image.tobytes()).digest()])
        ties = random.permutation(trace.grid.tokens)
        maps, sanity = self._maps(trace, chosen, random)
        targets = Targets.of(trace, chosen)
        undisturbed = targets.answers(Prediction(trace.logits[None], trace.boxes[None]))[0]
        disturbances = Disturbances(self.detector, trace.prepared, targets, undisturbed)
        orders = {name: [ranked(one, ties) for one in each] for name, each in maps.items()}
        found = curves(disturbances, orders, settings.shares, self.batch_size, self.room)
        heads = self._heads(trace, targets, undisturbed)
        results = (
            _result(
                seen,
                trace.grid,
                {name: each[place] for name, each in maps.items()},
                {name: each[place] for name, each in sanity.items()},
                {name: each[place] for name, each in found.items()},
                {site: each[place] for site, each in heads.items()},
            )
            for place, seen in enumerate(targets.detections)
        )
        return Findings(tuple(results), disturbances.forwards + (self.head_forwards if heads else 0))

    def _maps(
        self, trace: Trace, chosen: Sequence[int], random: np.random.Generator
    ) -> tuple[Mapping[str, Maps], Mapping[str, Sequence[float]]]:
        """Every map by name, and each method's rank correlation with itself on the shuffled model."""
        maps = {choice.name: _map(choice, trace, chosen) for choice in self.settings.methods}
        check_maps(maps)
        if not self.settings.has_controls:
            return maps, {}
        other = _trace(self.shuffled, self.settings, trace.image)
        others = {choice.name: _map(choice, other, chosen) for choice in self.settings.methods}
        sanity = {name: list(map(rank_correlation, maps[name], others[name])) for name in maps}
        noise = random.random((len(chosen), trace.grid.rows, trace.grid.cols))
        controls = (noise, _map(MethodChoice("raw"), other, chosen))
        return maps | dict(zip(CONTROLS, controls, strict=True)), sanity

    def _heads(self, trace: Trace, targets: Targets, undisturbed: Answers) -> Mapping[str, NDArray[np.float64]]:
        if not self.settings.heads:
            return {}
        return head_effects(self.copy, self.settings.heads, trace.resumed, targets, undisturbed)


def _trace(detector: Detector, settings: EvaluationSettings, image: Image.Image) -> Trace:
    return detector.trace(image, shortest_px=settings.shortest_px, longest_px=settings.longest_px)


def _check_output(trace: Trace, chosen: Sequence[int]) -> None:
    """Scores and boxes of the chosen queries, or of all where none was chosen, are to be numbers."""
    rows = list(chosen) or slice(None)
    if not (trace.logits[rows].isfinite().all() and trace.boxes[rows].isfinite().all()):
        raise ImageError("; ".join(trace.notes))


def check_maps(maps: Mapping[str, Maps]) -> None:
    """Raises: ImageError for maps that are not all numbers."""
    if broken := [name for name, values in maps.items() if not np.isfinite(values).all()]:
        raise ImageError(
            f"maps by {', '.join(broken)} hold NaN or infinite values, which rank no cells: the checkpoint may hold "
            "some (attnviz inspect-weights counts them); other --methods may do without"
        )


def _map(choice: MethodChoice, trace: Trace, queries: Sequence[int]) -> Maps:
    """``[queries rows cols]`` by one method.

    Raises: ChoiceError or CaptureError that names the method.
    """
    try:
        return explain(trace, method=choice.method, layer=choice.layer, head=choice.head, queries=queries).maps
    except (ChoiceError, CaptureError) as error:
        raise type(error)(f"{choice.name} cannot be evaluated: {error}; leave it out of --methods") from error


def _result(
    seen: Detection,
    grid: Grid,
    maps: Mapping[str, Maps],
    sanity: Mapping[str, float],
    found: Mapping[str, Curves],
    heads: Mapping[str, HeadEffects],
) -> QueryResult:
    everywhere = np.ones((grid.rows, grid.cols))
    # In memory as the ledger gives them back: sums over another layout end in other bits, and a resumed report.
    return QueryResult(
        query=seen.index,
        label=seen.label,
        name=seen.name,
        score=seen.score,
        box=seen.box,
        chance=_places(everywhere, grid, seen.box),
        maps={
            name: MapResult(
                is_empty(one), _places(one, grid, seen.box), sanity.get(name), np.ascontiguousarray(found[name])
            )
            for name, one in maps.items()
        },
        heads={site: np.ascontiguousarray(effects) for site, effects in heads.items()},
    )


def _places(values: Maps, grid: Grid, box: Box) -> Mapping[str, float]:
    numbers = (
        energy_inside(values, parts_inside(grid, box)),
        peak_inside(values, is_middle_inside(grid, box)),
        peak_inside(values, is_middle_inside(grid, box, tolerance_cells=NEAR_CELLS)),
    )
    return dict(zip(PLACES, numbers, strict=True))
