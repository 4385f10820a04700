"""From a trace to the figure of one query through the layers."""

from pathlib import Path

import pytest
import torch

import detr_attnviz as av
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.errors import ChoiceError
from detr_attnviz.figures.evolution import evolution_figure
from detr_attnviz.trace import Trace
from tests.drawing.prints.sheets import words_of
from tests.hf.saved import save_folder
from tests.methods.sampling import sampling_detector
from tests.tiny import drawn_picture, tiny_detector

OPTIONS = PrintOptions(dpi=72)


@pytest.fixture(scope="module")
def trace() -> Trace:
    return tiny_detector().trace(drawn_picture(192, 128))


def test_each_panel_says_what_its_layer_predicts(trace: Trace) -> None:
    figure = evolution_figure(trace, options=OPTIONS, query=4).figure
    words = [one.text for one in words_of(figure)]
    for layer, predictions in enumerate(trace.layer_predictions):
        assert f"layer {layer}" in words
        seen = predictions[4]
        assert f"{seen.name} {seen.score:.2f}" in words
        nothing = float(trace.layer_outputs[layer].logits[0, 4].softmax(-1)[-1])
        assert f"no object {nothing:.2f}" in words
        peak = float(trace.attention(f"decoder.{layer}.cross", queries=[4]).mean(0).max())
        assert f"peak {100 * peak:.2g}\N{NO-BREAK SPACE}%" in words


def test_the_best_detection_unless_a_query_is_named(trace: Trace) -> None:
    best = max(trace.detections, key=lambda one: one.score)
    made = evolution_figure(trace, options=OPTIONS)
    assert f"query {best.index} (the best, not reaching the threshold 0.7), of" in made.caption
    assert made.provenance["queries"] == str(best.index)
    assert made.notes[0].startswith("no detection reaches 0.7")


def test_caption_has_the_exact_definition(trace: Trace) -> None:
    made = evolution_figure(trace, options=OPTIONS, query=0, head="max")
    assert "the decoder's 2 layers" in made.caption
    assert "layer by layer, largest of 4 heads, cell by cell: softmax(q kᵀ / √d)" in made.caption
    assert "the model's own heads predict from that layer, and the probability that there is no object" in made.caption
    assert made.provenance["site"] == "decoder.all.cross"
    assert made.kind == "evolution"
    assert "{" not in made.caption


def test_a_model_that_does_not_tell_says_so() -> None:
    made = evolution_figure(sampling_detector().trace(drawn_picture(192, 128)), options=OPTIONS, query=1, head=2)
    assert "does not tell what its other layers predict" in made.caption
    assert "Deformable cross-attention of an object query, layer by layer, head 2 alone" in made.caption
    assert any("the final box is drawn alone" in note for note in made.notes)
    assert "box of this layer" not in [one.text for one in words_of(made.figure)]


def test_sigmoid_scores_have_no_no_object(monkeypatch: pytest.MonkeyPatch, trace: Trace) -> None:
    monkeypatch.setattr(trace.detector.family, "scores", lambda logits: logits.sigmoid())
    made = evolution_figure(trace, options=OPTIONS, query=0)
    assert "no object" not in made.caption
    assert not [one for one in words_of(made.figure) if "no object" in one.text]


def test_what_is_not_there(trace: Trace) -> None:
    with pytest.raises(ChoiceError, match="no query 99"):
        evolution_figure(trace, query=99)
    with pytest.raises(ChoiceError, match="head"):
        evolution_figure(trace, query=0, head=9)


def test_one_layer_alone() -> None:
    trace = tiny_detector(decoder_layers=1).trace(drawn_picture(192, 128))
    assert "the decoder's one layer" in evolution_figure(trace, options=OPTIONS, query=0).caption


def test_cells_and_queries_that_attend_jointly_have_no_decoder(tmp_path: Path) -> None:
    joint = av.load(save_folder("yolos", tmp_path)).trace(drawn_picture(192, 160))
    words = evolution_figure(joint, options=OPTIONS, query=0).caption
    assert "through the model's 2 layers" in words
    assert "ecoder" not in words


@pytest.mark.parametrize(("cmap", "top"), [(None, "darkest"), ("viridis", "the upper end of the colour map viridis")])
def test_caption_tells_the_range_by_the_colours_in_use(trace: Trace, cmap: str | None, top: str) -> None:
    words = evolution_figure(trace, options=PrintOptions(dpi=72, cmap=cmap), query=0).caption
    assert f"to its largest value ({top}), which stands above it" in words


def test_saved_with_its_caption_and_the_same_each_time(trace: Trace, tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        with torch.no_grad():
            evolution_figure(trace, options=OPTIONS, query=0).save(tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.txt").read_text().startswith("One object query through the decoder's 2 layers")
