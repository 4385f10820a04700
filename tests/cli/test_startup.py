"""What each command imports, and that what it does not need stays out."""

import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest

from detr_attnviz.cli.startup import swift_imports
from tests.tiny import write_picture

REPORT = """
import atexit, json, sys
from pathlib import Path
atexit.register(lambda: Path("modules.json").write_text(json.dumps(sorted(sys.modules))))
sys.argv = ["attnviz", *sys.argv[1:]]
from detr_attnviz.cli.app import main
main()
"""
NUMBERS = {"numpy", "torch", "safetensors"}
DRAWING = {"matplotlib", "PIL.ImageDraw", "detr_attnviz.drawing.render"}
FETCHING = {"rich.progress", "detr_attnviz.checkpoints.fetch"}
MODEL = {"detr_attnviz.models.build", "detr_attnviz.families.open"}
TABLES = {"rich.table", "rich.progress"}


def modules_of(command: str, folder: Path) -> tuple[int, set[str]]:
    """Exit code and imported modules of one command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT, *command.split()], cwd=folder, capture_output=True, check=False
    )
    return done.returncode, set(json.loads((folder / "modules.json").read_text()))


@pytest.mark.parametrize(
    ("command", "code", "unwanted"),
    [
        ("--help", 0, NUMBERS | DRAWING | FETCHING | {"PIL"}),
        ("render --help", 0, NUMBERS | DRAWING | FETCHING | {"PIL"}),
        ("checkpoints", 0, NUMBERS | DRAWING | FETCHING | {"PIL", "urllib.request", "ssl"}),
        ("checkpoints --json", 0, NUMBERS | DRAWING | FETCHING | {"PIL", "urllib.request", "ssl"}),
        ("inspect-weights demo", 0, DRAWING | FETCHING | MODEL | {"PIL", "torchvision"}),
        ("render street.png -c demo --shortest-px 64", 0, {"matplotlib", "PIL.ImageCms"} | FETCHING),
        ("render street.png -c demo --shortest-px 64 --json", 0, {"matplotlib"} | FETCHING | TABLES),
    ],
)
def test_what_a_command_does_not_need_is_not_imported(
    command: str, code: int, unwanted: set[str], tmp_path: Path
) -> None:
    write_picture(tmp_path / "street.png")
    done, modules = modules_of(command, tmp_path)
    assert done == code
    assert modules & unwanted == set()


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("render street.png --style painting", 2),
        ("render street.png --alpha 0.3 --style heatmap", 2),
        ("render street.png --cmap nope", 1),
        ("render none.png", 1),
        ("render street.png -c none.pth", 1),
        ("verify street.png -c none.pth", 1),
        ("inspect-weights none.pth", 1),
        ("checkpoints download none", 1),
    ],
)
def test_what_is_wrong_without_a_model_is_told_before_torch_is_imported(
    command: str, code: int, tmp_path: Path
) -> None:
    write_picture(tmp_path / "street.png")
    done, modules = modules_of(command, tmp_path)
    assert done == code
    assert "torch" not in modules


def test_collector_is_on_again_after_swift_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    frozen: list[bool] = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(gc.isenabled()))
    with swift_imports():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert frozen == [False]


def test_collector_is_left_alone_where_torch_is_there_already() -> None:
    with swift_imports():
        assert gc.isenabled()
