"""Encoder self-attention of a few places around the picture: figure 3 of the DETR paper."""

from collections.abc import Mapping, Sequence
from typing import Any

from detr_attnviz.drawing.captions import name_of
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.drawing.prints.points import MOST, draw_points, labels
from detr_attnviz.errors import ChoiceError
from detr_attnviz.explanation import Direction, Explanation
from detr_attnviz.figures.captions import (
    about,
    caption,
    heads_of,
    holes_in,
    in_a_row,
    own_range,
    owner_of_layers,
    peak_of,
    subject,
    what_is_drawn,
)
from detr_attnviz.figures.choice import Choice, How, Inside, Label, chosen_points, chosen_queries, points_inside
from detr_attnviz.figures.letters import ONE_PICTURE, fitting, missing_letters
from detr_attnviz.figures.printed import PrintedFigure
from detr_attnviz.methods.catalogue import LAST, MEAN, Head, Layers
from detr_attnviz.methods.explain import explain
from detr_attnviz.methods.select import FALLBACK, chosen_detections
from detr_attnviz.trace import Point, Trace

_EXCEPTIONS: Mapping[How, str] = {
    "next": "where another object has that cell, as for {who}, it is the next",
    "middle": "where no cell's middle is in the box, as for {who}, it is the cell nearest to the box's own middle",
    "anywhere": "where the box is not finite, as for {who}, every cell counts as inside",
}


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
    top_k: int | None = None,
    fallback: int = FALLBACK,
) -> PrintedFigure:
    """One to eight places: ``points`` (x, y) in original pixels, or with ``auto`` one in every detected object.

    ``queries`` to ``fallback`` choose the objects of ``auto``, whose places are the cells in their boxes that their
    queries look at most; of more than eight objects that are not named, the best eight, which a note says.

    Raises: ChoiceError for a choice that does not exist, or for points together with ``auto`` or what chooses objects.
    """
    options, smaller = fitting(options, ONE_PICTURE)
    asked = {"queries": queries, "threshold": threshold, "label": label, "top_k": top_k, "fallback": fallback}
    choice = _objects(trace, points, asked) if auto else _no_objects(asked)
    inside = points_inside(trace, choice.queries) if auto else ()
    places = tuple(one.point for one in inside) if auto else chosen_points(trace, points)
    if len(places) > MOST:
        raise ChoiceError(f"{len(places)} points: at most {MOST} maps stand around a picture; name fewer")
    found = explain(
        trace, kind="encoder", layer=layer, head=head, points=places, direction=direction, point_level=point_level
    )
    objects = chosen_detections(trace, choice.queries)
    names = [name_of(one) for one in objects]
    words = names or [f"({x:g}, {y:g})" for x, y in places]
    too_small = _without_words(found, words, options)
    return PrintedFigure(
        figure=draw_points(found, words, options),
        caption=_caption(trace, found, names, choice, inside, options),
        kind="points",
        provenance=about("points", found),
        notes=(*choice.notes, *too_small, *smaller, *missing_letters(objects), *trace.notes),
    )


def _without_words(found: Explanation, words: Sequence[str], options: PrintOptions) -> tuple[str, ...]:
    """A note on maps that have no room for more than their numbers."""
    shown = labels(found, words, options)
    bare = [str(index + 1) for index, label in enumerate(shown) if not label and words[index]]
    if not bare:
        return ()
    return (f"maps are too small for words under {in_a_row(bare)}: the caption has them, and so has a wider figure",)


def _objects(trace: Trace, points: Point | Sequence[Point] | None, asked: Mapping[str, Any]) -> Choice:
    """Those asked for, or of many the best."""
    if points is not None:
        raise ChoiceError("points are named and auto is asked for: give one of the two")
    choice = chosen_queries(trace, **asked)
    return choice if asked["queries"] is not None else choice.best(MOST, "no more maps stand around a picture")


def _no_objects(asked: Mapping[str, Any]) -> Choice:
    usual = {"fallback": FALLBACK}
    if given := [name for name, value in asked.items() if value is not None and value != usual.get(name)]:
        raise ChoiceError(
            f"objects are chosen by {in_a_row(given)}, and only auto=True finds places in them: ask for it, or give "
            "points alone"
        )
    return Choice(())


def _caption(
    trace: Trace,
    found: Explanation,
    names: Sequence[str],
    choice: Choice,
    inside: Sequence[Inside],
    options: PrintOptions,
) -> str:
    listed = []
    for index, (x, y) in enumerate(found.points):
        name = f" {names[index]}" if names else ""
        listed.append(f"{index + 1}{name} at ({x:.4g}, {y:.4g}), up to {peak_of(found, index)}")
    is_one = len(found) == 1
    maps = "with its map, to" if is_one else "each with a map of its own around the picture, to"
    return caption(
        f"{'One place' if is_one else f'{len(found)} places'} in {subject(trace)}, {maps} which a line leads",
        what_is_drawn(found, heads_of(trace, found)),
        _how_chosen(trace, choice, inside) if inside else "",
        f"{'The map goes' if is_one else 'Every map has its own range,'} {own_range(options)}: {'; '.join(listed)}; "
        "places are (x, y) in pixels of the picture",
        holes_in(found),
        f"Under the {'map' if is_one else 'maps'} the picture is lighter and nearly without its own colours",
    )


def _how_chosen(trace: Trace, choice: Choice, inside: Sequence[Inside]) -> str:
    """What places have in common, and by their numbers those that are found otherwise."""
    is_one = len(inside) == 1
    chosen = f"The {'object is' if is_one else 'objects are'} {choice.how}. " if choice.how else ""
    rule = (
        f"{chosen}{'The' if is_one else 'Each'} place is the middle of a cell, that which the object's query looks at "
        "most of those with their middles "
        f"in its box, in the {owner_of_layers(trace)}'s last layer, mean of heads"
    )
    others = []
    for how, words in _EXCEPTIONS.items():
        if numbers := [str(number) for number, one in enumerate(inside, 1) if one.how == how]:
            others.append(words.format(who=in_a_row(numbers)))
    return "; ".join([rule, *others])
