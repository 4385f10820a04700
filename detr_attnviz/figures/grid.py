"""Every layer and head of one object query, or of one place in the encoder."""

from collections.abc import Sequence
from typing import Any

from detr_attnviz.drawing.captions import amount
from detr_attnviz.drawing.overlay import peak
from detr_attnviz.drawing.prints.grid import draw_grid, table
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.errors import ChoiceError
from detr_attnviz.explanation import Direction, Explanation
from detr_attnviz.figures.captions import (
    about,
    caption,
    holes_in,
    in_a_row,
    own_range,
    subject,
    what_is_drawn,
    who,
)
from detr_attnviz.figures.choice import Choice, Label, chosen_points, chosen_query
from detr_attnviz.figures.letters import PANELS, fitting, missing_letters
from detr_attnviz.figures.printed import PrintedFigure
from detr_attnviz.methods.catalogue import ALL, MEAN, Layers
from detr_attnviz.methods.explain import explain
from detr_attnviz.methods.layers import ChosenSites, find_sites
from detr_attnviz.trace import Point, Trace

_NO_PEAKS = "maps are too small for their largest values under them: a wider figure, or fewer layers, has them"


def grid_figure(
    trace: Trace,
    *,
    options: PrintOptions | None = None,
    query: int | None = None,
    point: Point | None = None,
    direction: Direction = "from",
    layer: Layers = ALL,
    point_level: int = 0,
    threshold: float | None = None,
    label: Label | None = None,
) -> PrintedFigure:
    """Cross-attention of ``query``, by default the best detection's, or encoder self-attention at ``point``.

    The last column is the mean of the heads where there are several.

    Raises: ChoiceError for a choice that does not exist, or that is a query's beside a point, or a point's without one.
    """
    options, smaller = fitting(options, PANELS)
    choice, asked = Choice(()), dict[str, Any]()
    if point is None:
        _check_is_no_point_asked(direction, point_level)
        choice = chosen_query(trace, query=query, threshold=threshold, label=label)
        asked = {"kind": "cross", "queries": choice.queries}
    else:
        _check_is_no_query_asked(query, threshold, label)
        places = chosen_points(trace, point)
        asked = {"kind": "encoder", "points": places, "direction": direction, "point_level": point_level}
    sites = find_sites(trace, asked["kind"], layer)
    columns = _columns(trace, sites)
    rows = [[explain(trace, layer=one, head=head, **asked) for head in columns] for one in sites.layers]
    has_peaks = table(rows, columns, options).peak_pt > 0
    too_small = () if has_peaks else (_NO_PEAKS,)
    letters = (*smaller, *missing_letters(rows[0][0].detections))
    return PrintedFigure(
        figure=draw_grid(rows, columns, options),
        caption=_caption(trace, choice, sites, rows, has_peaks, options),
        kind="grid",
        provenance=about("grid", rows[-1][-1]) | {"site": sites.name, "head": ",".join(columns)},
        notes=(*choice.notes, *too_small, *letters, *trace.notes),
    )


def _check_is_no_point_asked(direction: Direction, point_level: int) -> None:
    if direction != "from" or point_level != 0:
        raise ChoiceError("direction and point_level belong to a place, and no point is named: name one or leave them")


def _check_is_no_query_asked(query: int | None, threshold: float | None, label: Label | None) -> None:
    if query is not None:
        raise ChoiceError("a query and a point are named: a grid is of one of the two")
    if threshold is not None or label is not None:
        raise ChoiceError("threshold and label choose a query, and a point is named: a grid is of one of the two")


def _columns(trace: Trace, sites: ChosenSites) -> list[str]:
    """The heads that all layers have, and their mean where there are several."""
    heads = min(trace.records[name].heads for name in sites.names)
    return [*map(str, range(heads)), *([MEAN] if heads > 1 else [])]


def _caption(
    trace: Trace,
    choice: Choice,
    sites: ChosenSites,
    rows: Sequence[Sequence[Explanation]],
    has_peaks: bool,
    options: PrintOptions,
) -> str:
    found, heads = rows[-1][-1], max(1, len(rows[0]) - 1)
    joined = f"; the last column is the mean of the {heads} heads" if heads > 1 else ""
    words = what_is_drawn(found, layer="layer as numbered at the left", head="head as numbered above")
    peaks = [peak(one.maps[0], one.is_signed) for row in rows for one in row]
    lowest, highest = amount(found, min(peaks)), amount(found, max(peaks))
    numbers = "which stands under it" if has_peaks else f"which is {lowest} at least and {highest} at most"
    mark = "a dot at the place" if found.kind == "encoder" else "the query's box in black"
    return caption(
        f"{_extent(trace, found, sites)} of {who(found, 0)}{choice.in_brackets}, in {subject(trace)}",
        f"{words.rstrip('.')}{joined}",
        f"Every map has its own range, {own_range(options)}, {numbers}",
        holes_in(*(one for row in rows for one in row)),
        f"Each map has {mark}; the picture under it is shown lighter and nearly without its own colours",
    )


def _extent(trace: Trace, found: Explanation, sites: ChosenSites) -> str:
    """Which layers and heads there are: all of them, or the layers by their numbers."""
    if sites.layers == find_sites(trace, found.kind, ALL).layers:
        return "All layers and heads"
    numbers = in_a_row([str(layer) for layer in sites.layers])
    return f"All heads of layer{'s' if len(sites.layers) > 1 else ''} {numbers}"
