"""One object query by every method that its detector allows."""

from collections.abc import Sequence

from detr_attnviz.drawing.prints.methods import draw_methods
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.errors import CaptureError, ChoiceError
from detr_attnviz.explanation import Explanation
from detr_attnviz.figures.captions import about, caption, heads_of, missing_letters, subject, what_is_drawn, who
from detr_attnviz.figures.choice import Label, chosen_query
from detr_attnviz.figures.printed import PrintedFigure
from detr_attnviz.methods.catalogue import LAST, METHODS, Layers
from detr_attnviz.methods.explain import explain
from detr_attnviz.methods.layers import missing_for
from detr_attnviz.trace import Trace

_SIGNED = (
    "Maps with values below 0 have two colours, for either sign, with 0 between them; + and − stand where they are "
    "highest and lowest"
)
_SHARES = "A term's share is its part in how the logits differ from cell to cell"


def methods_figure(
    trace: Trace,
    *,
    options: PrintOptions | None = None,
    query: int | None = None,
    methods: Sequence[str] | None = None,
    layer: Layers = LAST,
    threshold: float | None = None,
    label: Label | None = None,
) -> PrintedFigure:
    """One query by several methods side by side, each in its own range and unit, with all heads joined by their mean.

    ``methods`` are all that this detector allows unless named; what was left out is in the figure's ``notes`` with the
    reason. ``layer`` is for those that leave a choice of one. ``query`` is the best detection unless given.

    Raises: ChoiceError for a query, layer, label or threshold that does not exist, or a named method that the detector
        does not allow.
    """
    options = options or PrintOptions()
    choice = chosen_query(trace, query=query, threshold=threshold, label=label)
    (number,) = choice.queries
    found, left_out = _explained(trace, number, layer, methods)
    told = {
        "method": ", ".join(one.method for one in found),
        "site": ", ".join(dict.fromkeys(one.site for one in found)),
    }
    return PrintedFigure(
        figure=draw_methods(found, options),
        caption=_caption(trace, found),
        kind="methods",
        provenance=about("methods", found[0]) | told,
        notes=(*choice.notes, *left_out, *missing_letters(found[0].detections), *trace.notes),
    )


def _explained(
    trace: Trace, query: int, layer: Layers, methods: Sequence[str] | None
) -> tuple[list[Explanation], list[str]]:
    """One explanation a method, and a note for each that does not go."""
    _check_names(trace, methods)
    found, left_out = [], []
    for method in dict.fromkeys(methods or METHODS):
        choice = {} if METHODS[method].layers == "none" else {"layer": layer}
        try:
            if reason := missing_for(trace.detector, method):
                raise ChoiceError(reason)
            found.append(explain(trace, method=method, queries=query, **choice))  # type: ignore[arg-type]
        except (ChoiceError, CaptureError) as error:
            if methods is not None or not found:
                raise
            left_out.append(f"{method} is left out: {error}")
    return sorted(found, key=lambda one: bool(one.terms)), left_out  # as they are drawn


def _check_names(trace: Trace, methods: Sequence[str] | None) -> None:
    """All faults at once, before seconds go into the first."""
    named = () if methods is None else methods
    if methods is not None and not methods:
        raise ChoiceError("no method is named: name at least one, or leave methods out")
    if unknown := [method for method in named if method not in METHODS]:
        raise ChoiceError(f"no method {', '.join(map(repr, unknown))}: methods are {', '.join(METHODS)}")
    if faults := [fault for method in named if (fault := missing_for(trace.detector, method))]:
        raise ChoiceError("; ".join(faults))


def _caption(trace: Trace, found: Sequence[Explanation]) -> str:
    return caption(
        f"One object query by {_count(found)}: {who(found[0], 0)}, of {subject(trace)}; the outline is its box",
        *(_named(one.method, what_is_drawn(one, heads_of(trace, one))) for one in found),
        "Colours run from 0 to each map's own peak; below a panel stands its range, and what a value is an amount of",
        _SIGNED if any(one.is_signed for one in found) else "",
        _SHARES if any(one.shares for one in found) else "",
    )


def _named(method: str, words: str) -> str:
    """A definition with the name that stands over the panel, unless it begins with that."""
    start = words.casefold().replace("-", "").replace(" ", "")
    return words if start.startswith(method.replace("-", "")) else f"{method}: {words}"


def _count(found: Sequence[Explanation]) -> str:
    return "one method" if len(found) == 1 else f"{len(found)} methods"
