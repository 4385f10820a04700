"""Maps as numbers: whole, named, without pickle, and the same bytes twice."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from detr_attnviz.batch.arrays import array_bytes, write_arrays
from detr_attnviz.detector import Detector
from detr_attnviz.errors import OutputError
from detr_attnviz.explanation import Explanation
from detr_attnviz.methods.decompose import TERMS
from detr_attnviz.methods.request import Request
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


def test_bytes_do_not_depend_on_the_time(explanation: Explanation, monkeypatch: pytest.MonkeyPatch) -> None:
    before = array_bytes(explanation)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2e9))
    assert array_bytes(explanation) == before


def test_a_place_that_cannot_be_written(explanation: Explanation, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        write_arrays(explanation, tmp_path / "gone" / "maps.npz")
