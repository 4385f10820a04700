"""What the gradient methods share: class scores of chosen queries, and how attention weights change them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from detr_attnviz.detections import NO_CLASS, Detection
from detr_attnviz.detector import exact
from detr_attnviz.methods.select import chosen_detections
from detr_attnviz.recording.hooks import Records
from detr_attnviz.recording.records import DenseRecord
from detr_attnviz.recording.tape import Place, Tape
from detr_attnviz.sites import AttentionSite
from detr_attnviz.trace import Trace


@dataclass(frozen=True)
class TapedScores:
    """A forward whose chosen queries' class scores have gradients: the raw logit of the class each was detected as."""

    scores: Tensor
    records: Records
    tape: Tape

    def gradients(self, most: int) -> Iterator[tuple[int, Mapping[str, Tensor]]]:
        """By place ``[scores *tensor]``, for as many scores at once as ``most``; with the number of the first."""
        for first in range(0, len(self.scores), most):
            with exact(self.scores.device), _with_graph():
                found = self.tape.gradients(self.scores[first : first + most])
            yield first, found


def taped_scores(trace: Trace, queries: Sequence[int], places: Sequence[Place], *, whole: bool = False) -> TapedScores:
    """A second forward of the picture of ``trace``, with gradients from the queries' class scores to ``places``.

    It starts behind the backbone, where the model can, unless the ``whole`` forward is wanted.

    Raises: ChoiceError for a query that does not exist.
    """
    chosen = chosen_detections(trace, queries)
    prediction, records, tape = trace.detector.tape(trace.prepared.inputs if whole else trace.resumed, places)
    labels = [_explained(trace, detection) for detection in chosen]
    with _with_graph():
        return TapedScores(prediction.logits[0, list(queries), labels], records, tape)


def _explained(trace: Trace, detection: Detection) -> int:
    """The class whose score is followed back: of a query without a class one that is no number, as its maps will be."""
    return int(trace.logits[detection.index].argmax()) if detection.label == NO_CLASS else detection.label


@contextmanager
def _with_graph() -> Iterator[None]:
    """Whatever mode the caller is in."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def outputs_of(sites: Sequence[AttentionSite]) -> list[Place]:
    """Where the output of each site's attention is seen, under the site's name."""
    return [Place(site.name, site.module) for site in sites]


def weight_gradients(
    record: DenseRecord, output_gradients: Float[Tensor, "scores queries width"], head: int
) -> Float[Tensor, "scores queries tokens"]:
    """How each score changes with one head's attention weights, from how it changes with the module's output.

    The output is ``Σ_h A_h v_h out_h + bias``, so ∂y/∂A_h = (∂y/∂output) out_hᵀ v_hᵀ; no graph holds the weights.
    """
    return (output_gradients @ record.out[head].T) @ record.values[0, head].T


def rows_of(gradient: Tensor) -> Float[Tensor, "scores queries width"]:
    """A site's output gradients in float32 or wider, without its batch axis of one, wherever that is."""
    dtype = torch.promote_types(gradient.dtype, torch.float32)
    return gradient.to(dtype).reshape(len(gradient), -1, gradient.shape[-1])


def most_at_once(bytes_each: int, most_bytes: int = 1 << 30) -> int:
    """How many scores fit into memory together."""
    return max(1, most_bytes // max(1, bytes_each))
