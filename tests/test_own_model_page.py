"""The page about a model of one's own: its code runs, block after block, in a repository laid out as it says."""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

import detr_attnviz as av
from tests.own_repository.models import build_model

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "own-model.md"


@pytest.fixture
def own_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to run in, with the repository's packages to import, a checkpoint and the sample pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "own_repository"))
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    args = argparse.Namespace(hidden_dim=32, nheads=8, enc_layers=1, dec_layers=2, num_queries=12)
    torch.save({"model": build_model(args)[0].state_dict(), "args": args}, tmp_path / "checkpoint.pth")
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("datasets", "models", "util"):
            del sys.modules[name]


def test_every_block_runs(own_repository: Path) -> None:
    names: dict[str, Any] = {}
    traces: list[Any] = []
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, names)
        if "trace" in names and names["trace"] not in traces:
            traces.append(names["trace"])
    assert {path.name for path in own_repository.glob("*.png")} == {
        "own.png",
        "own.relevance.png",
        "own.points.png",
        "own.level.png",
        "own.encoder.png",
    }
    for path in own_repository.glob("*.png"):
        with Image.open(path) as picture:
            assert picture.width > 400
    dense, sampled = traces
    _check_is_the_demo(dense, names["demo"].trace("samples/shapes_square.png"))
    assert_close(names["records"]["1"].map().sum(-1), torch.ones(1, 4, 50))
    assert [grid.stride_px for grid in sampled.levels] == [8, 16]
    assert sampled.grid.canvas_px == (192, 256)
    assert {site.form for site in sampled.detector.sites} == {"dense", "sampled"}


def _check_is_the_demo(fork: av.Trace, demo: av.Trace) -> None:
    """The fork has the demo detector's weights, so every map must be the same."""
    assert set(fork.sites) == set(demo.sites)
    for site in demo.sites:
        assert_close(fork.records.dense(site).map(), demo.records.dense(site).map(), atol=1e-5, rtol=0)
    for method in ("value-norm", "rollout", "relevance", "gradcam"):
        ours, theirs = (av.explain(trace, method=method, queries=[10, 18]).maps for trace in (fork, demo))
        assert np.abs(ours - theirs).max() < 1e-3 * theirs.max()  # gradients sharpen the rounding of other kernels


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", PAGE.read_text())
    assert [target for target in targets if not (PAGE.parent / target).exists()] == []
