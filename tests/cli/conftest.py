"""Running the command as a person does, in the same process."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from detr_attnviz.cli.app import main
from tests.tiny import NAMES, tiny_model, write_picture


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit code, stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


Attnviz = Callable[..., Outcome]


@pytest.fixture
def attnviz(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Attnviz:
    """Runs ``attnviz ARGS…`` in an empty folder, on the CPU's checkpoint of nobody's environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ATTNVIZ_CHECKPOINT", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))
    monkeypatch.setenv("COLUMNS", "160")

    def run(*args: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["attnviz", *map(str, args)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture
def tiny_checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.pth"
    torch.save({"model": tiny_model().state_dict()}, path)
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    return write_picture(tmp_path / "pictures" / "street.png")


@pytest.fixture
def class_file(tmp_path: Path) -> Path:
    path = tmp_path / "names.txt"
    path.write_text("\n".join(NAMES))
    return path
