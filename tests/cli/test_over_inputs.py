"""Results that would take the place of what they are made from: refused, and every input stays as it was."""

import os
from pathlib import Path

import pytest

from tests.cli.conftest import Attnviz
from tests.cli.forked import tree
from tests.tiny import write_picture

SMALL = ("--shortest-px", 64, "--longest-px", 96, "--nheads", 4)


@pytest.fixture
def scene(tmp_path: Path, tiny_checkpoint: Path, picture: Path) -> Path:
    """Pictures, lists of them under misleading names, and links to a picture."""
    write_picture(tmp_path / "page.png").rename(tmp_path / "page.html")
    for name in ("list.png", "list.html", "list.csv", "list.json"):
        (tmp_path / name).write_text("pictures/street.png\n")
    os.symlink("pictures/street.png", tmp_path / "soft.png")
    os.link(picture, tmp_path / "hard.png")
    return tmp_path


@pytest.mark.parametrize(
    "line",
    [
        "render pictures/street.png -o pictures/street.png",
        "render pictures/street.png -o soft.png",
        "render pictures/street.png -o hard.png",
        "render @list.png -o list.png",
        "explore page.html -o page.html",
        "explore @list.html -o list.html",
        "figure objects pictures/street.png -o pictures/street.png",
        "figure objects hard.png -o soft.png",
        "evaluate pictures/street.png -o pictures/street.png",
        "evaluate pictures -o pictures/street.png",
        "evaluate pictures -o hard.png",
        "evaluate @list.csv -o list.csv",
        "evaluate @list.json -o list.json",
        "inspect-weights tiny.pth --export tiny.pth",
    ],
)
def test_an_input_is_never_overwritten(attnviz: Attnviz, scene: Path, line: str) -> None:
    before = tree(scene)
    model = () if line.startswith("inspect") else ("-c", "tiny.pth", *SMALL)
    done = attnviz(*line.split(), *model)
    assert done.code == 1
    assert "never overwritten: give another name" in done.err
    assert (done.out, len(done.err.splitlines())) == ("", 1 + done.err.count("assumed"))
    assert tree(scene) == before


@pytest.mark.parametrize(
    ("inputs", "output"),
    [
        ("pictures", "pictures"),
        ("pictures", "pictures/"),
        ("pictures", "."),
        ("pictures", "linked"),
        ("linked", "pictures"),
        ("pictures/street.png", "pictures"),
    ],
)
def test_the_output_folder_is_no_input(attnviz: Attnviz, scene: Path, inputs: str, output: str) -> None:
    os.symlink("pictures", scene / "linked")
    before = tree(scene)
    done = attnviz("batch", inputs, "-c", "tiny.pth", *SMALL, "-o", output)
    assert done.code == 1
    assert "lies in the output folder" in done.err
    assert tree(scene) == before


def test_a_second_run_does_not_take_results_for_pictures(attnviz: Attnviz, scene: Path) -> None:
    args = ("-c", "tiny.pth", *SMALL, "-o", "pictures/maps", "--json")
    assert attnviz("batch", "pictures", *args).data["pictures"] == 1
    for inputs in (["pictures"], ["pictures", "pictures/maps"], ["pictures/**/*.png"]):
        done = attnviz("batch", *inputs, *args).data
        assert (done["pictures"], done["written"]) == (1, 0)


def test_the_file_of_a_checkpoint_folder_is_not_exported_over(attnviz: Attnviz, scene: Path) -> None:
    (scene / "model").mkdir()
    (scene / "tiny.pth").rename(scene / "model" / "pytorch_model.bin")
    (scene / "model" / "old.npz").write_bytes(b"mine")
    for name in ("old.npz",):
        done = attnviz("inspect-weights", "model", "--export", f"model/{name}")
        assert done.code == 1
        assert "never overwritten" in done.err
    assert (scene / "model" / "old.npz").read_bytes() == b"mine"


def test_somebody_s_arrays_beside_a_picture_stay(attnviz: Attnviz, scene: Path) -> None:
    (scene / "x.npz").write_bytes(b"my own numbers")
    args = ("render", "pictures/street.png", "-c", "tiny.pth", *SMALL, "-o", "x.png", "--arrays")
    done = attnviz(*args)
    assert done.code == 1
    assert "x.npz exists and holds no maps" in done.err
    assert (scene / "x.npz").read_bytes() == b"my own numbers"
    assert not (scene / "x.png").exists()
    (scene / "x.npz").unlink()
    assert [attnviz(*args).code for _ in range(2)] == [0, 0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a pipe with a name")
def test_a_pipe_is_neither_replaced_nor_waited_for(attnviz: Attnviz, scene: Path) -> None:
    os.mkfifo(scene / "x.png")
    done = attnviz("render", "pictures/street.png", "-c", "tiny.pth", *SMALL, "-o", "x.png")
    assert done.code == 1
    assert "x.png is no file but a pipe, socket or device" in done.err
    assert (scene / "x.png").is_fifo()
    os.mkfifo(scene / "report.results.jsonl")
    done = attnviz("evaluate", "pictures", "-c", "tiny.pth", *SMALL, "-o", "report.html")
    assert done.code == 1
    assert "report.results.jsonl is no file but a pipe" in done.err
