"""One object query by every method that its detector allows."""

from collections.abc import Mapping, Sequence

from detr_attnviz.drawing.prints.methods import draw_methods
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.errors import CaptureError, ChoiceError
from detr_attnviz.explanation import Explanation
from detr_attnviz.figures.captions import (
    about,
    caption,
    heads_of,
    holes_in,
    own_range,
    subject,
    what_is_drawn,
    who,
)
from detr_attnviz.figures.choice import Choice, Label, chosen_query
from detr_attnviz.figures.letters import PANELS, fitting, missing_letters
from detr_attnviz.figures.printed import PrintedFigure
from detr_attnviz.methods.catalogue import LAST, METHODS, RAW, Layers
from detr_attnviz.methods.explain import explain
from detr_attnviz.methods.layers import missing_for
from detr_attnviz.trace import Trace

ORDER = (RAW, "value-norm", "rollout", "relevance", "attn-gradcam", "gradcam", "decompose")
"""How methods are drawn unless they are named: what reads attention first, what reads other things last."""
_SIGNED = (
    "Maps with values below 0 have 0 in the middle of their colours and a side of them for either sign; + and − stand "
    "where they are highest and lowest"
)
_SHARES = "A term's share is its part in how the logits differ from cell to cell"


def methods_figure(
    trace: Trace,
    *,
    options: PrintOptions | None = None,
    query: int | None = None,
    methods: str | Sequence[str] | None = None,
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
    options, smaller = fitting(options, PANELS)
    choice = chosen_query(trace, query=query, threshold=threshold, label=label)
    (number,) = choice.queries
    found, left_out = _explained(trace, number, layer, (methods,) if isinstance(methods, str) else methods)
    told = {
        "method": ", ".join(one.method for one in found),
        "site": ", ".join(dict.fromkeys(one.site for one in found)),
    }
    return PrintedFigure(
        figure=draw_methods(found, options),
        caption=_caption(trace, choice, found, options),
        kind="methods",
        provenance=about("methods", found[0]) | told,
        notes=(*choice.notes, *left_out, *smaller, *missing_letters(found[0].detections), *trace.notes),
    )


def _explained(
    trace: Trace, query: int, layer: Layers, methods: Sequence[str] | None
) -> tuple[list[Explanation], list[str]]:
    """One explanation a method, and a note for each that does not go."""
    _check_names(trace, methods)
    found, left_out = [], dict[str, str]()
    for method in dict.fromkeys(methods or ORDER):
        choice = {} if METHODS[method].layers == "none" else {"layer": layer}
        try:
            if reason := missing_for(trace.detector, method):
                raise ChoiceError(reason)
            found.append(explain(trace, method=method, queries=query, **choice))  # type: ignore[arg-type]
        except (ChoiceError, CaptureError) as error:
            if methods is not None or not found:
                raise
            left_out[method] = str(error)
    return sorted(found, key=lambda one: bool(one.terms)), _notes(left_out)  # as they are drawn


def _notes(left_out: Mapping[str, str]) -> list[str]:
    """Which methods have no panel, and why; one line for all that sampled attention rules out."""
    of_cells = [method for method, reason in left_out.items() if "sampled attention" in reason]
    others = [f"{method} is left out: {reason}" for method, reason in left_out.items() if method not in of_cells]
    if not of_cells:
        return others
    together = f"left out: {', '.join(of_cells)}: they need attention over all cells, and this detector's is sampled"
    return [together, *others]


def _check_names(trace: Trace, methods: Sequence[str] | None) -> None:
    """All faults at once, before seconds go into the first."""
    named = () if methods is None else methods
    if methods is not None and not methods:
        raise ChoiceError("no method is named: name at least one, or leave methods out")
    if unknown := [method for method in named if method not in METHODS]:
        raise ChoiceError(f"no method {', '.join(map(repr, unknown))}: methods are {', '.join(METHODS)}")
    if faults := [fault for method in named if (fault := missing_for(trace.detector, method))]:
        raise ChoiceError("; ".join(faults))


def _caption(trace: Trace, choice: Choice, found: Sequence[Explanation], options: PrintOptions) -> str:
    has_plain = not all(one.is_signed for one in found)
    chosen = f"{who(found[0], 0)}{choice.in_brackets}"
    return caption(
        f"One object query by {_count(found)}: {chosen}, of {subject(trace)}; the outline is its box",
        *(_named(one.method, what_is_drawn(one, heads_of(trace, one))) for one in found),
        f"Every map has its own range, {own_range(options)}" if has_plain else "",
        "Below a panel stands its range, and what a value is an amount of",
        holes_in(*found),
        _SIGNED if any(one.is_signed for one in found) else "",
        _SHARES if any(one.shares for one in found) else "",
    )


def _named(method: str, words: str) -> str:
    """A definition with the name that stands over the panel, unless it begins with that."""
    start = words.casefold().replace("-", "").replace(" ", "")
    return words if start.startswith(method.replace("-", "")) else f"{method}: {words}"


def _count(found: Sequence[Explanation]) -> str:
    return "one method" if len(found) == 1 else f"{len(found)} methods"
