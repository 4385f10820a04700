"""Folders: what drawing and writing add to the forwards, and memory over many pictures.

On a GPU the run is held against the throughput of the best batch alone, without the command's start.
"""

import json
from functools import partial

from benchmarks.commands import Finished, run_python
from benchmarks.figures import Goal, Row, Table, Values, by_turns
from benchmarks.plan import Plan
from benchmarks.workers import Worker

TITLE = "attnviz batch: 640 × 480 pixels, five overlays each"
_BATCHES = (1, 8, 32)
_FEW, _MANY = 100, 1000
_OF_FORWARD, _OF_THROUGHPUT = 1.25, 1 / 0.85
_SMALL = ("-c", "demo", "--shortest-px", "128")


def measure(plan: Plan) -> Table:
    """The forwards alone and the command by turns; then the command over few and over many small pictures."""
    rows = [row for precision in ("fp32", "bf16") for row in _time_rows(plan, precision)]
    return Table("batch", TITLE, (*rows, *_memory_rows(plan)))


def _time_rows(plan: Plan, precision: str) -> list[Row]:
    count = f"{plan.pictures} pictures, {precision}"
    alone, run, command = f"{count}: the forwards alone", f"{count}: the run", f"{count}: the whole command"
    inner: list[float] = []

    def whole() -> float:
        done = _batch(plan, precision)
        inner.append(float(json.loads(done.output)["seconds"]))
        return done.seconds

    with Worker("benchmarks.peers.ours") as ours:
        ours.ask("load", checkpoint=str(plan.checkpoint), device=plan.device, precision=precision)
        ours.ask("forward", picture=str(plan.picture))  # the first one builds what later ones find
        forwards = _best_batch if plan.is_cuda else _each
        found = by_turns(plan.long_runs, {alone: lambda: forwards(plan, ours), command: whole}, uncounted=0)
    values: Values = tuple(inner)
    goals = (_OF_THROUGHPUT, None) if plan.is_cuda else (None, _OF_FORWARD)
    return [
        Row(alone, "s", found[alone]),
        Row(run, "s", values, (Goal(alone, goals[0]),)),
        Row(command, "s", found[command], (Goal(alone, goals[1]),)),
    ]


def _batch(plan: Plan, precision: str) -> Finished:
    chosen = ("-c", str(plan.checkpoint), "--precision", precision, "--json")
    return run_python(*plan.command(plan.folder_of_pictures, plan.fresh("batch"), *chosen))


def _each(plan: Plan, ours: Worker) -> float:
    return float(ours.ask("forward_each", folder=str(plan.folder_of_pictures)))


def _best_batch(plan: Plan, ours: Worker) -> float:
    """Seconds of the folder at the throughput of the fastest batch."""
    given = {"picture": str(plan.picture), "recorded": False}
    shares = []
    for batch in _BATCHES:
        ours.ask("forward", **given, batch=batch)
        shares.append(float(ours.ask("forward", **given, batch=batch)) / batch)
    return plan.pictures * min(shares)


def _memory_rows(plan: Plan) -> list[Row]:
    """Peak memory with the demo weights, whose own share is small."""
    few, many = (count // (10 if plan.is_quick else 1) for count in (_FEW, _MANY))
    names = {count: f"peak memory, {count} small pictures" for count in (few, many)}
    calls = {name: partial(_peak_mb, plan, count) for count, name in names.items()}
    found = by_turns(plan.long_runs, calls, uncounted=0)
    return [
        Row(names[few], "MB", found[names[few]]),
        Row(names[many], "MB", found[names[many]], (Goal(names[few], 1.05),)),
    ]


def _peak_mb(plan: Plan, count: int) -> float:
    return run_python(*plan.command(plan.small_pictures(count), plan.fresh(f"small-{count}"), *_SMALL)).peak_mb
