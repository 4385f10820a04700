"""One object query through the decoder's layers: what it attends to, and what each layer predicts of it."""

from detr_attnviz.drawing.prints.evolution import Step, draw_evolution
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.explanation import Explanation
from detr_attnviz.figures.captions import (
    about,
    caption,
    heads_of,
    holes_in,
    own_range,
    owner_of_layers,
    subject,
    what_is_drawn,
    who,
)
from detr_attnviz.figures.choice import Choice, Label, chosen_query
from detr_attnviz.figures.letters import PANELS, fitting, missing_letters
from detr_attnviz.figures.printed import PrintedFigure
from detr_attnviz.methods.catalogue import ALL, MEAN, Head
from detr_attnviz.methods.explain import explain
from detr_attnviz.methods.layers import find_sites
from detr_attnviz.trace import Trace

_SILENT = "The model does not tell what its other layers predict"


def evolution_figure(
    trace: Trace,
    *,
    options: PrintOptions | None = None,
    query: int | None = None,
    head: Head = MEAN,
    threshold: float | None = None,
    label: Label | None = None,
) -> PrintedFigure:
    """One query's cross-attention in every decoder layer, with the box, class and score that the layer predicts.

    ``query`` is the best detection unless given. Where the model does not tell what its layers predict
    (``trace.layer_predictions`` is empty), maps have the final box alone.

    Raises: ChoiceError for a query, head, label or threshold that does not exist.
    """
    options, smaller = fitting(options, PANELS)
    choice = chosen_query(trace, query=query, threshold=threshold, label=label)
    (number,) = choice.queries
    sites = find_sites(trace, "cross", ALL)
    steps = [_step(trace, number, layer, head) for layer in sites.layers]
    tells = steps[-1].seen is not None
    named = [*steps[-1].explanation.detections, *(step.seen for step in steps if step.seen is not None)]
    silent = () if tells else (f"{_SILENT}: the final box is drawn alone",)
    return PrintedFigure(
        figure=draw_evolution(steps, options),
        caption=_caption(trace, choice, [step.explanation for step in steps], tells, options),
        kind="evolution",
        provenance=about("evolution", steps[-1].explanation) | {"site": sites.name},
        notes=(*choice.notes, *silent, *smaller, *missing_letters(named), *trace.notes),
    )


def _step(trace: Trace, query: int, layer: int, head: Head) -> Step:
    explanation = explain(trace, layer=layer, head=head, queries=query)
    predictions = trace.layer_predictions
    if layer >= len(predictions):
        return Step(explanation)
    return Step(explanation, predictions[layer][query], _no_object(trace, query, layer))


def _no_object(trace: Trace, query: int, layer: int) -> float | None:
    """The probability of the last class, where that is no-object, which scores leave out."""
    logits = trace.layer_outputs[layer].logits[0, query]
    scores = trace.detector.family.scores(logits)
    return 1 - float(scores.sum()) if len(scores) < len(logits) else None


def _caption(trace: Trace, choice: Choice, found: list[Explanation], tells: bool, options: PrintOptions) -> str:
    last = found[-1]
    layers = "one layer" if len(found) == 1 else f"{len(found)} layers"
    chosen = f"{who(last, 0)}{choice.in_brackets}"
    return caption(
        f"One object query through the {owner_of_layers(trace)}'s {layers}: {chosen}, of {subject(trace)}",
        what_is_drawn(last, heads_of(trace, last), layer="layer by layer"),
        f"Every map has its own range, {own_range(options)}, which stands above it",
        holes_in(*found),
        _boxes(trace, tells),
    )


def _boxes(trace: Trace, tells: bool) -> str:
    if not tells:
        return f"{_SILENT}: every panel has the box of the last one"
    has_no_object = trace.logits.shape[-1] > trace.detector.family.scores(trace.logits[:1]).shape[-1]
    also = ", and the probability that there is no object" if has_no_object else ""
    return (
        "The solid box, and the class and score below a panel, are what the model's own heads predict from that layer"
        f"{also}; the dashed box is the last layer's"
    )
