"""Encoder self-attention of a few places around the picture: figure 3 of the DETR paper."""

from collections.abc import Sequence

from detr_attnviz.drawing.captions import name_of
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.drawing.prints.points import MOST, draw_points
from detr_attnviz.errors import ChoiceError
from detr_attnviz.explanation import Direction, Explanation
from detr_attnviz.figures.captions import (
    about,
    caption,
    heads_of,
    in_a_row,
    missing_letters,
    own_range,
    peak_of,
    subject,
    what_is_drawn,
)
from detr_attnviz.figures.choice import Choice, Label, chosen_points, chosen_queries, points_inside
from detr_attnviz.figures.printed import PrintedFigure
from detr_attnviz.methods.catalogue import LAST, MEAN, Head, Layers
from detr_attnviz.methods.explain import explain
from detr_attnviz.methods.select import FALLBACK, chosen_detections
from detr_attnviz.trace import Point, Trace


def points_figure(
    trace: Trace,
    *,
    options: PrintOptions | None = None,
    points: Point | Sequence[Point] | None = None,
    auto: bool = False,
    layer: Layers = LAST,
    head: Head = MEAN,
    direction: Direction = "from",
    point_level: int = 0,
    queries: int | Sequence[int] | None = None,
    threshold: float | None = None,
    label: Label | None = None,
    top_k: int | None = 4,
    fallback: int = FALLBACK,
) -> PrintedFigure:
    """One to eight places: ``points`` (x, y) in original pixels, or with ``auto`` one in every detected object.

    ``queries`` to ``fallback`` choose the objects of ``auto``, whose places are the cells in their boxes that their
    queries look at most.

    Raises: ChoiceError for a choice that does not exist, or for points and ``auto`` together.
    """
    options = options or PrintOptions()
    if auto and points is not None:
        raise ChoiceError("points are named and auto is asked for: give one of the two")
    choice = Choice(())
    if auto:
        choice = chosen_queries(
            trace, queries=queries, threshold=threshold, label=label, top_k=top_k, fallback=fallback
        )
        choice = choice if queries is not None else _best(choice)
    places = points_inside(trace, choice.queries) if auto else chosen_points(trace, points)
    if len(places) > MOST:
        raise ChoiceError(f"{len(places)} points: at most {MOST} maps stand around a picture; name fewer")
    found = explain(
        trace, kind="encoder", layer=layer, head=head, points=places, direction=direction, point_level=point_level
    )
    objects = chosen_detections(trace, choice.queries)
    names = [name_of(one) for one in objects] or [f"({x:g}, {y:g})" for x, y in places]
    return PrintedFigure(
        figure=draw_points(found, names, options),
        caption=_caption(trace, found, [name_of(one) for one in objects], options),
        kind="points",
        provenance=about("points", found),
        notes=(*choice.notes, *missing_letters(objects)),
    )


def _best(choice: Choice) -> Choice:
    if len(choice.queries) <= MOST:
        return choice
    note = f"{len(choice.queries)} objects: the best {MOST} are drawn, as no more maps stand around a picture"
    return Choice(choice.queries[:MOST], (*choice.notes, note))


def _caption(trace: Trace, found: Explanation, names: Sequence[str], options: PrintOptions) -> str:
    listed = []
    for index, (x, y) in enumerate(found.points):
        name = f", {names[index]}," if names else ""
        listed.append(f"{index + 1}{name} at ({x:.4g}, {y:.4g}) up to {peak_of(found, index)}")
    chosen = (
        "Each place is the cell in an object's box that the object's query looks at most in the last decoder layer, "
        "mean of heads"
    )
    count = "One place" if len(found) == 1 else f"{len(found)} places"
    return caption(
        f"{count} in {subject(trace)}, each with a map of its own around the picture, to which a line leads",
        what_is_drawn(found, heads_of(trace, found)),
        chosen if names else "",
        f"Every map has its own range, {own_range(options)}: {in_a_row(listed)}; places are (x, y) in pixels of the "
        "picture",
        "Under the maps the picture is lighter and nearly without its own colours",
    )
