"""The attention weights of a checkpoint, split into Wq, Wk and Wv, with the norms of their heads."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detr_attnviz.checkpoints.inspection import Inspection, inspect
from detr_attnviz.detector import Detector
from detr_attnviz.drawing.figure import Panel, Scale, scales
from detr_attnviz.drawing.prints.bars import number
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.drawing.prints.weights import draw_weights, layout, pixels_across
from detr_attnviz.drawing.text import clean
from detr_attnviz.errors import ChoiceError
from detr_attnviz.figures.captions import caption, checkpoint_in_words, in_a_row, strongest
from detr_attnviz.figures.letters import PANELS, fitting
from detr_attnviz.figures.printed import PrintedFigure
from detr_attnviz.trace import Trace


def weights_figure_of(
    source: str | Path | Detector | Trace,
    *,
    options: PrintOptions | None = None,
    module: str | None = None,
    layer: int | None = None,
    nheads: int | None = None,
) -> PrintedFigure:
    """Wq, Wk and Wv of every attention module of a checkpoint, of any model, with the norms of each head's block.

    ``source`` is a file, a folder, a known name, or what was loaded from one. ``module`` is a glob over modules' names,
    ``layer`` one layer from 0 (−1 is the last), ``nheads`` the number of heads where the checkpoint does not tell it.

    Raises: CheckpointError; ChoiceError for a module, layer or number of heads that does not fit, or a model that was
        built in code.
    """
    options, smaller = fitting(options, PANELS)
    found = inspect(_path_of(source), module=module, layer=layer, nheads=nheads)
    about = {"figure": "weights", **{name: clean(value) for name, value in found.provenance.items()}}
    words = _caption(found, found.provenance["checkpoint_sha256"], options)
    return PrintedFigure(draw_weights(found.panels(), options), words, "weights", about, (*smaller, *found.notes))


def _path_of(source: str | Path | Detector | Trace) -> str | Path:
    detector = source.detector if isinstance(source, Trace) else source
    if not isinstance(detector, Detector):
        return detector
    path = detector.family.origin.path
    if path is None:
        raise ChoiceError(
            f"{detector.name} was built in code, and weights are drawn of a checkpoint: save its state_dict with "
            "torch.save and give that file"
        )
    return path


def _caption(found: Inspection, digest: str, options: PrintOptions) -> str:
    panels = found.panels()
    weights, norms = scales(panels)
    groups = list(dict.fromkeys(clean(panel.group) for panel in panels))
    reach = number(float(weights.norm.vmax or 0))
    is_whole = all(np.isfinite(matrix).all() for panel in panels for matrix in (panel.q, panel.k, panel.v))
    return caption(
        f"Attention weights of {checkpoint_in_words(found.path.name, digest)}, {in_a_row(groups)}: Wq, Wk and Wv of "
        f"{_modules(panels)}, a row a feature that comes out and a column one that goes in",
        f"Colours run from −{reach} to {reach}, the 99.5th percentile of all absolute values, which further ones share",
        "" if is_whole else "What is not finite is green",
        _averages(panels, options),
        _heads(norms, options),
    )


def _averages(panels: Sequence[Panel], options: PrintOptions) -> str:
    shown = pixels_across(layout(panels, options), options)
    largest = max(max(matrix.shape) for panel in panels for matrix in (panel.q, panel.k, panel.v))
    return f"Where {options.dpi} dpi show no single value, the mean of neighbours is shown" if largest > shown else ""


def _modules(panels: Sequence[object]) -> str:
    return "one module" if len(panels) == 1 else f"{len(panels)} modules"


def _heads(norms: Scale | None, options: PrintOptions) -> str:
    if norms is None:
        return "The number of heads is not known"
    low, high = number(float(norms.norm.vmin or 0)), number(float(norms.norm.vmax or 0))
    return (
        "Lines part the heads, which count from 0 at the top. At the right of each module are the Frobenius norms of "
        f"its heads' blocks of Wq, Wk, Wv and Wo (q, k, v, o), in colours from {low} to {high} ({strongest(options)})"
    )
