"""One picture, every object's cross-attention in its own colour: figure 6 of the DETR paper."""

from collections.abc import Sequence

from detr_attnviz.drawing.prints.objects import MOST, draw_objects
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.errors import ChoiceError
from detr_attnviz.explanation import Explanation
from detr_attnviz.figures.captions import (
    about,
    caption,
    heads_of,
    in_a_row,
    missing_letters,
    peak_of,
    subject,
    what_is_drawn,
)
from detr_attnviz.figures.choice import Choice, Label, chosen_queries
from detr_attnviz.figures.printed import PrintedFigure
from detr_attnviz.methods.catalogue import LAST, MEAN, METHODS, RAW, Head, Layers
from detr_attnviz.methods.explain import explain
from detr_attnviz.methods.select import FALLBACK
from detr_attnviz.trace import Trace


def objects_figure(
    trace: Trace,
    *,
    options: PrintOptions | None = None,
    layer: Layers = LAST,
    head: Head = MEAN,
    method: str = RAW,
    queries: int | Sequence[int] | None = None,
    threshold: float | None = None,
    label: Label | None = None,
    top_k: int | None = None,
    fallback: int = FALLBACK,
) -> PrintedFigure:
    """Every detection above the threshold, or the ``queries`` named; of many, the best twelve, which a note says.

    Raises: ChoiceError for a choice that does not exist, or a method whose maps have a sign.
    """
    options = options or PrintOptions()
    if method in METHODS and METHODS[method].is_signed:
        raise ChoiceError(f"figure objects has one colour an object, and {method} has values below zero: choose raw")
    choice = chosen_queries(trace, queries=queries, threshold=threshold, label=label, top_k=top_k, fallback=fallback)
    choice = choice if queries is not None else _best(choice)
    found = explain(trace, method=method, layer=layer, head=head, queries=choice.queries)
    return PrintedFigure(
        figure=draw_objects(found, options),
        caption=_caption(trace, found),
        kind="objects",
        provenance=about("objects", found),
        notes=(*choice.notes, *missing_letters(found.detections)),
    )


def _best(choice: Choice) -> Choice:
    left_out = len(choice.queries) - MOST
    if left_out <= 0:
        return choice
    note = f"{len(choice.queries)} objects: the best {MOST} are drawn, as more colours cannot be told apart"
    return Choice(choice.queries[:MOST], (*choice.notes, note))


def _caption(trace: Trace, found: Explanation) -> str:
    peaks = [f"{index + 1} {peak_of(found, index)}" for index in range(len(found))]
    each = "its map's largest value" if len(found) == 1 else "each map's own largest value"
    mixed = "Where maps overlap, their colours are mixed by strength. " if len(found) > 1 else ""
    return caption(
        f"{'One object' if len(found) == 1 else f'{len(found)} objects'} in {subject(trace)}, each with the map of "
        "its query",
        what_is_drawn(found, heads_of(trace, found)),
        f"Every object has a number and a colour, in which its box and its map are drawn; the numbers behind the names "
        f"are scores. Opacity goes from 0 at zero to its most at {each} ({in_a_row(peaks)})",
        f"{mixed}The picture is shown lighter and nearly without its own colours",
    )
