"""Weights that are no numbers are named when they are loaded."""

import json
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

import detr_attnviz as av
from detr_attnviz.checkpoints.finite import note_on_broken
from detr_attnviz.checkpoints.read import read
from detr_attnviz.cli.app import app
from detr_attnviz.errors import BrokenWeightsWarning
from tests.checkpoints.states import hugging_face_state, official_state

BROKEN = "transformer.decoder.layers.1.multihead_attn.in_proj_weight"


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_every_broken_tensor_is_named_and_counted(value: float) -> None:
    state = {"a": torch.ones(4, 5), "b": torch.ones(3), "c": torch.ones(2, dtype=torch.int64)}
    assert note_on_broken(state) == ()
    state["a"][2, :3] = value
    (note,) = note_on_broken(state)
    assert note.startswith("1 tensor holds NaN or infinity (a: 3 of 20): ")
    state["b"][0] = value
    assert "2 tensors hold NaN or infinity (a: 3 of 20, b: 1 of 3)" in note_on_broken(state)[0]


def test_opposite_infinities_do_not_cancel() -> None:
    assert note_on_broken({"a": torch.tensor([torch.inf, -torch.inf, 1.0])})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.complex64])
def test_large_numbers_whose_sum_is_none_are_fine(dtype: torch.dtype) -> None:
    largest = torch.finfo(dtype).max
    assert note_on_broken({"a": torch.full((300,), largest, dtype=dtype)}) == ()


def test_few_of_many_are_named() -> None:
    state = {f"layer{number:02}": torch.tensor([torch.nan]) for number in range(40)}
    (note,) = note_on_broken(state)
    assert "40 tensors hold" in note
    assert "layer11: 1 of 1, … and 28 more" in note


def test_every_kind_of_file_says_so(tmp_path: Path) -> None:
    state = official_state()
    state[BROKEN][7, :2] = torch.nan
    torch.save({"model": state}, tmp_path / "x.pth")
    save_file(state, tmp_path / "x.safetensors")
    folder = tmp_path / "folder"
    folder.mkdir()
    save_file(hugging_face_state(state), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "detr"}))
    for path in (tmp_path / "x.pth", tmp_path / "x.safetensors"):
        with pytest.warns(BrokenWeightsWarning, match=f"{path.name}: 1 tensor holds NaN"):
            assert f"{BROKEN}: 2 of 3,072" in read(path).notes[-1]
    with pytest.warns(BrokenWeightsWarning, match="1 tensor holds NaN"):
        assert "q_proj.weight: 2 of 1,024" in read(folder).notes[-1]


def test_a_python_user_is_warned_and_the_command_says_it_once(tmp_path: Path) -> None:
    state = official_state()
    state[BROKEN][7, :2] = torch.nan
    torch.save({"model": state}, tmp_path / "x.pth")
    with pytest.warns(BrokenWeightsWarning, match=BROKEN):
        detector = av.load(tmp_path / "x.pth", nheads=4, dilation=False)
    assert BROKEN in detector.notes[0]
    assert BROKEN in detector.provenance["assumed"]
    shown = CliRunner().invoke(app, ["inspect-weights", str(tmp_path / "x.pth"), "--nheads", "4"])
    assert shown.stderr.count("1 tensor holds NaN") == 1


def test_weights_that_are_not_taken_do_not_count(tmp_path: Path) -> None:
    broken = {name: torch.full_like(value, torch.nan) for name, value in official_state().items()}
    torch.save(
        {"model": official_state(), "optimizer": {"state": {0: {"exp_avg": broken[BROKEN]}}}}, tmp_path / "x.pth"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(tmp_path / "x.pth").notes == ()
