"""Two processes that ran every command on the same input, in other circumstances."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from tests.every_command.commands import CHECKPOINT, HOSTILE, PICTURES
from tests.explorer.browser import browser, open_page
from tests.tiny import NAMES, tiny_model, write_picture

__all__ = ["browser", "open_page"]

ROOT = Path(__file__).parents[2]
CIRCUMSTANCES = {
    "one": {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C.UTF-8"},
    "many": {"PYTHONHASHSEED": "77", "TZ": "Asia/Tokyo", "LC_ALL": "C"},
}


class Runs(NamedTuple):
    """The folders that the two processes filled."""

    one: Path
    many: Path


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    if sys.platform != "linux":
        pytest.skip("other file systems refuse the names of these pictures")
    top = tmp_path_factory.mktemp("every_command")
    folders = {"one": top / "one", "many": top / "other" / "and deeper" / "many"}
    _write_inputs(folders["one"])
    shutil.copytree(folders["one"], folders["many"])  # with the pictures' times, which manifests hold
    started = {way: _started(way, folder, top) for way, folder in folders.items()}
    for process in started.values():
        said, _ = process.communicate()
        assert process.returncode == 0, said
    return Runs(**folders)


def _write_inputs(folder: Path) -> None:
    (folder / "pictures").mkdir(parents=True)
    for name, size in zip(PICTURES, ((96, 64), (64, 80)), strict=True):
        write_picture(folder / "plain.png", *size)
        (folder / "plain.png").rename(folder / "pictures" / name)
    (folder / "names.json").write_text(json.dumps([HOSTILE] * len(NAMES)))
    torch.save({"model": tiny_model().state_dict()}, folder / "tiny.pth")
    (folder / "tiny.pth").rename(folder / CHECKPOINT)


def _started(way: str, folder: Path, top: Path) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if name != "ATTNVIZ_CHECKPOINT"}
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200", "TORCH_HOME": str(top / "torch_home")}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.every_command.commands", way],
        cwd=folder,
        env={**kept, **own, **CIRCUMSTANCES[way]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
    )
