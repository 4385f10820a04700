"""The whole way, file to map, gives what the official implementation gave."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.testing import assert_close

import detr_attnviz as av
from detr_attnviz.trace import Trace
from tests.parity.cases import CASES, Golden, golden


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Golden, Trace]:
    official = golden(request.param)
    path = official.write_training_checkpoint(tmp_path_factory.mktemp("checkpoint"))
    detector = av.load(path, device="cpu")
    return official, detector.trace(official.picture, shortest_px=official.shortest_px)


def test_input_size_and_grid(case: tuple[Golden, Trace]) -> None:
    official, trace = case
    assert [3, trace.grid.input_height_px, trace.grid.input_width_px] == official.arrays["input_shape"].tolist()
    assert trace.grid.tokens == official.arrays["enc.0"].shape[-1]


def test_logits_and_boxes(case: tuple[Golden, Trace]) -> None:
    official, trace = case
    assert_close(trace.logits, torch.from_numpy(official.arrays["pred_logits"]), atol=1e-4, rtol=0)
    assert_close(trace.boxes, torch.from_numpy(official.arrays["pred_boxes"]), atol=1e-4, rtol=0)


def test_first_layers_logits(case: tuple[Golden, Trace]) -> None:
    official, trace = case
    with torch.inference_mode():
        output = trace.detector.family.model(**trace.prepared.inputs, all_layers=True)  # type: ignore[attr-defined]
    assert_close(output.layer_logits[0][0], torch.from_numpy(official.arrays["aux_logits_0"]), atol=1e-4, rtol=0)
    assert torch.equal(output.layer_logits[-1], output.logits)


def test_detections(case: tuple[Golden, Trace]) -> None:
    official, trace = case
    assert [seen.label for seen in trace.detections] == official.arrays["labels"].tolist()
    scores = torch.tensor([seen.score for seen in trace.detections])
    assert_close(scores, torch.from_numpy(official.arrays["scores"]), atol=1e-5, rtol=0)
    boxes = torch.tensor([seen.box for seen in trace.detections])
    assert_close(boxes, torch.from_numpy(official.arrays["boxes_xyxy"]), atol=1e-3, rtol=0)  # pixels


def test_attention_of_every_recorded_layer_and_head(case: tuple[Golden, Trace]) -> None:
    official, trace = case
    checked = 0
    for name, expected in official.arrays.items():
        room, _, layer = name.partition(".")
        if not layer:
            continue
        site = {"enc": "encoder.{}.self", "cross": "decoder.{}.cross", "dec": "decoder.{}.self"}[room].format(layer)
        rows = official.arrays["enc_rows" if room == "enc" else "cross_queries"].tolist()
        found = trace.attention(site, queries=rows).flatten(2)
        if room == "dec" and found.shape[1] != expected.shape[1]:
            found = trace.attention(site)
        assert_close(found, torch.from_numpy(expected), atol=1e-5, rtol=0)
        checked += 1
    assert checked >= 4


def test_with_plain_matmuls_the_maps_are_the_official_ones_to_the_bit(case: tuple[Golden, Trace]) -> None:
    official, trace = case
    if official.name != "finetuned-r18":
        pytest.skip("plain attention is slow on the larger cases; one case shows it")
    with sdpa_kernel(SDPBackend.MATH):
        again = trace.detector.trace(official.picture, shortest_px=official.shortest_px)
    found = again.attention("decoder.3.cross", queries=official.arrays["cross_queries"].tolist()).flatten(2)
    assert_close(found, torch.from_numpy(official.arrays["cross.3"]), atol=1e-7, rtol=0)
