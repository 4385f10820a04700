"""Pictures as traces, one after the other."""

from pathlib import Path

import pytest

from detr_attnviz.batch.traces import Traces
from detr_attnviz.errors import ChoiceError
from tests.tiny import tiny_detector, write_picture


def test_a_trace_a_picture_in_order(tmp_path: Path) -> None:
    paths = [write_picture(tmp_path / name) for name in ("b.png", "a.png")]
    found = list(Traces(tiny_detector(), paths))
    assert [trace.source for trace in found] == [str(path) for path in paths]
    assert found[0].attention("decoder.1.cross", queries=[0]).sum() == pytest.approx(4)


def test_a_broken_picture_is_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    good = write_picture(tmp_path / "good.png")
    traces = Traces(tiny_detector(), [tmp_path])
    assert [trace.source for trace in traces] == [str(good)]
    ((path, why),) = traces.failures
    assert path.name == "broken.png"
    assert str(path) not in why


def test_sides_reach_the_model(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png")
    (small,) = Traces(tiny_detector(), [path], (64, None))
    (large,) = Traces(tiny_detector(), [path], (128, None))
    assert (small.grid.input_height_px, large.grid.input_height_px) == (64, 128)


def test_no_picture_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ChoiceError, match="no pictures in"):
        Traces(tiny_detector(), [tmp_path])
