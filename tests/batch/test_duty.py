"""The proof that a run owes: on the first picture that answers, once, before anything is written."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from detr_attnviz.batch.answers import Ready, read
from detr_attnviz.batch.duty import Duty
from detr_attnviz.batch.images import Picture
from detr_attnviz.batch.plan import Sides
from detr_attnviz.detector import Detector
from detr_attnviz.errors import AttnVizError, ImageError, VerificationError
from detr_attnviz.explanation import Explanation
from detr_attnviz.recording.records import DenseRecord
from tests.families.test_module import own_fork
from tests.scarce import Scarce
from tests.tiny import tiny_detector, write_picture


def ready(detector: Detector, folder: Path, name: str, sides_px: Sides = (64, 96)) -> Ready:
    write_picture(folder / name)
    return read(detector, Picture(folder / name, name), sides_px, name)


def test_the_first_that_answered_where_the_model_is_proves_it_once(
    detector: Detector, explanation: Explanation, tmp_path: Path
) -> None:
    notes: list[str] = []
    duty = Duty(detector, notes.append)
    group = [ready(detector, tmp_path, f"{number}.png") for number in range(3)]
    elsewhere = Explanation(**{**vars(explanation), "provenance": {"device": "cpu"}})
    found: list[Explanation | AttnVizError] = [ImageError("no memory"), elsewhere, explanation]
    duty.discharge(group[:2], found[:2])
    assert duty.proof is None
    duty.discharge(group, found)
    duty.discharge(group[:1], [explanation])
    assert duty.proof is not None
    assert duty.proof.picture == "2.png"
    assert duty.proof.verification is not None
    assert duty.proof.verification.passed
    (note,) = notes
    assert note.startswith("maps verified: within ")
    assert note.endswith(" of what the model itself says, at 5 sites (on 2.png)")


def test_a_wrong_map_is_named_with_the_worst_of_its_sites(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = DenseRecord.map
    monkeypatch.setattr(DenseRecord, "map", lambda self, *args: right(self, *args).flip(1))  # heads in wrong order
    given = ready(detector, tmp_path, "a.png")
    with pytest.raises(VerificationError) as wrong:
        Duty(detector, pytest.fail).prove(given)
    message = str(wrong.value)
    assert "the map differs from the module's own weights by" in message
    assert "1e-06 at most was expected, on a.png; no map was written" in message
    assert "--no-verify writes the maps all the same" in message


def test_a_model_of_nan_is_said_to_be_one(tmp_path: Path) -> None:
    broken = tiny_detector()
    site = broken.sites[-1].module
    with torch.no_grad():
        site.get_parameter("in_proj_weight")[0, 0] = torch.nan
    with pytest.raises(VerificationError, match=r"decoder.1.cross: the map or the module's own weights holds NaN"):
        Duty(broken, pytest.fail).prove(ready(broken, tmp_path, "a.png"))


def test_sites_that_nobody_can_be_asked_about_are_said_and_not_failed(tmp_path: Path) -> None:
    notes: list[str] = []
    fork = own_fork()
    Duty(fork, notes.append).prove(ready(fork, tmp_path, "a.png", (None, None)))
    assert notes == ["maps not verified: nothing tells what the model itself says of decoder.0.cross (on a.png)"]


def test_too_little_memory_for_a_proof_is_said_and_not_failed(tmp_path: Path) -> None:
    notes: list[str] = []
    scarce = Scarce(tiny_detector().family)

    def refusing(inputs: Any) -> Tensor:
        raise torch.OutOfMemoryError("out of memory")

    given = ready(scarce, tmp_path, "a.png")
    scarce.family.forward = refusing  # type: ignore[method-assign, assignment]
    duty = Duty(scarce, notes.append)
    duty.prove(given)
    assert notes == ["maps not verified: a proof takes more memory than mps has for a.png"]
    assert duty.proof is not None
    assert duty.proof.verification is None


def test_a_picture_of_many_cells_proves_it_made_smaller(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detr_attnviz.batch.duty._MOST_CELLS", 2)
    notes: list[str] = []
    duty = Duty(detector, notes.append)
    duty.prove(ready(detector, tmp_path, "a.png"))  # 2 × 3 cells
    assert duty.proof is not None
    assert duty.proof.verification is not None
    assert duty.proof.verification.sites[0].shape == (4, 4, 4)  # rows and columns are rounded up
    assert "(on a.png, made smaller)" in notes[0]
