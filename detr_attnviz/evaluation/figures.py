"""The summary as figures: deletion and insertion curves, and what each head does."""

import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from detr_attnviz.drawing.curves import CurveLine, CurvePanel, curves_figure, heads_figure
from detr_attnviz.drawing.figure import figure_bytes
from detr_attnviz.drawing.headings import checkpoint_of
from detr_attnviz.evaluation.results import Evaluation
from detr_attnviz.evaluation.settings import BASELINES, CONTROLS, DIRECTIONS, EvaluationSettings
from detr_attnviz.evaluation.summary import Curve, Summary
from detr_attnviz.evaluation.tables import counted, sites_by_kind

SHOWN = {"logit": "class logit", "iou": "IoU of the box"}
_SHARES = {"deletion": "cells removed (%)", "insertion": "cells left in (%)"}


def source_of(evaluation: Evaluation, summary: Summary) -> str:
    """Which model and how much of it a figure shows, for one that stands alone."""
    checkpoint = checkpoint_of(evaluation.provenance)
    counts = f"{counted(summary.queries, 'query', 'queries')} in {counted(summary.pictures, 'picture')}"
    return " · ".join(part for part in (checkpoint, counts, "bands: ± one standard error") if part)


def about(evaluation: Evaluation) -> dict[str, str]:
    """What the file of a figure carries: the model, the methods and all settings."""
    settings = evaluation.settings
    told = {"method": ", ".join(settings.maps), "settings": json.dumps(settings.as_row())}
    return {**evaluation.provenance, "figure": "evaluation", **told}


def curves_of(
    summary: Summary,
    settings: EvaluationSettings,
    kind: str,
    *,
    title: str = "",
    width_inches: float = 7.0,
    told: Mapping[str, str] | None = None,
) -> bytes:
    """Deletion above insertion; logit and IoU, each with both baselines, beside each other; as a file of this kind."""
    panels = [
        _panel(
            [c for c in summary.curves if (c.quantity, c.direction, c.baseline) == (quantity, direction, baseline)],
            settings.shares,
        )
        for direction in DIRECTIONS
        for quantity in SHOWN
        for baseline in BASELINES
    ]
    drawn = curves_figure(panels, columns=len(SHOWN) * len(BASELINES), title=title, width_inches=width_inches)
    return figure_bytes(drawn, kind, told)


def heads_of(summary: Summary, kind: str, told: Mapping[str, str] | None = None) -> Iterator[tuple[str, bytes]]:
    """The change of the class logit as a file of this kind, for each attention whose heads were silenced, by name."""
    for attention, sites in sites_by_kind(summary.heads).items():
        most = max(map(len, sites.values()))
        values = np.full((len(sites), most), np.nan)
        for row, effects in enumerate(sites.values()):
            values[row, : len(effects)] = [effect.logit.value for effect in effects]
        title = f"{attention}-attention, one head silenced"
        drawn = heads_figure(values, title=title, label="change of class logit")
        yield attention, figure_bytes(drawn, kind, {**(told or {}), "site": ", ".join(sites), "head": "each silenced"})


def _panel(curves: Sequence[Curve], shares: Sequence[float]) -> CurvePanel:
    first = curves[0]
    lines = tuple(
        CurveLine(
            curve.map,
            [100 * share for share in shares],
            [point.value for point in curve.points],
            None if curve.points[0].standard_error is None else [point.standard_error or 0.0 for point in curve.points],
            is_control=curve.map in CONTROLS,
        )
        for curve in curves
    )
    title = f"{first.direction}, {first.baseline}"
    return CurvePanel(title, _SHARES[first.direction], SHOWN[first.quantity], lines)
