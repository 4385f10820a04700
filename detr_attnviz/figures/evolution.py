"""One object query through the decoder's layers: what it attends to, and what each layer predicts of it."""

from detr_attnviz.drawing.prints.evolution import Step, draw_evolution
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.explanation import Explanation
from detr_attnviz.figures.captions import about, caption, heads_of, missing_letters, subject, who
from detr_attnviz.figures.choice import Label, chosen_query
from detr_attnviz.figures.printed import PrintedFigure
from detr_attnviz.methods.catalogue import ALL, MEAN, RAW, Head
from detr_attnviz.methods.definitions import HEADS, LAYER, definition, heads_in_words
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
    options = options or PrintOptions()
    choice = chosen_query(trace, query=query, threshold=threshold, label=label)
    (number,) = choice.queries
    sites = find_sites(trace, "cross", ALL)
    steps = [_step(trace, number, layer, head) for layer in sites.layers]
    tells = steps[-1].seen is not None
    named = [*steps[-1].explanation.detections, *(step.seen for step in steps if step.seen is not None)]
    silent = () if tells else (f"{_SILENT}: the final box is drawn alone",)
    return PrintedFigure(
        figure=draw_evolution(steps, options),
        caption=_caption(trace, [step.explanation for step in steps], tells),
        kind="evolution",
        provenance=about("evolution", steps[-1].explanation) | {"site": sites.name},
        notes=(*choice.notes, *silent, *missing_letters(named), *trace.notes),
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


def _caption(trace: Trace, found: list[Explanation], tells: bool) -> str:
    last = found[-1]
    words = definition(
        RAW,
        form="sampled" if last.samples is not None else "dense",
        is_part=bool(last.rest) and last.samples is None,
    )
    heads = heads_in_words(last.head, heads_of(trace, last))
    return caption(
        f"One object query through {_layers(len(found))}: {who(last, 0)}, of {subject(trace)}",
        words.replace(f"layer {LAYER}", "layer by layer").replace(HEADS, heads),
        "Colours run from 0 to each layer's own peak, which stands above its panel",
        _boxes(trace, tells),
    )


def _layers(count: int) -> str:
    return "the decoder's one layer" if count == 1 else f"the decoder's {count} layers"


def _boxes(trace: Trace, tells: bool) -> str:
    if not tells:
        return f"{_SILENT}: every panel has the box of the last one"
    has_no_object = trace.logits.shape[-1] > trace.detector.family.scores(trace.logits[:1]).shape[-1]
    also = ", and the probability that there is no object" if has_no_object else ""
    return (
        "The solid box, and the class and score below a panel, are what the model's own heads predict from that layer"
        f"{also}; the dashed box is the last layer's"
    )
