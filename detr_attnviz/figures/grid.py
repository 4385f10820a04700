"""Every layer and head of one object query, or of one place in the encoder."""

from collections.abc import Sequence
from typing import Any

from detr_attnviz.drawing.captions import amount
from detr_attnviz.drawing.overlay import peak
from detr_attnviz.drawing.prints.grid import draw_grid, table
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.errors import ChoiceError
from detr_attnviz.explanation import Direction, Explanation, Kind
from detr_attnviz.figures.captions import about, caption, missing_letters, own_range, subject, who
from detr_attnviz.figures.choice import Choice, Label, chosen_points, chosen_query
from detr_attnviz.figures.printed import PrintedFigure
from detr_attnviz.methods.catalogue import ALL, MEAN, Layers
from detr_attnviz.methods.definitions import HEADS, LAYER, definition
from detr_attnviz.methods.explain import explain
from detr_attnviz.methods.layers import find_sites
from detr_attnviz.trace import Point, Trace


def grid_figure(
    trace: Trace,
    *,
    options: PrintOptions | None = None,
    query: int | None = None,
    point: Point | None = None,
    direction: Direction = "from",
    layers: Layers = ALL,
    point_level: int = 0,
    threshold: float | None = None,
    label: Label | None = None,
) -> PrintedFigure:
    """Cross-attention of ``query``, by default the best detection's, or encoder self-attention at ``point``.

    The last column is the mean of the heads where there are several.

    Raises: ChoiceError for a choice that does not exist, or for a query and a point together.
    """
    options = options or PrintOptions()
    if query is not None and point is not None:
        raise ChoiceError("a query and a point are named: a grid is of one of the two")
    choice = Choice(())
    asked: dict[str, Any]
    if point is None:
        choice = chosen_query(trace, query=query, threshold=threshold, label=label)
        kind: Kind = "cross"
        asked = {"queries": choice.queries}
    else:
        kind = "encoder"
        asked = {"points": chosen_points(trace, point), "direction": direction, "point_level": point_level}
    sites = find_sites(trace, kind, layers)
    heads = min(trace.records[name].heads for name in sites.names)
    columns = [*map(str, range(heads)), *([MEAN] if heads > 1 else [])]
    rows = [[explain(trace, kind=kind, layer=layer, head=head, **asked) for head in columns] for layer in sites.layers]
    has_peaks = table(rows, columns, options).peak_pt > 0
    note = "maps are too small for their largest values under them: a wider figure, or fewer layers, has them"
    return PrintedFigure(
        figure=draw_grid(rows, columns, options),
        caption=_caption(trace, rows, has_peaks, options),
        kind="grid",
        provenance=about("grid", rows[-1][-1]) | {"site": sites.name, "head": ",".join(columns)},
        notes=(*choice.notes, *(() if has_peaks else (note,)), *missing_letters(rows[0][0].detections)),
    )


def _caption(trace: Trace, rows: Sequence[Sequence[Explanation]], has_peaks: bool, options: PrintOptions) -> str:
    found, heads = rows[-1][-1], max(1, len(rows[0]) - 1)
    words = definition(
        kind=found.kind,
        form="sampled" if found.samples is not None else "dense",
        direction=found.direction,
        is_part=bool(found.rest) and found.samples is None,
    )
    joined = f"; the last column is the mean of the {heads} heads" if heads > 1 else ""
    words = words.replace(f"layer {LAYER}", "layer as numbered at the left").replace(HEADS, "head as numbered above")
    peaks = [peak(one.maps[0], one.is_signed) for row in rows for one in row]
    lowest, highest = amount(found, min(peaks)), amount(found, max(peaks))
    numbers = "which stands under it" if has_peaks else f"which is {lowest} at least and {highest} at most"
    mark = "a dot at the place" if found.kind == "encoder" else "the query's box in black"
    return caption(
        f"All layers and heads of {who(found, 0)}, in {subject(trace)}",
        f"{words.rstrip('.')}{joined}",
        f"Every map has its own range, {own_range(options)}, {numbers}",
        f"Each map has {mark}; the picture under it is shown lighter and nearly without its own colours",
    )
