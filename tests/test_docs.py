"""What the documents show is what happens."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import detr_attnviz as av
from tests.tiny import tiny_model

ROOT = Path(__file__).parent.parent


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)


def test_readme_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    first, second = blocks("README.md", "python")
    names: dict[str, Any] = {}
    exec(first, names)
    with Image.open("attention.png") as picture:
        assert picture.width > 500
    assert torch.allclose(names["maps"].sum((2, 3)), torch.ones(()))
    model = tiny_model(decoder_layers=6, queries=18)
    with torch.no_grad():
        exec(second, {"av": av, "my_model": model, "images": torch.randn(1, 3, 64, 64)})


def test_checkpoints_worked_example_runs() -> None:
    names: dict[str, Any] = {}
    for block in blocks("checkpoints.md", "python"):
        exec(block, names)
    assert names["maps"].shape == (2, 2, 2)


def test_readme_has_six_lines_of_python() -> None:
    first = blocks("README.md", "python")[0]
    lines = [line for line in first.splitlines() if line.strip() and not line.startswith("import")]
    assert len(lines) <= 6


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "checkpoints.md",
        "CONTRIBUTING.md",
        "samples/README.md",
        "samples/evaluation.md",
        "benchmarks/README.md",
        "docs/explore.md",
        "docs/families.md",
        "docs/own-model.md",
    ],
)
def test_links_lead_somewhere(document: str) -> None:
    folder = (ROOT / document).parent
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / document).read_text())
    assert [target for target in targets if not (folder / target).exists()] == []


def test_contributing_is_short() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 40
