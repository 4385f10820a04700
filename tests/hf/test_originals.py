"""Files of the original repositories are opened by their path alone."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from detr_attnviz.errors import CheckpointError, CheckpointKeysError
from detr_attnviz.families.hf_family import HFFamily
from detr_attnviz.families.open import OpenOptions, open_family
from tests.checkpoints.originals.goldens import Golden, golden

pytest.importorskip("transformers", reason="transformers is not installed")

WITH_MASK = ("conditional-detr", "dab-detr", "deformable-detr")


def saved(case: Golden, path: Path) -> Path:
    """As the training scripts write it; those of RT-DETR and D-FINE save no arguments."""
    average = {"module": dict(case.tensors), "updates": 1, "warmups": 10}
    content = {"model": case.tensors, "args": Namespace(**case.args)} if case.args else {"ema": average, "epoch": 3}
    torch.save(content, path)
    return path


@pytest.mark.parametrize("name", ["conditional-detr", "dab-detr", "deformable-detr-two-stage", "rt-detr-v2", "d-fine"])
def test_an_original_file_answers_as_its_own_code(name: str, tmp_path: Path) -> None:
    case = golden(name)
    try:
        family = open_family(saved(case, tmp_path / "checkpoint.pth"))
    except CheckpointError as error:
        if "needs transformers" in str(error):
            pytest.skip(str(error))
        raise
    assert isinstance(family, HFFamily)
    inputs = (
        {"images": case.picture, "is_real": ~case.padding} if name.startswith(WITH_MASK) else {"images": case.picture}
    )
    with torch.inference_mode():
        prediction = family.forward(inputs)
    assert_close(prediction.logits[0], case.logits, rtol=1e-5, atol=1e-5)  # by sums in another order
    assert_close(prediction.boxes[0], case.boxes)
    assert any("no preprocessor_config.json" in note for note in family.origin.notes)


def test_what_no_tensor_tells_is_assumed_aloud_unless_the_caller_says(tmp_path: Path) -> None:
    case = golden("conditional-detr")
    path = tmp_path / "checkpoint.pth"
    torch.save({"model": case.tensors}, path)
    assert any("8 heads assumed" in note for note in open_family(path).origin.notes)
    said = open_family(path, OpenOptions(nheads=4))
    assert said.origin.heads == 4
    assert not any("heads assumed" in note for note in said.origin.notes)


def test_an_original_file_that_does_not_fit_lists_what_does_not(tmp_path: Path) -> None:
    case = golden("conditional-detr")
    gone = "transformer.decoder.layers.0.ca_qcontent_proj.weight"
    assert gone in case.tensors
    tensors = {name: value for name, value in case.tensors.items() if name != gone} | {"extra.weight": torch.zeros(1)}
    torch.save({"model": tensors, "args": Namespace(**case.args)}, tmp_path / "x.pth")
    with pytest.raises(CheckpointKeysError, match="extra.weight") as caught:
        open_family(tmp_path / "x.pth")
    assert caught.value.unexpected == ("extra.weight",)
    assert len(caught.value.missing) == 1
