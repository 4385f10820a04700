"""Checkpoints that differ only in what no shape tells never load silently wrong: told rightly, or said to be unsure."""

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import detr_attnviz as av
from detr_attnviz.checkpoints import zoo
from detr_attnviz.checkpoints.read import sha256_of
from detr_attnviz.errors import CheckpointError
from tests.checkpoints.states import detectron2_state, hugging_face_state, official_state, prefixed

HEADS = (2, 8)
SILENT = ("hub", "bare", "module.", "training without arguments", "safetensors", "detectron2")
TELLS = ("training", "model_ema", "folder")
"""What says heads and dilation beside the tensors."""


def saved(form: str, heads: int, dilation: bool, folder: Path) -> Path:
    """The same tensors, and whatever a file of this form says of heads and dilation."""
    state = official_state()
    args = argparse.Namespace(nheads=heads, dilation=dilation, backbone="resnet18")
    path = folder / "mine.pth"
    contents: dict[str, Any] = {
        "hub": {"model": state},
        "bare": state,
        "module.": prefixed(state, "module."),
        "training": {"model": state, "epoch": 1, "args": args},
        "training without arguments": {"model": state, "epoch": 1, "lr": 0.1},
        "model_ema": {"model_ema": state, "args": args},
        "detectron2": {"model": detectron2_state(state)},
    }
    if form == "safetensors":
        save_file(state, folder / "mine.safetensors")
        return folder / "mine.safetensors"
    if form == "folder":
        config = {"model_type": "detr", "encoder_attention_heads": heads, "decoder_attention_heads": heads}
        (folder / "config.json").write_text(json.dumps(config | {"dilation": dilation}))
        save_file(hugging_face_state(state), folder / "model.safetensors")
        return folder
    torch.save(contents[form], path)
    return path


@pytest.mark.parametrize("form", SILENT + TELLS)
def test_right_or_said(form: str, tmp_path: Path) -> None:
    for number, (heads, dilation) in enumerate(itertools.product(HEADS, (False, True))):
        folder = tmp_path / str(number)
        folder.mkdir()
        detector = av.load(saved(form, heads, dilation, folder))
        words = " ".join(detector.notes)
        is_right = (detector.provenance["heads"], detector.provenance["dilation"]) == (str(heads), str(dilation))
        is_said = "heads assumed" in words and "assumed (the checkpoint does not say)" in words
        assert is_right if form in TELLS else is_said, (heads, dilation, detector.notes)
        assert is_said == ("heads assumed" in detector.provenance.get("assumed", ""))


@pytest.mark.parametrize("form", SILENT + TELLS)
def test_different_heads_and_dilation_never_share_their_provenance(form: str, tmp_path: Path) -> None:
    seen = set()
    for number, (heads, dilation) in enumerate(itertools.product((2, 4), (False, True))):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = saved(form, heads, dilation, folder)
        detector = av.load(path) if form in TELLS else av.load(path, nheads=heads, dilation=dilation)
        seen.add((detector.provenance["heads"], detector.provenance["dilation"]))
    assert len(seen) == 4


def test_number_of_heads_that_does_not_divide_the_width_is_refused(tmp_path: Path) -> None:
    path = saved("training", 5, False, tmp_path)
    with pytest.raises(CheckpointError, match="--nheads"):
        av.load(path)


@pytest.mark.parametrize(("name", "is_dilated"), [("detr-r50-dc5", True), ("detr-r50", False)])
def test_an_official_name_tells_of_official_content_only(
    name: str, is_dilated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare, hashed = tmp_path / f"{name}.pth", tmp_path / zoo.find(name).file
    for path in (bare, hashed):
        torch.save({"model": official_state()}, path)
    notes = av.load(bare).notes
    assert any("8 heads assumed" in note for note in notes)
    assert any("not dilated, assumed" in note for note in notes)
    with pytest.raises(CheckpointError, match=rf"another file: its sha256 is .*checkpoints download {name}"):
        av.load(hashed)
    for path in (bare, hashed):
        with monkeypatch.context() as patch:
            patch.setattr(zoo.Known, "sha256_prefix", sha256_of(path)[:8])
            detector = av.load(path)
        assert detector.provenance["dilation"] == str(is_dilated)
        assert not any("assumed (" in note for note in detector.notes)
