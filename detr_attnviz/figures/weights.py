"""The attention weights of a checkpoint, split into Wq, Wk and Wv, with the norms of their heads."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detr_attnviz import __version__
from detr_attnviz.checkpoints.inspection import Inspection, inspect
from detr_attnviz.checkpoints.read import sha256_of
from detr_attnviz.detector import Detector
from detr_attnviz.drawing.figure import scales
from detr_attnviz.drawing.prints.bars import number
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.drawing.prints.weights import draw_weights
from detr_attnviz.errors import ChoiceError
from detr_attnviz.figures.captions import caption, in_a_row
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
    options = options or PrintOptions()
    found = inspect(_path_of(source), module=module, layer=layer, nheads=nheads)
    digest = sha256_of(found.path)
    about = {
        "figure": "weights",
        "checkpoint": found.path.name,
        "checkpoint_sha256": digest,
        "software": f"detr_attnviz {__version__}",
    }
    return PrintedFigure(draw_weights(found.panels(), options), _caption(found, digest), "weights", about, found.notes)


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


def _caption(found: Inspection, digest: str) -> str:
    panels = found.panels()
    weights, norms = scales(panels)
    groups = list(dict.fromkeys(panel.group for panel in panels))
    reach = number(float(weights.norm.vmax or 0))
    is_whole = all(np.isfinite(matrix).all() for panel in panels for matrix in (panel.q, panel.k, panel.v))
    return caption(
        f"Attention weights of {found.path.name} (sha256 {digest[:8]}), {in_a_row(groups)}: Wq, Wk and Wv of "
        f"{_modules(panels)}, a row a feature that comes out and a column one that goes in",
        f"Colours run from −{reach} to {reach}, the 99.5th percentile of all absolute values, which further ones share",
        "" if is_whole else "What is not finite is green",
        _heads(panels, norms is not None),
    )


def _modules(panels: Sequence[object]) -> str:
    return "one module" if len(panels) == 1 else f"{len(panels)} modules"


def _heads(panels: Sequence[object], has_norms: bool) -> str:
    if not has_norms:
        return "The number of heads is not known"
    return (
        "Lines part the heads, which count from 0 at the top. At the right of each module are the Frobenius norms of "
        "its heads' blocks of Wq, Wk, Wv and Wo (q, k, v, o), darker where larger"
    )
