"""Maps as numbers: whole, named, without pickle, and the same bytes twice."""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detr_attnviz.batch.arrays import array_bytes, write_arrays
from detr_attnviz.detector import Detector
from detr_attnviz.errors import OutputError
from detr_attnviz.explanation import Explanation
from detr_attnviz.methods.decompose import TERMS
from detr_attnviz.methods.request import Request
from tests.drawing.scenes import cross, sampled
from tests.tiny import drawn_picture


def test_what_was_written_is_read_back(explanation: Explanation, tmp_path: Path) -> None:
    write_arrays(explanation, tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["maps"], explanation.maps)
        assert arrays["maps"].dtype == np.float32
        assert arrays["queries"].tolist() == [one.index for one in explanation.detections]
        assert arrays["labels"].tolist() == [one.label for one in explanation.detections]
        assert arrays["names"].tolist() == [one.name for one in explanation.detections]
        np.testing.assert_allclose(arrays["boxes_xyxy_px"], [one.box for one in explanation.detections], rtol=1e-6)
        np.testing.assert_allclose(arrays["scores"], [one.score for one in explanation.detections], rtol=1e-6)
        assert arrays["points_xy_px"].shape == (0, 2)
        assert arrays["grid"].tolist() == [2, 3, 32, 64, 96, 64, 96]


def test_the_file_explains_itself(explanation: Explanation, tmp_path: Path) -> None:
    write_arrays(explanation, tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz", allow_pickle=False) as arrays:
        readme = json.loads(str(arrays["README"]))
        assert set(readme["arrays"]) | {"README"} == set(arrays.files)
    assert readme["origin"]["site"] == "decoder.1.cross"


def test_encoder_points_and_decoder_self(detector: Detector, tmp_path: Path) -> None:
    trace = detector.trace(drawn_picture(), shortest_px=64, longest_px=96)
    for request in (Request(kind="encoder", points=((10, 20), (30, 40))), Request(kind="decoder-self", queries=(4,))):
        write_arrays(request.answer(trace), tmp_path / f"{request.kind}.npz")
    with np.load(tmp_path / "encoder.npz", allow_pickle=False) as arrays:
        assert arrays["points_xy_px"].tolist() == [[10, 20], [30, 40]]
        assert arrays["queries"].shape == (0,)
        assert arrays["boxes_xyxy_px"].shape == (0, 4)
    with np.load(tmp_path / "decoder-self.npz", allow_pickle=False) as arrays:
        assert arrays["maps"].shape == (1, 10)
        assert arrays["all_boxes_xyxy_px"].shape == (10, 4)
        assert set(json.loads(str(arrays["README"]))["arrays"]) | {"README"} == set(arrays.files)


def test_terms_and_their_shares(detector: Detector, tmp_path: Path) -> None:
    trace = detector.trace(drawn_picture(), shortest_px=64, longest_px=96)
    write_arrays(Request(method="decompose", queries=(4, 1)).answer(trace), tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz", allow_pickle=False) as arrays:
        assert arrays["maps"].shape == (8, 2, 3)
        assert arrays["queries"].tolist() == [4] * 4 + [1] * 4
        assert arrays["terms"].tolist() == list(TERMS * 2)
        np.testing.assert_allclose(arrays["shares"].reshape(2, 4).sum(1), 1)
        readme = json.loads(str(arrays["README"]))
        assert set(readme["arrays"]) | {"README"} == set(arrays.files)
    assert readme["arrays"]["maps"].endswith("; a value is logit")
    assert readme["origin"]["method"] == "decompose"


def test_samples_and_what_is_not_on_the_map(tmp_path: Path) -> None:
    explanation = sampled(2)
    found = explanation.samples
    assert found is not None
    write_arrays(explanation, tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["sample_places_xy_px"], found.places)
        np.testing.assert_array_equal(arrays["sample_weights"], found.weights)
        np.testing.assert_array_equal(arrays["references_xy_px"], found.references)
        assert arrays["sample_places_xy_px"].dtype == arrays["sample_weights"].dtype == np.float32
        assert tuple(arrays["sample_levels"]) == found.levels
        assert tuple(arrays["level_strides_px"]) == found.strides_px
        np.testing.assert_allclose(arrays["maps"].sum(axis=(1, 2)) + arrays["rest"], 1, atol=1e-5)
        readme = json.loads(str(arrays["README"]))
        assert set(readme["arrays"]) | {"README"} == set(arrays.files)
    assert readme["arrays"]["rest"] == "[queries] the share of attention that is outside the picture"


def test_maps_that_hold_all_attention_have_neither(tmp_path: Path) -> None:
    write_arrays(cross(2), tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz", allow_pickle=False) as arrays:
        assert not {"rest", "sample_weights", "level_strides_px"} & set(arrays.files)
    write_arrays(replace(cross(1), rest=(0.25,), rest_where="on other tokens"), tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz", allow_pickle=False) as arrays:
        assert arrays["rest"].tolist() == [0.25]
        assert "sample_weights" not in arrays.files


def test_bytes_do_not_depend_on_the_time(explanation: Explanation, monkeypatch: pytest.MonkeyPatch) -> None:
    before = array_bytes(explanation)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2e9))
    assert array_bytes(explanation) == before


def test_a_place_that_cannot_be_written(explanation: Explanation, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        write_arrays(explanation, tmp_path / "gone" / "maps.npz")
