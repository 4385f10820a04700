"""The summary as plain data: one JSON document, and three tables for pandas.

``X.csv`` has one row per mean, with its ``standard_error`` and the ends ``low``, ``high`` of its 95 % interval. The key
is ``map``, ``measure`` (as in ``summary.Measure``, or "curve", whose rows have a ``share``), ``quantity`` (logit, iou,
score), ``direction`` and ``baseline``. ``versus_best`` is the paired difference from the best method. The curves of
one kind, a column per map:

    means = pandas.read_csv("X.csv")
    chosen = means.query("measure == 'curve' and quantity == 'logit' and direction == 'deletion'")
    chosen.pivot_table(index="share", columns="map", values="value")

``X.queries.csv`` has one row per query and map, ``area_QUANTITY_DIRECTION_BASELINE`` being the areas under its own
curves: for statistics of one's own. ``X.heads.csv`` has one row per silenced head.

Names of pictures and classes are data of strangers, and spreadsheets take a cell that begins with ``=``, ``+``, ``-``
or ``@`` for a formula: there an apostrophe goes before it, and control characters are written as escapes. The JSON
has every name as it is.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from detr_attnviz.evaluation.bootstrap import Estimate
from detr_attnviz.evaluation.results import PLACES, Evaluation, QueryResult
from detr_attnviz.evaluation.settings import BASELINES, CONTROLS, DIRECTIONS, QUANTITIES
from detr_attnviz.evaluation.summary import Summary, trapezoid
from detr_attnviz.evaluation.tables import EVERYWHERE
from detr_attnviz.plain import finite_or_null, one_line

Row = dict[str, Any]
CURVE = "curve"
_FORMULA = ("=", "+", "-", "@")


def as_document(evaluation: Evaluation, summary: Summary) -> Row:
    """Everything but the single pictures; numbers that are not finite are None."""
    shares = list(evaluation.settings.shares)
    document = {
        "settings": evaluation.settings.as_row(),
        "provenance": dict(evaluation.provenance),
        "pictures": len(evaluation.pictures) + len(evaluation.failures),
        "pictures_with_queries": summary.pictures,
        "queries": summary.queries,
        "failures": [{"picture": picture, "error": error} for picture, error in evaluation.failures],
        "scores": list(_score_rows(summary)),
        "curves": [
            {
                "map": curve.map,
                "quantity": curve.quantity,
                "direction": curve.direction,
                "baseline": curve.baseline,
                "shares": shares,
                "values": [point.value for point in curve.points],
                "standard_errors": [point.standard_error for point in curve.points],
            }
            for curve in summary.curves
        ],
        "heads": list(_head_rows(summary)),
    }
    finite: Row = finite_or_null(document)
    return finite


def means_csv(evaluation: Evaluation, summary: Summary) -> bytes:
    """One row per number: every map's measures, and (measure "curve") its mean at each share."""
    rows = [{**row, "share": ""} for row in _score_rows(summary)]
    for curve in summary.curves:
        for share, point in zip(evaluation.settings.shares, curve.points, strict=True):
            key = (curve.map, CURVE, curve.quantity, curve.direction, curve.baseline)
            rows.append({**_key(*key), "share": share, **_spread(point)})
    columns = [*_key("", "", "", "", ""), "share", *_spread(Estimate(0)), *_versus(None), "is_best"]
    return _csv(columns, rows)


def heads_csv(summary: Summary) -> bytes:
    """One row per silenced head."""
    rows = list(_head_rows(summary))
    return _csv(list(rows[0]) if rows else ["site", "head"], rows)


def queries_csv(evaluation: Evaluation) -> bytes:
    """One row per query and map, with the areas under its own curves: for statistics of one's own."""
    rows = [
        {"picture": picture.picture, **_query_row(query), **_map_row(query, name, evaluation.settings.shares)}
        for picture in evaluation.pictures
        for query in picture.queries
        for name in evaluation.settings.maps
    ]
    return _csv(list(rows[0]) if rows else ["picture", "query"], rows)


def _score_rows(summary: Summary) -> Iterator[Row]:
    for measure, scores in summary.scores.items():
        where = (measure.name, measure.quantity, measure.direction, measure.baseline)
        for name, score in scores.items():
            versus = _versus(score.versus_best)
            yield {**_key(name, *where), **_spread(score.estimate), **versus, "is_best": score.is_best}
        if measure in summary.chance:
            chance = _spread(summary.chance[measure])
            yield {**_key(EVERYWHERE, *where), **chance, **_versus(None), "is_best": False}


def _head_rows(summary: Summary) -> Iterator[Row]:
    for effect in summary.heads:
        layer = int(effect.site.split(".")[1])
        changes = {
            f"{quantity}_{name}": value
            for quantity in ("logit", "iou")
            for name, value in asdict(getattr(effect, quantity)).items()
        }
        yield {"site": effect.site, "layer": layer, "head": effect.head, **changes}


def _key(name: str, measure: str, quantity: str, direction: str, baseline: str) -> Row:
    is_control = name in CONTROLS or name == EVERYWHERE
    return {
        "map": name,
        "is_control": is_control,
        "measure": measure,
        "quantity": quantity,
        "direction": direction,
        "baseline": baseline,
    }


def _spread(estimate: Estimate) -> Row:
    return asdict(estimate)


def _versus(estimate: Estimate | None) -> Row:
    found = (None, None, None) if estimate is None else (estimate.value, estimate.low, estimate.high)
    return dict(zip(("versus_best", "versus_best_low", "versus_best_high"), found, strict=True))


def _query_row(query: QueryResult) -> Row:
    box = dict(zip(("left", "top", "right", "bottom"), query.box, strict=True))
    chance = {f"chance_{place}": query.chance[place] for place in PLACES}
    return {"query": query.query, "label": query.label, "name": query.name, "score": query.score, **box, **chance}


def _map_row(query: QueryResult, name: str, shares: tuple[float, ...]) -> Row:
    one = query.maps[name]
    areas = one.curves.swapaxes(2, 3) @ trapezoid(shares)  # [baselines directions quantities]
    deletion = one.curves[:, DIRECTIONS.index("deletion")]  # [baselines shares quantities]
    logit = QUANTITIES.index("logit")
    row: Row = {"map": name, "is_control": name in CONTROLS, "is_empty": one.is_empty, **one.places}
    row["sanity"] = one.sanity
    row["undisturbed_logit"] = float(deletion[0, 0, logit])
    for b, baseline in enumerate(BASELINES):
        row[f"removed_logit_{baseline}"] = float(deletion[b, -1, logit])
    for q, quantity in enumerate(QUANTITIES):
        for d, direction in enumerate(DIRECTIONS):
            for b, baseline in enumerate(BASELINES):
                row[f"area_{quantity}_{direction}_{baseline}"] = float(areas[b, d, q])
    return row


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in finite_or_null(list(rows)))
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    """A text as one line that no spreadsheet takes for a formula; numbers as they are."""
    if not isinstance(value, str):
        return value
    line = one_line(value)
    return f"'{line}" if line.lstrip().startswith(_FORMULA) else line
