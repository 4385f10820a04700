"""Choosing modules and layers, and where the number of heads comes from."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from detr_attnviz.checkpoints import zoo
from detr_attnviz.checkpoints.inspection import inspect
from detr_attnviz.checkpoints.read import sha256_of
from detr_attnviz.errors import CheckpointError, ChoiceError
from tests.checkpoints.states import hugging_face_state, transformer_state


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    def save(content: Any, name: str = "mine.pth") -> Path:
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return save


@pytest.fixture
def training_checkpoint(saved: Callable[..., Path]) -> Path:
    return saved({"model": transformer_state(), "args": argparse.Namespace(nheads=4), "epoch": 1})


@pytest.fixture
def vision_transformer(saved: Callable[..., Path]) -> Path:
    return saved({f"blocks.{number}.attn.qkv.weight": torch.randn(18, 6) for number in range(3)})


def test_heads_from_saved_arguments(training_checkpoint: Path) -> None:
    found = inspect(training_checkpoint)
    assert [row.heads for row in found.rows] == [4] * 5
    assert found.notes == ()
    assert [row.module for row in found.rows] == [weights.name for weights in found.modules]


def test_heads_assumed_for_a_detr_that_does_not_say(saved: Callable[..., Path]) -> None:
    found = inspect(saved(transformer_state()))
    assert found.rows[0].heads == 8
    assert found.notes == ("8 heads assumed (the checkpoint does not say): --nheads N changes it",)


@pytest.mark.parametrize("nheads", ["4", 4.0])
def test_saved_heads_of_another_type(saved: Callable[..., Path], nheads: object) -> None:
    found = inspect(saved({"model": transformer_state(), "args": {"nheads": nheads}}))
    assert (found.rows[0].heads, found.notes) == (4, ())


def test_saved_heads_that_make_no_sense_are_quoted(saved: Callable[..., Path]) -> None:
    detr = inspect(saved({"model": transformer_state(), "args": {"nheads": "four"}}))
    assert detr.notes == (
        "8 heads assumed (the checkpoint says nheads='four', which is no number of heads): --nheads N changes it",
    )
    other = inspect(saved({"model": {"a.attn.qkv.weight": torch.randn(18, 6)}, "args": {"num_heads": 0}}))
    assert "number of heads is unknown (the checkpoint says num_heads=0, which" in other.notes[0]


def test_sides_of_a_hugging_face_model_may_differ_in_heads(saved: Callable[..., Path]) -> None:
    args = {"encoder_attention_heads": 2, "decoder_attention_heads": "4"}
    found = inspect(saved({"model": transformer_state(), "config": args}))
    assert [row.heads for row in found.rows] == [2, 4, 4, 4, 4]


def test_heads_of_an_official_file(saved: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("detr-r50-e632da11.pth", "detr-r50.pth"):
        path = saved(transformer_state(), name)
        with monkeypatch.context() as patch:
            patch.setattr(zoo.Known, "sha256_prefix", sha256_of(path)[:8])
            assert inspect(path).notes == ()


def test_heads_of_another_file_by_an_official_name(saved: Callable[..., Path]) -> None:
    assert "8 heads assumed" in inspect(saved(transformer_state(), "detr-r50.pth")).notes[0]
    with pytest.raises(CheckpointError, match="cut off, damaged or another file"):
        inspect(saved(transformer_state(), "detr-r50-e632da11.pth"))


def test_heads_unknown_for_another_model(vision_transformer: Path) -> None:
    found = inspect(vision_transformer)
    assert [row.heads for row in found.rows] == [None] * 3
    assert "number of heads is unknown" in found.notes[0]
    assert "--nheads" in found.notes[0]


def test_heads_option(vision_transformer: Path) -> None:
    found = inspect(vision_transformer, nheads=3)
    assert len(found.rows[0].per_head) == 3
    assert found.notes == ()


def test_heads_option_that_divides_nothing(vision_transformer: Path) -> None:
    with pytest.raises(ChoiceError, match=r"4 heads do not divide the width 6"):
        inspect(vision_transformer, nheads=4)


def test_heads_option_that_divides_some_modules_only(saved: Callable[..., Path]) -> None:
    path = saved({"a.attn.qkv.weight": torch.randn(12, 4), "b.attn.qkv.weight": torch.randn(18, 6)})
    found = inspect(path, nheads=4)
    assert [row.heads for row in found.rows] == [4, None]
    assert "b.attn" in found.notes[0]


@pytest.mark.parametrize(
    ("pattern", "count"),
    [("*", 5), ("*decoder*", 4), ("multihead_attn", 2), ("*.1.*", 2), ("transformer.encoder.layers.0.self_attn", 1)],
)
def test_modules_by_glob_or_end_of_name(training_checkpoint: Path, pattern: str, count: int) -> None:
    assert len(inspect(training_checkpoint, module=pattern).rows) == count


def test_glob_that_matches_nothing(training_checkpoint: Path) -> None:
    with pytest.raises(ChoiceError, match=r"no attention module matches 'x\*'; there are 5, such as transformer"):
        inspect(training_checkpoint, module="x*")


@pytest.mark.parametrize(("layer", "names"), [(0, 3), (1, 2), (-1, 3), (-2, 2)])
def test_layers_count_from_0_and_from_the_end_of_each_stack(training_checkpoint: Path, layer: int, names: int) -> None:
    assert len(inspect(training_checkpoint, layer=layer).rows) == names


@pytest.mark.parametrize("layer", [2, -3, 99])
def test_layer_out_of_range_names_the_range(training_checkpoint: Path, layer: int) -> None:
    with pytest.raises(ChoiceError, match=rf"no layer {layer}; layers are 0–1, or -1 for the last"):
        inspect(training_checkpoint, layer=layer)


def test_checkpoint_without_attention(saved: Callable[..., Path]) -> None:
    with pytest.raises(CheckpointError, match=r"no attention weights among its 1 tensors.*in_proj_weight"):
        inspect(saved({"fc.weight": torch.zeros(2, 2)}))


def test_hugging_face_names_work_the_same(saved: Callable[..., Path]) -> None:
    found = inspect(saved(hugging_face_state(transformer_state())), nheads=4)
    assert [row.kind for row in found.rows][:3] == ["encoder-self", "decoder-self", "decoder-cross"]


def test_panels_hold_what_a_figure_needs(training_checkpoint: Path) -> None:
    panels = inspect(training_checkpoint).panels()
    assert [panel.group for panel in panels[:3]] == [
        "encoder self-attention",
        "decoder self-attention",
        "decoder cross-attention",
    ]
    assert panels[0].title == "layer 0"
    assert panels[0].q.shape == (32, 32)
    assert panels[0].head_norms is not None
    assert panels[0].head_norms.shape == (4, 4)


def test_known_name_that_is_not_on_disk_says_how_to_fetch_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(CheckpointError, match="attnviz checkpoints download detr-r50"):
        inspect("detr-r50")
    zoo.local_path("detr-r50").parent.mkdir(parents=True)
    torch.save({"model": transformer_state()}, zoo.local_path("detr-r50"))
    monkeypatch.setattr(zoo.Known, "sha256_prefix", sha256_of(zoo.local_path("detr-r50"))[:8])
    assert len(inspect("detr-r50").rows) == 5


def test_content_parts_are_said_to_be_parts(saved: Callable[..., Path]) -> None:
    names = ("sa_qcontent_proj", "sa_kcontent_proj", "sa_v_proj", "sa_qpos_proj", "sa_kpos_proj")
    found = inspect(saved({f"decoder.layers.0.{name}.weight": torch.randn(4, 4) for name in names}), nheads=2)
    assert [row.module for row in found.rows] == ["decoder.layers.0.sa_content"]
    assert len(found.rows[0].per_head) == 2
    assert found.notes == (
        "content parts only where the layout is sa_qcontent_proj …; not shown are sa_qpos_proj, sa_kpos_proj",
    )


def test_modules_that_cannot_be_split_are_listed(saved: Callable[..., Path]) -> None:
    fused = {f"h.{number}.attn.query_key_value.weight": torch.randn(12, 4) for number in range(14)}
    found = inspect(saved({**fused, "encoder.attn.qkv.weight": torch.randn(12, 4)}), nheads=2)
    assert [row.module for row in found.rows] == ["encoder.attn"]
    (note,) = found.notes
    assert note.startswith("left out, as query_key_value is in thirds in some models")
    assert "h.0.attn, h.1.attn, h.2.attn" in note
    assert "and 2 more" in note
    with pytest.raises(CheckpointError, match=r"no attention weights that can be split; left out, as .*: h\.0\.attn"):
        inspect(saved(fused))
