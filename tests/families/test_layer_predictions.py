"""What each decoder layer predicts: native models, and modules of one's own that say it themselves."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import detr_attnviz as av
from detr_attnviz.families.native import NativeFamily
from detr_attnviz.trace import Trace
from tests.tiny import NAMES, drawn_picture, tiny_detector


def trace_of(**changes: Any) -> Trace:
    return tiny_detector(**changes).trace(drawn_picture(192, 128))


def officially(trace: Trace) -> tuple[Tensor, Tensor]:
    """``aux_outputs`` and the last output as the official code makes them, from what each layer gave out.

    Source: facebookresearch/detr, models/transformer.py (``intermediate.append(self.norm(output))``), models/detr.py.
    """
    family = trace.detector.family
    assert isinstance(family, NativeFamily)
    model, states = family.model, []
    handles = [
        layer.register_forward_hook(lambda layer, args, output: states.append(output))
        for layer in model.transformer.decoder.layers
    ]
    with torch.no_grad():
        family.forward(trace.prepared.inputs)
        for handle in handles:
            handle.remove()
        norm, head = model.transformer.decoder.norm, model.bbox_embed.layers
        stacked = torch.stack(states).transpose(1, 2)  # [layers B Q D]
        stacked = nn.functional.layer_norm(stacked, norm.normalized_shape, norm.weight, norm.bias)
        boxes = stacked
        for number, layer in enumerate(head):
            boxes = nn.functional.linear(boxes, layer.weight, layer.bias)  # type: ignore[arg-type]
            boxes = boxes.relu() if number < len(head) - 1 else boxes.sigmoid()
        return nn.functional.linear(stacked, model.class_embed.weight, model.class_embed.bias), boxes


@pytest.mark.parametrize("changes", [{}, {"pre_norm": True}, {"notebook": True}, {"decoder_layers": 1}])
def test_layers_predict_as_in_the_official_code(changes: Mapping[str, Any]) -> None:
    trace = trace_of(**changes)
    logits, boxes = officially(trace)
    assert len(trace.layer_outputs) == len(logits)
    for layer, found in enumerate(trace.layer_outputs):
        assert_close(found.logits, logits[layer])
        assert_close(found.boxes, boxes[layer])


def test_the_last_layer_is_the_detections() -> None:
    trace = trace_of()
    first, last = trace.layer_predictions
    assert [seen.index for seen in last] == [seen.index for seen in trace.detections]
    for mine, theirs in zip(last, trace.detections, strict=True):
        assert mine.score == pytest.approx(theirs.score, abs=1e-6)
        assert mine.box == pytest.approx(theirs.box, abs=1e-3)
        assert mine.label == theirs.label
    assert first != last


def test_the_backbone_is_not_run_again_and_nothing_is_recorded() -> None:
    trace = trace_of()
    family = trace.detector.family
    assert isinstance(family, NativeFamily)
    before = trace.attention("decoder.1.cross", queries=[0]).clone()
    runs: list[Tensor] = []
    family.model.backbone.register_forward_hook(lambda module, args, output: runs.append(output))
    assert len(trace.layer_predictions) == 2
    assert trace.layer_predictions is trace.layer_predictions
    assert not runs
    assert torch.equal(trace.attention("decoder.1.cross", queries=[0]), before)


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_every_gradient_mode_predicts_the_same(mode: Callable[[], Any]) -> None:
    with mode():
        found = trace_of().layer_outputs
    for mine, expected in zip(found, trace_of().layer_outputs, strict=True):
        assert_close(mine.logits, expected.logits)
        assert_close(mine.boxes, expected.boxes)


class Fork(nn.Module):
    """Two decoder layers, and what the first one predicts in ``aux_outputs``, as DETR gives it in training."""

    def __init__(self, told: int = 1, queries: int = 7) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, 16, 32, stride=32)
        layers = nn.ModuleList(nn.TransformerDecoderLayer(16, 2, 32, dropout=0.0) for _ in range(2))
        self.decoder = nn.ModuleDict({"layers": layers})
        self.linear_class = nn.Linear(16, len(NAMES) + 1)
        self.linear_bbox = nn.Linear(16, 4)
        self.query_pos = nn.Parameter(torch.rand(7, 16))
        self.told, self.queries = told, queries

    def forward(self, images: Tensor) -> dict[str, Any]:
        tokens = self.backbone(images).flatten(2).permute(2, 0, 1)
        state, outputs = self.query_pos[:, None], []
        for layer in self.decoder.get_submodule("layers").children():
            state = layer(state, tokens)
            outputs.append(self.read(state.transpose(0, 1)))
        aux = [{name: value[:, : self.queries] for name, value in outputs[0].items()}] * self.told
        return {**outputs[-1], "aux_outputs": aux}

    def read(self, state: Tensor) -> dict[str, Tensor]:
        return {"pred_logits": self.linear_class(state), "pred_boxes": self.linear_bbox(state).sigmoid()}


def test_a_fork_tells_by_its_aux_outputs() -> None:
    fork = Fork().eval()
    trace = av.load(fork, device="cpu", classes=NAMES).trace(drawn_picture(), shortest_px=128)
    with torch.inference_mode():
        told = fork(trace.prepared.inputs["images"])
    first, last = trace.layer_outputs
    assert torch.equal(first.logits, told["aux_outputs"][0]["pred_logits"])
    assert torch.equal(first.boxes, told["aux_outputs"][0]["pred_boxes"])
    assert torch.equal(last.logits[0], trace.logits)


@pytest.mark.parametrize("fork", [Fork(told=2), Fork(told=0), Fork(queries=3)], ids=["too many", "none", "too short"])
def test_aux_outputs_that_are_not_the_layers_tell_nothing(fork: Fork) -> None:
    trace = av.load(fork.eval(), device="cpu", classes=NAMES).trace(drawn_picture(), shortest_px=128)
    assert trace.layer_predictions == ()


def test_a_postprocess_of_ones_own_knows_the_whole_output_alone() -> None:
    detector = av.load(
        Fork().eval(), device="cpu", classes=NAMES, postprocess=lambda told: (told["pred_logits"], told["pred_boxes"])
    )
    assert detector.trace(drawn_picture(), shortest_px=128).layer_predictions == ()
