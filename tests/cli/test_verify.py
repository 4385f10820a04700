"""`attnviz verify`: PASS and FAIL are exit codes."""

from pathlib import Path

import pytest

from detr_attnviz.recording.records import DenseRecord
from tests.cli.conftest import Attnviz


def test_pass(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path) -> None:
    done = attnviz("verify", picture, "-c", tiny_checkpoint, "--nheads", 4)
    assert done.code == 0
    assert "PASS" in done.out
    assert "decoder.1.cross" in done.out
    assert "the same to the bit" in done.out


def test_fail(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = DenseRecord.map
    monkeypatch.setattr(DenseRecord, "map", lambda self, *args: right(self, *args) * 1.001)
    done = attnviz("verify", picture, "-c", tiny_checkpoint)
    assert done.code == 1
    assert "FAIL" in done.out


def test_json_has_null_for_what_is_not_a_number(
    attnviz: Attnviz, tiny_checkpoint: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = DenseRecord.map
    monkeypatch.setattr(DenseRecord, "map", lambda self, *args: right(self, *args) * float("nan"))
    done = attnviz("verify", picture, "-c", tiny_checkpoint, "--json")
    assert (done.code, done.data["sites"][0]["difference"]) == (1, None)


def test_json(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path) -> None:
    done = attnviz("verify", picture, "-c", tiny_checkpoint, "--json")
    assert done.data["passed"] is True
    assert done.data["sites"][0]["site"] == "encoder.0.self"
    assert done.data["sites"][0]["difference"] <= 1e-6
