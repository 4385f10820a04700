"""What each attention head does for a query: the change of its logit and box when that head alone is silenced."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from detr_attnviz.detector import Detector, exact_inference
from detr_attnviz.errors import CaptureError
from detr_attnviz.evaluation.answers import Answers, Targets
from detr_attnviz.evaluation.copies import heads_of, silenced
from detr_attnviz.methods import layers
from detr_attnviz.sites import AttentionSite


def sites_of(detector: Detector, kinds: Sequence[str]) -> tuple[AttentionSite, ...]:
    """The sites whose heads are silenced, in the order of ``kinds``."""
    return tuple(site for kind in kinds for site in layers.sites_of(detector, layers.SITE_KINDS[kind]))


def can_silence(detector: Detector, kinds: Sequence[str]) -> bool:
    """Whether every head of these kinds can be silenced by itself."""
    try:
        return all(heads_of(site) for site in sites_of(detector, kinds))
    except CaptureError:
        return False


def head_effects(
    copy: Detector, kinds: Sequence[str], inputs: Mapping[str, Tensor], targets: Targets, undisturbed: Answers
) -> Mapping[str, NDArray[np.float64]]:
    """By site, ``[queries heads quantities]``; ``copy`` is a detector whose weights may be changed for a while.

    ``inputs`` may start behind the backbone, which no head reaches.
    """
    with exact_inference(copy.device):
        return {
            site.name: _effects(copy, site, inputs, targets) - undisturbed[:, None] for site in sites_of(copy, kinds)
        }


def _effects(
    copy: Detector, site: AttentionSite, inputs: Mapping[str, Tensor], targets: Targets
) -> NDArray[np.float64]:
    answers = []
    for head in range(heads_of(site)):
        with silenced(site, head):
            answers.append(targets.answers(copy.family.forward(inputs))[0])
    return np.stack(answers, axis=1)
