"""`attnviz inspect-weights` on real files."""

import argparse
import json
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from detr_attnviz.cli.inspect_weights import inspect_weights
from detr_attnviz.errors import ChoiceError, OutputError
from tests.checkpoints.states import transformer_state

CROSS = "transformer.decoder.layers.1.multihead_attn"

app = typer.Typer()
app.command()(inspect_weights)


@pytest.fixture
def training_checkpoint(tmp_path: Path) -> str:
    path = tmp_path / "checkpoint.pth"
    torch.save({"model": transformer_state(), "args": argparse.Namespace(nheads=4)}, path)
    return str(path)


@pytest.fixture
def vision_transformer(tmp_path: Path) -> str:
    torch.save({f"blocks.{number}.attn.qkv.weight": torch.randn(36, 12) for number in range(2)}, tmp_path / "vit.pth")
    return str(tmp_path / "vit.pth")


def run(*arguments: str, columns: int = 80) -> tuple[str, str]:
    result = CliRunner(env={"COLUMNS": str(columns), "TERM": "dumb"}).invoke(
        app, list(arguments), catch_exceptions=False
    )
    assert result.exit_code == 0, result.stderr
    return result.stdout, result.stderr


@pytest.mark.parametrize("columns", [80, 200])
def test_table_of_every_stack_fits_the_terminal(training_checkpoint: str, columns: int) -> None:
    out, err = run(training_checkpoint, "--heads", columns=columns)
    assert "checkpoint.pth: 5 attention modules" in out
    for heading in ("encoder-self", "decoder-self", "decoder-cross", "transformer.decoder.layers.N.multihead_attn"):
        assert heading in out
    assert "Wq, Wk, Wv [32, 32], Wo [32, 32]" in out
    assert "4 heads of 8" in out
    assert "…" not in out
    assert max(len(line) for line in out.splitlines()) <= columns
    assert err == ""


def test_numbers_in_the_table_are_those_of_the_weights(training_checkpoint: str) -> None:
    out, _ = run(training_checkpoint, "--module", CROSS)
    norm = float(transformer_state()[f"{CROSS}.in_proj_weight"][:32].double().norm())
    assert f"{norm:#.3g}" in out


def test_similarity_of_the_heads_of_one_module(training_checkpoint: str) -> None:
    out, _ = run(training_checkpoint, "--module", CROSS, "--heads")
    assert "cosine of the heads' QK matrices" in out
    assert out.count("+1.00") == 8


def test_json_is_all_there_is_on_stdout(training_checkpoint: str) -> None:
    out, _ = run(training_checkpoint, "--json", "--layer", "-1")
    found = json.loads(out)
    assert [module["module"] for module in found["modules"]] == [
        "transformer.encoder.layers.0.self_attn",
        "transformer.decoder.layers.1.self_attn",
        CROSS,
    ]
    cross = found["modules"][-1]
    assert (cross["kind"], cross["layer"], cross["heads"]) == ("decoder-cross", 1, 4)
    assert cross["shapes"]["q_weight"] == [32, 32]
    assert len(cross["per_head"]) == len(cross["qk_similarity"]) == 4


def test_json_has_null_for_what_is_not_a_number(tmp_path: Path) -> None:
    state = transformer_state()
    state["transformer.encoder.layers.0.self_attn.in_proj_weight"][0, 0] = torch.nan
    torch.save(state, tmp_path / "x.pth")
    out, _ = run(str(tmp_path / "x.pth"), "--json", "--module", "*encoder.layers*")
    module = json.loads(out, parse_constant=lambda word: pytest.fail(word))["modules"][0]
    assert (module["nan"], module["q_norm"]) == (1, None)


def test_nan_is_counted_in_the_table(tmp_path: Path) -> None:
    state = transformer_state()
    state["transformer.encoder.layers.0.self_attn.in_proj_weight"][0, :2] = torch.nan
    torch.save(state, tmp_path / "x.pth")
    out, _ = run(str(tmp_path / "x.pth"), "--module", "*encoder.layers*")
    assert "NaN" in out
    assert "–" in out


def test_unknown_head_count_is_said_on_stderr(vision_transformer: str) -> None:
    out, err = run(vision_transformer, "--heads")
    assert "heads unknown" in out
    assert "number of heads is unknown" in err
    assert "--nheads" in err
    out, err = run(vision_transformer, "--heads", "--nheads", "3")
    assert "3 heads of 4" in out
    assert err == ""


def test_export_and_plot(training_checkpoint: str, tmp_path: Path) -> None:
    split, plot = tmp_path / "split.safetensors", tmp_path / "weights.png"
    _, err = run(training_checkpoint, "--layer", "1", "--export", str(split), "--plot", str(plot))
    assert f"wrote 16 tensors to {split}" in err
    assert f"drew 2 modules to {plot}" in err
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert split.stat().st_size > 0


@pytest.mark.parametrize(("option", "name"), [("--export", "x.txt"), ("--plot", "x.txt")])
def test_suffix_that_cannot_be_written(training_checkpoint: str, tmp_path: Path, option: str, name: str) -> None:
    with pytest.raises(OutputError, match="use"):
        run(training_checkpoint, option, str(tmp_path / name))


def test_errors_are_left_to_the_application(training_checkpoint: str) -> None:
    with pytest.raises(ChoiceError, match="no layer 7"):
        run(training_checkpoint, "--layer", "7")


def test_module_without_a_name(tmp_path: Path) -> None:
    torch.save(dict(torch.nn.MultiheadAttention(4, 2).state_dict()), tmp_path / "bare.pth")
    out, _ = run(str(tmp_path / "bare.pth"), "--nheads", "2")
    assert "(top level)" in out
