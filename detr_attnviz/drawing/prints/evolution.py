"""One query through the layers: a panel per layer with its map, the box that it predicts, and the final one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.figure import Figure

from detr_attnviz.detections import Detection
from detr_attnviz.drawing.captions import name_of, peak_amount, score_of
from detr_attnviz.drawing.prints.keys import Key, Line
from detr_attnviz.drawing.prints.marks import INK
from detr_attnviz.drawing.prints.palette import COLORS, Mark
from detr_attnviz.drawing.prints.panels import Group, Panel, draw_panels
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.explanation import Explanation

NO_OBJECT = "no object"
_OWN = Line(Mark(1, COLORS[0]).hex, 0.8)
_FINAL = Line(INK, 0.5, dashes=(3, 2), has_casing=False)
_ALONE = Line(INK, 0.7)


@dataclass(frozen=True, eq=False)
class Step:
    """One layer: its one map, and the query as this layer predicts it, None where the model does not tell.

    ``no_object`` is the probability that there is nothing, None for a model that has no such class.
    """

    explanation: Explanation
    seen: Detection | None = None
    no_object: float | None = None

    @property
    def is_no_object(self) -> bool:
        """Whether nothing is likelier than the best class."""
        return self.seen is not None and self.no_object is not None and self.no_object > self.seen.score


def draw_evolution(steps: Sequence[Step], options: PrintOptions) -> Figure:
    """The sheet; every map has its own range, whose peak stands above it."""
    final = steps[-1].explanation.detections[0]
    tells = any(step.seen is not None for step in steps)
    keys = [Key("of each layer", low="0", high="peak")]
    if tells:
        keys = [Key("box of this layer", line=_OWN), Key("final box", line=_FINAL), *keys]
    return draw_panels([Group(tuple(_panel(step, final) for step in steps))], keys, options)


def _panel(step: Step, final: Detection) -> Panel:
    found = step.explanation
    boxes = ((final, _ALONE),) if step.seen is None else ((final, _FINAL), (step.seen, _OWN))
    layer = ", ".join(map(str, found.layers))
    return Panel(found, 0, f"layer {layer}", f"peak {peak_amount(found, 0)}", predicted(step), boxes)


def predicted(step: Step) -> tuple[tuple[str, str], ...]:
    """What the layer says of the query, likelier first: class and score."""
    if step.seen is None:
        return ()
    best = (name_of(step.seen), f" {score_of(step.seen)}")
    if step.no_object is None:
        return (best,)
    nothing = (NO_OBJECT, f" {score_of(replace(step.seen, score=step.no_object))}")
    return (nothing, best) if step.is_no_object else (best, nothing)
