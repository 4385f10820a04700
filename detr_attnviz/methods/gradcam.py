"""Grad-CAM of the backbone's last features, for a query's class score.

Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization" (arXiv
1610.02391). The gradient goes through the whole transformer, the features are those that it is given.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from detr_attnviz.errors import CaptureError, ChoiceError
from detr_attnviz.methods.gradients import most_at_once, taped_scores
from detr_attnviz.recording.tape import Place
from detr_attnviz.trace import Trace

_FEATURES = "features"
_NAMES = ("input_proj", "input_projection")


def gradcam(trace: Trace, queries: Sequence[int]) -> Float[Tensor, "queries rows cols"]:
    """The backbone's last features, channels weighted by their mean gradient and added up; not negative.

    Raises: ChoiceError for a query that does not exist, or a model whose last features cannot be found; CaptureError
    when gradients do not reach them.
    """
    projection = trace.detector.family.projection()
    if projection is None:
        raise ChoiceError(
            "method gradcam needs the backbone's last features: this model has no single convolution called "
            f"{' or '.join(_NAMES)} that takes them"
        )
    taped = taped_scores(trace, queries, [Place(_FEATURES, projection, "input")], whole=True)
    if _FEATURES not in taped.tape.tensors:
        raise CaptureError(
            "method gradcam needs the backbone's last features: this model has a convolution called "
            f"{' or '.join(_NAMES)}, but its forward does not call it with them"
        )
    features = taped.tape.tensors[_FEATURES].detach()[0]  # [channels rows cols]
    if features.shape[1:] != (trace.grid.rows, trace.grid.cols):
        raise ChoiceError(
            f"the backbone's last features are {features.shape[1]} × {features.shape[2]}, but the picture's grid is "
            f"{trace.grid.rows} × {trace.grid.cols}: method gradcam cannot tell which feature is of which cell"
        )
    maps = []
    for _, gradients in taped.gradients(most_at_once(8 * features.nbytes)):
        weights = gradients[_FEATURES][:, 0].mean((2, 3))  # eq. 1
        maps.append(torch.einsum("qc,crw->qrw", weights, features).relu())  # eq. 2
    return torch.cat(maps)
