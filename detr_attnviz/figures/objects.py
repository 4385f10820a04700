"""One picture, every object's cross-attention in its own colour: figure 6 of the DETR paper."""

from collections.abc import Sequence

from detr_attnviz.drawing.captions import name_of
from detr_attnviz.drawing.overlay import peak
from detr_attnviz.drawing.prints.objects import MOST, draw_objects
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.errors import ChoiceError
from detr_attnviz.explanation import Explanation
from detr_attnviz.figures.captions import (
    about,
    caption,
    heads_of,
    holes_in,
    in_a_row,
    peak_of,
    subject,
    what_is_drawn,
)
from detr_attnviz.figures.choice import Choice, Label, chosen_queries
from detr_attnviz.figures.letters import ONE_PICTURE, fitting, missing_letters
from detr_attnviz.figures.printed import PrintedFigure
from detr_attnviz.methods.catalogue import LAST, MEAN, METHODS, RAW, Head, Layers
from detr_attnviz.methods.explain import explain
from detr_attnviz.methods.select import FALLBACK
from detr_attnviz.trace import Trace

_FAINT = 0.01
_MARKED = (
    "Every object has a number and a colour, in which its box and its map are drawn; the numbers behind the names are "
    "scores",
    "Its box and its map are drawn in one colour; the number behind its name is its score",
)


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
    options, smaller = fitting(options, ONE_PICTURE)
    if method in METHODS and METHODS[method].is_signed:
        raise ChoiceError(f"figure objects has one colour an object, and {method} has values below zero: choose raw")
    choice = chosen_queries(trace, queries=queries, threshold=threshold, label=label, top_k=top_k, fallback=fallback)
    choice = choice if queries is not None else choice.best(MOST, "more colours cannot be told apart")
    found = explain(trace, method=method, layer=layer, head=head, queries=choice.queries)
    return PrintedFigure(
        figure=draw_objects(found, options, _peaks_to_tell(found)),
        caption=_caption(trace, found, choice),
        kind="objects",
        provenance=about("objects", found),
        notes=(*choice.notes, *_empty(found), *smaller, *missing_letters(found.detections), *trace.notes),
    )


def _peaks_to_tell(found: Explanation) -> tuple[str, ...]:
    """What stands in the legend where maps that are drawn alike are not alike: one is zero, or faint beside another."""
    highest = [peak(values) for values in found.maps]
    if min(highest) >= _FAINT * max(highest) > 0:
        return ()
    words = [peak_of(found, index) for index in range(len(found))]
    return tuple(f"peak {word}" if high else word for word, high in zip(words, highest, strict=True))


def _empty(found: Explanation) -> tuple[str, ...]:
    """Notes on maps that show nothing, or not all that there is."""
    holes = [index for index in range(len(found)) if found.holes(index)]
    empty = [index for index, values in enumerate(found.maps) if not peak(values) and index not in holes]
    notes = {"nothing is above zero in": empty, "NaN or infinite values, which are hatched, are in": holes}
    return tuple(f"{words} {_maps(indices)}" for words, indices in notes.items() if indices)


def _maps(indices: Sequence[int]) -> str:
    return f"the map{'' if len(indices) == 1 else 's'} of {in_a_row([str(index + 1) for index in indices])}"


def _caption(trace: Trace, found: Explanation, choice: Choice) -> str:
    peaks = [f"{index + 1} {name_of(one)} {peak_of(found, index)}" for index, one in enumerate(found.detections)]
    each = "its map's largest value" if len(found) == 1 else "each map's own largest value"
    hatched = "hatched" if len(found) == 1 else "hatched, whatever the other maps hold there"
    mixed = "Where maps overlap, their colours are mixed by strength. " if len(found) > 1 else ""
    return caption(
        f"{'One object' if len(found) == 1 else f'{len(found)} objects'}{choice.in_brackets} in {subject(trace)}, "
        f"{'' if len(found) == 1 else 'each '}with the map of its query",
        what_is_drawn(found, heads_of(trace, found)),
        f"{_MARKED[len(found) == 1]}. Opacity goes from 0 at zero to its most at {each}: {', '.join(peaks)}",
        holes_in(found, drawn=hatched),
        f"{mixed}The picture is shown lighter and nearly without its own colours",
    )
