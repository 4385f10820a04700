"""The copy on the CPU: what opening the same there gives, whatever the detector's own device made of its weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from detr_attnviz.batch.spare import Spare, on_cpu
from detr_attnviz.detector import Detector, load
from detr_attnviz.errors import BrokenWeightsWarning, CaptureError, CheckpointError
from detr_attnviz.models.fuse import Precision
from tests.scarce import Scarce
from tests.tiny import drawn_picture, tiny_detector, tiny_model


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.save({"model": tiny_model().state_dict()}, tmp_path / "tiny.pth")
    return tmp_path / "tiny.pth"


def assert_same(one: Detector, other: Detector) -> None:
    for found, expected in zip(*(each.trace(drawn_picture()).records.values() for each in (one, other)), strict=True):
        assert torch.equal(found.map(), expected.map())


@pytest.mark.parametrize("precision", ["fp32", "official"])
def test_a_checkpoint_is_opened_once_more(checkpoint: Path, precision: Precision) -> None:
    opened = load(checkpoint, device="cpu", nheads=4, classes=("a", "b", "c", "d", "e"), precision=precision)
    found = on_cpu(opened)
    assert found.provenance == opened.provenance
    assert found.class_names == opened.class_names
    assert_same(found, opened)


def test_what_was_said_of_its_weights_is_not_said_again(checkpoint: Path) -> None:
    state = tiny_model().state_dict()
    state["class_embed.bias"].fill_(torch.nan)
    torch.save({"model": state}, checkpoint)
    with pytest.warns(BrokenWeightsWarning, match="tiny.pth: 1 tensor holds NaN"):
        opened = load(checkpoint, device="cpu", nheads=4)
    assert on_cpu(opened).provenance == opened.provenance  # a warning would be an error here


def test_a_lower_precision_is_a_gpus_own(checkpoint: Path) -> None:
    opened = load(checkpoint, device="cpu", nheads=4)
    plain = opened.provenance
    opened.family.origin = replace(opened.family.origin, precision="fp16")
    notes: list[str] = []
    found = Spare(Scarce(opened.family), notes.append).found
    assert isinstance(found, Detector)
    assert found.provenance == plain
    assert "does it on the CPU in fp32" in notes[0]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_checkpoint_that_changed_meanwhile_is_refused(checkpoint: Path, precision: str) -> None:
    opened = load(checkpoint, device="cpu", nheads=4)
    opened.family.origin = replace(opened.family.origin, precision=precision)
    _ = opened.checkpoint_sha256
    torch.save({"model": tiny_model(queries=3).state_dict()}, checkpoint)
    with pytest.raises(CheckpointError, match="tiny.pth is another file than it was here"):
        on_cpu(opened)
    spare = Spare(opened)
    assert isinstance(spare.found, CheckpointError)


def test_a_built_module_is_copied_and_each_weight_once() -> None:
    built = tiny_detector()
    found = on_cpu(built)
    assert_same(found, built)
    ours, theirs = (list(one.family.model.parameters()) for one in (built, found))  # type: ignore[attr-defined]
    assert all(one.data_ptr() != other.data_ptr() for one, other in zip(ours, theirs, strict=True))
    assert [one.requires_grad for one in ours] == [one.requires_grad for one in theirs]
    assert {site.module for site in found.sites} <= set(found.family.model.modules())  # type: ignore[attr-defined]


def test_a_module_that_python_cannot_copy_says_so() -> None:
    class Stuck(nn.Module):
        def __deepcopy__(self, memo: object) -> object:
            raise TypeError("cannot pickle a generator")

    built = tiny_detector()
    built.family.model.extra = Stuck()  # type: ignore[attr-defined]
    with pytest.raises(CaptureError, match="cannot be copied: cannot pickle a generator"):
        on_cpu(built)


def test_no_memory_for_the_copy_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def scarce(detector: Detector) -> Detector:
        raise MemoryError

    monkeypatch.setattr("detr_attnviz.batch.spare.on_cpu", scarce)
    notes: list[str] = []
    assert "no memory for a copy of the model either" in str(Spare(tiny_detector(), notes.append).found)
    assert notes == []
