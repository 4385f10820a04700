"""From a checkpoint to the figure of its attention weights."""

import argparse
from pathlib import Path

import pytest
import torch

import detr_attnviz as av
from detr_attnviz.checkpoints.inspection import inspect
from detr_attnviz.drawing.figure import scales
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.errors import BrokenWeightsWarning, CheckpointError, ChoiceError
from detr_attnviz.figures.weights import weights_figure_of
from tests.checkpoints.states import transformer_state
from tests.drawing.prints.sheets import words_of
from tests.tiny import tiny_detector, tiny_model

OPTIONS = PrintOptions(dpi=72)


@pytest.fixture
def training_checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.pth"
    torch.save({"model": transformer_state(), "args": argparse.Namespace(nheads=4)}, path)
    return path


def test_every_module_of_a_checkpoint(training_checkpoint: Path) -> None:
    made = weights_figure_of(training_checkpoint, options=OPTIONS)
    words = [one.text for one in words_of(made.figure)]
    for group in ("encoder self-attention", "decoder self-attention", "decoder cross-attention"):
        assert group in words
    assert "encoder self-attention, decoder self-attention and decoder cross-attention: Wq" in made.caption
    assert "Wq, Wk and Wv of 5 modules" in made.caption
    assert "Frobenius norms" in made.caption
    assert made.provenance["checkpoint"] == "checkpoint.pth"
    assert made.provenance["checkpoint_sha256"][:8] in made.caption
    assert made.kind == "weights"


def test_the_range_in_the_caption_is_that_of_the_weights(training_checkpoint: Path) -> None:
    made = weights_figure_of(training_checkpoint, options=OPTIONS, module="*multihead_attn", layer=0)
    key = "transformer.decoder.layers.0.multihead_attn.in_proj_weight"
    reach = float(transformer_state()[key].abs().flatten().double().quantile(0.995))
    assert f"from −{reach:.2g} to {reach:.2g}, the 99.5th percentile" in made.caption
    assert "of one module" in made.caption


@pytest.mark.parametrize(("cmap", "top"), [(None, "darkest"), ("viridis", "the upper end of the colour map viridis")])
def test_caption_tells_the_range_of_norms_by_the_colours_in_use(
    training_checkpoint: Path, cmap: str | None, top: str
) -> None:
    made = weights_figure_of(training_checkpoint, options=PrintOptions(dpi=72, cmap=cmap))
    _, norms = scales(inspect(training_checkpoint).panels())
    assert norms is not None
    low, high = f"{norms.norm.vmin:.2g}", f"{norms.norm.vmax:.2g}"
    assert f"in colours from {low} to {high} ({top})" in made.caption


def test_name_of_the_checkpoint_is_one_line(training_checkpoint: Path) -> None:
    awkward = training_checkpoint.rename(training_checkpoint.with_name("a\nb \x1b.pth"))
    made = weights_figure_of(awkward, options=OPTIONS)
    assert made.caption.startswith("Attention weights of a b .pth (sha256 ")
    assert made.provenance["checkpoint"] == "a b .pth"


def test_weights_that_are_not_finite_are_told(training_checkpoint: Path) -> None:
    state = transformer_state()
    state["transformer.decoder.layers.0.multihead_attn.in_proj_weight"][0, 0] = torch.nan
    torch.save({"model": state, "args": argparse.Namespace(nheads=4)}, training_checkpoint)
    with pytest.warns(BrokenWeightsWarning, match=r"checkpoint\.pth: 1 tensor holds NaN"):
        made = weights_figure_of(training_checkpoint, options=OPTIONS)
    assert "What is not finite is green" in made.caption
    assert any("1 tensor holds NaN" in note for note in made.notes)


def test_heads_that_nobody_knows(tmp_path: Path) -> None:
    torch.save({f"blocks.{number}.attn.qkv.weight": torch.randn(36, 12) for number in range(2)}, tmp_path / "vit.pth")
    made = weights_figure_of(tmp_path / "vit.pth", options=OPTIONS)
    assert "The number of heads is not known" in made.caption
    assert any("the number of heads is unknown" in note for note in made.notes)
    assert "Lines part the heads" in weights_figure_of(tmp_path / "vit.pth", options=OPTIONS, nheads=3).caption


def test_a_detector_stands_for_its_checkpoint(tmp_path: Path) -> None:
    torch.save({"model": tiny_model().state_dict(), "args": argparse.Namespace(nheads=4)}, tmp_path / "tiny.pth")
    detector = av.load(tmp_path / "tiny.pth", device="cpu")
    by_path = weights_figure_of(tmp_path / "tiny.pth", options=OPTIONS)
    assert weights_figure_of(detector, options=OPTIONS).caption == by_path.caption


def test_a_model_built_in_code_has_no_checkpoint() -> None:
    with pytest.raises(ChoiceError, match=r"tiny was built in code.*torch\.save"):
        weights_figure_of(tiny_detector())


def test_what_is_not_there(training_checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match="no such"):
        weights_figure_of(training_checkpoint.with_name("nothing.pth"))
    with pytest.raises(ChoiceError, match="no attention module matches"):
        weights_figure_of(training_checkpoint, module="nowhere")


def test_means_of_large_matrices_are_told(tmp_path: Path) -> None:
    torch.save({"blocks.0.attn.qkv.weight": torch.randn(1200, 400)}, tmp_path / "large.pth")
    low, high = (weights_figure_of(tmp_path / "large.pth", options=PrintOptions(dpi=dpi)).caption for dpi in (72, 600))
    assert "Where 72 dpi show no single value, the mean of neighbours is shown." in low
    assert "mean of neighbours" not in high
