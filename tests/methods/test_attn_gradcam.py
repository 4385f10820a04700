"""Attention Grad-CAM; parity with the authors' code is in test_relevance.py."""

import copy

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from detr_attnviz.errors import ChoiceError
from detr_attnviz.methods.attn_gradcam import attn_gradcam
from detr_attnviz.trace import Trace
from tests.tiny import drawn_picture, tiny_detector


@pytest.fixture(scope="module")
def trace() -> Trace:
    return tiny_detector().trace(drawn_picture())


def test_gradient_by_nudging_the_weights(trace: Trace) -> None:
    """A head's mean gradient is the slope of the score when all its weights grow by the same little, in float64."""
    site, query, step = trace.detector.sites[-1], 4, 1e-4
    record, label = trace.records[site.name], trace.detections[query].label
    model = copy.deepcopy(trace.detector.family.model).double()  # type: ignore[attr-defined]
    module = model.transformer.decoder.layers[-1].multihead_attn

    def score(nudge: Tensor) -> Tensor:
        handle = module.register_forward_hook(lambda module, args, output: (output[0] + nudge, output[1]))
        with torch.no_grad():
            found: Tensor = model(trace.prepared.inputs["images"].double()).logits[0, query, label]
        handle.remove()
        return found

    slopes = []
    for head in range(record.heads):
        written = (record.values[0, head].sum(0) @ record.out[head]).double()  # by one weight more on every cell
        slopes.append((score(step * written) - score(-step * written)) / (2 * step * record.queries * record.tokens))
    weights = torch.stack(slopes)[:, None, None]
    expected = (weights * trace.attention(site.name, queries=[query])[:, 0]).mean(0).clamp(min=0)
    assert expected.max() > 0
    found = attn_gradcam(trace, [query])[0].double()
    assert_close(found, expected, atol=1e-4 * float(expected.max()), rtol=1e-4)


def test_layers_differ_and_count_from_the_end(trace: Trace) -> None:
    first, last = attn_gradcam(trace, [1], layer=0), attn_gradcam(trace, [1])
    assert not torch.equal(first, last)
    assert torch.equal(attn_gradcam(trace, [1], layer=-2), first)
    with pytest.raises(ChoiceError, match="no layer 2: this checkpoint's decoder has 2 layers"):
        attn_gradcam(trace, [1], layer=2)


def test_queries_keep_apart(trace: Trace) -> None:
    together = attn_gradcam(trace, [0, 9, 3])
    assert_close(together, torch.cat([attn_gradcam(trace, [query]) for query in (0, 9, 3)]))
