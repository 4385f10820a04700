"""Every classic figure by its name: the one call that all are reached by."""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from inspect import signature
from types import MappingProxyType
from typing import Any

from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.errors import ChoiceError
from detr_attnviz.figures.evolution import evolution_figure
from detr_attnviz.figures.grid import grid_figure
from detr_attnviz.figures.methods import methods_figure
from detr_attnviz.figures.objects import objects_figure
from detr_attnviz.figures.points import points_figure
from detr_attnviz.figures.printed import PrintedFigure
from detr_attnviz.figures.weights import weights_figure_of
from detr_attnviz.trace import Trace

KINDS: Mapping[str, Callable[..., PrintedFigure]] = MappingProxyType(
    {
        "objects": objects_figure,
        "points": points_figure,
        "grid": grid_figure,
        "evolution": evolution_figure,
        "methods": methods_figure,
        "weights": weights_figure_of,
    }
)
_PAPER = tuple(field.name for field in fields(PrintOptions))


def figure(kind: str, of: Any, /, *, options: PrintOptions | None = None, **asked: Any) -> PrintedFigure:
    """A figure for print with its caption: ``figure("objects", trace, width="column").save("objects.pdf")``.

    =============  =================  ============================================================================
    ``kind``       ``of``             what can be chosen
    =============  =================  ============================================================================
    "objects"      a trace            ``queries label top_k threshold fallback``, ``method layer head``
    "points"       a trace            ``points`` or ``auto=True``, ``layer head direction point_level``, and as objects
    "grid"         a trace            ``query label threshold`` or ``point direction point_level``, ``layer``
    "evolution"    a trace            ``query label threshold``, ``head``
    "methods"      a trace            ``query label threshold``, ``methods layer``
    "weights"      a name, path,      ``module layer nheads``
                   trace or detector
    =============  =================  ============================================================================

    On paper: ``width`` "column" (85 mm), "page" (175 mm) or millimetres; ``dpi``; ``font_pt``, the size of letters;
    ``cmap``, ``alpha`` and ``smooth`` as in ``render``.

    Raises: ChoiceError for a kind or choice that does not exist, or that the trace cannot answer.
    """
    draw = KINDS.get(kind)
    if draw is None:
        raise ChoiceError(f"no figure {kind!r}: figures are {', '.join(KINDS)}")
    if kind != "weights" and not isinstance(of, Trace):
        raise ChoiceError(f"figure {kind} is drawn of a trace, detector.trace(picture); found {type(of).__name__}")
    paper = {name: asked.pop(name) for name in _PAPER if name in asked}
    own = [name for name in signature(draw).parameters if name != "options"][1:]
    if unknown := [name for name in asked if name not in own]:
        there = f"it has {', '.join(own)}, and of paper {', '.join(_PAPER)}"
        raise ChoiceError(f"figure {kind} has no choice {', '.join(unknown)}: {there}")
    return draw(of, options=replace(options or PrintOptions(), **paper), **asked)
