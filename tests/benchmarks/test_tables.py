"""What the tables make of answers: the workers are played here, but for one table that is measured for real."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.commands import Finished
from benchmarks.figures import Table
from benchmarks.plan import Plan
from benchmarks.tables import batch, forward, methods, peers, pictures

SECONDS = {"official": 1.0, "huggingface": 2.0, "fp32": 0.4, "bf16": 0.25}


class PlayedWorker:
    """Answers as a worker of this module would, in seconds that are known."""

    def __init__(self, module: str) -> None:
        self.name = module.rpartition(".")[2]

    def __enter__(self) -> "PlayedWorker":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def ask(self, do: str, **given: Any) -> Any:
        if do == "load" and self.name == "ours":
            self.name = given.get("precision", "fp32")
        seconds = SECONDS.get(self.name, 0.0)
        return {
            "forward": seconds * given.get("batch", 1),
            "forward_each": 10.0,
            "recording": 0.01,
            "maps": {"first": 0.002, "further": 0.0001, "all": 0.05, "bytes": 20_000_000},
            "explain": 3 * seconds,
            "relevance": 5.0,
            "peak_mb": 5000.0,
            "overlays": {"seconds": seconds, "queries": [1, 2] if self.name == "bf16" else [1, 3]},
        }.get(do)


def played_command(*arguments: str | Path, folder: Path = Path()) -> Finished:
    """Commands take ten times what a warm picture takes; differences are all alike."""
    words = " ".join(map(str, arguments))
    if "comparing" in words:
        return Finished(
            0, 0, json.dumps({"logits": 1e-5, "boxes": 0, "cross": 1e-7, "encoder": 2e-7, "relevance": 1e-6})
        )
    seconds = next((SECONDS[name] for name in SECONDS if name in words), 1.0)
    return Finished(10 * seconds, 1000 * seconds, json.dumps({"seconds": 11.0}))


@pytest.fixture
def plan(training_checkpoint: Path, tmp_path: Path) -> Plan:
    shutil.copy(training_checkpoint, tmp_path / "detr-r50.pth")
    plan = Plan(tmp_path, runs=1, pictures=1, is_quick=True)
    plan.out("").mkdir()
    return plan


@pytest.fixture
def _played(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in (batch, forward, methods, peers):
        monkeypatch.setattr(table, "Worker", PlayedWorker)
    for table in (batch, methods, peers):
        monkeypatch.setattr(table, "run_python", played_command)
    for table in (forward, peers):
        monkeypatch.setattr(table, "has_package", lambda name: True)


def judged(table: Table) -> dict[str, list[bool | None]]:
    """Verdicts by row, of rows that have a goal to meet."""
    found = {row.name: [one.is_met for one in table.verdicts(row)] for row in table.rows}
    return {name: verdicts for name, verdicts in found.items() if set(verdicts) - {None}}


@pytest.mark.usefixtures("_played")
def test_relevance_is_held_against_the_forward_and_a_limit_of_memory(plan: Plan) -> None:
    table = methods.measure(plan)
    assert judged(table) == {
        methods.RELEVANCE: [True, None, None],
        "peak memory of the process, ours": [False],
    }
    assert [one.value for one in table.verdicts(table.rows[2])] == pytest.approx([3.0, 1.2, 0.24])


@pytest.mark.usefixtures("_played")
def test_forward_is_held_against_the_official_one(plan: Plan) -> None:
    assert judged(forward.measure(plan)) == {
        forward.RECORDED: [True],
        forward.LOWER: [False],
        "time that recording adds to ours, fp32": [True],
        "memory that the 18 records hold": [True],
        "one query's map, 8 heads, first of a site": [False],
        "one query's map, 8 heads, a further one": [True],
        "all maps: 100 queries × 8 heads × 6 layers": [True],
    }


@pytest.mark.usefixtures("_played")
def test_forward_on_a_gpu_is_compared_batch_by_batch(plan: Plan) -> None:
    table = forward.measure(Plan(plan.folder, 1, 1, "cuda"))
    ratios = {row.name: table.verdicts(row)[0].value for row in table.rows if row.name.startswith("ours, batch")}
    assert ratios == {
        f"ours, batch {size}, {precision}, recorded": pytest.approx(SECONDS[precision])
        for size in (1, 8, 32)
        for precision in ("fp32", "bf16")
    }


@pytest.mark.usefixtures("_played")
def test_ours_is_held_against_both_peers(plan: Plan) -> None:
    table = peers.measure(plan)
    found = judged(table)
    assert found["one picture, warm: ours, fp32"] == [True, True]
    assert found["one picture, warm: ours, bf16"] == [True, None]
    assert found["folder of 1 pictures, command: ours, fp32"] == [True, True]
    assert found["peak memory of that: ours, bf16"] == [True, True]
    assert found["one picture, cold command: ours, fp32"] == [True, None]
    assert table.remarks == ("ours, bf16 drew queries [1, 2], peer 1 [1, 3]",)


@pytest.mark.usefixtures("_played")
def test_missing_peer_is_said_and_the_other_is_still_compared(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "has_package", lambda name: False)
    table = peers.measure(plan)
    assert judged(table)["one picture, warm: ours, fp32"] == [True]
    assert "peer 2 was left out: transformers is not installed" in table.remarks[-1]


@pytest.mark.usefixtures("_played")
def test_batch_is_held_against_its_forwards(plan: Plan) -> None:
    table = batch.measure(plan)
    assert judged(table)["1 pictures, bf16: the whole command"] == [True]
    run = next(row for row in table.rows if row.name == "1 pictures, fp32: the run")
    assert [one.value for one in table.verdicts(run)] == [1.1]


def test_drawing_is_measured_for_real(plan: Plan) -> None:
    table = pictures.measure(plan)
    assert all(value > 0 for row in table.rows for value in row.values)
    assert len(judged(table)) == 2
