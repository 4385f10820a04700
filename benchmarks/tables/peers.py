"""The whole way from a picture to five overlays, side by side with two ways that people know.

Peer 1 is the official recipe (``peers/official.py``), peer 2 Hugging Face's (``peers/huggingface.py``).
"""

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.commands import Finished, run_python
from benchmarks.figures import Goal, Row, Table, Unit, Values, by_turns
from benchmarks.machine import has_package
from benchmarks.plan import Plan
from benchmarks.workers import Worker

TITLE = "from picture to five overlays, side by side"
OFFICIAL, HUGGINGFACE = "peer 1, official recipe", "peer 2, Hugging Face eager"
_WITHOUT = 'peer 2 was left out: transformers is not installed (pip install -e ".[hf]")'


@dataclass(frozen=True)
class Contestant:
    """One of those compared: its name in the table, its worker, and how that and its command are set up."""

    name: str
    module: str
    precision: str = ""

    def load(self, worker: Worker, plan: Plan) -> None:
        own = {"precision": self.precision} if self.precision else {}
        worker.ask("load", checkpoint=str(plan.checkpoint), device=plan.device, **own)

    def run(self, plan: Plan, pictures: Path) -> Finished:
        """The whole command over ``pictures``, into an empty folder."""
        out = plan.fresh(self.name.replace(" ", "-"))
        if not self.precision:
            return run_python("-m", self.module, plan.checkpoint, pictures, out, plan.device)
        chosen = ("-c", str(plan.checkpoint), "--precision", self.precision)
        return run_python(*plan.command(pictures, out, *chosen))


OURS = Contestant("ours, fp32", "benchmarks.peers.ours", "fp32")
LOWER = Contestant("ours, bf16", "benchmarks.peers.ours", "bf16")


def measure(plan: Plan) -> Table:
    """Warm processes by turns, then whole commands by turns, then how far the answers lie apart."""
    peers = [Contestant(OFFICIAL, "benchmarks.peers.official")]
    if has_package("transformers"):
        peers.append(Contestant(HUGGINGFACE, "benchmarks.peers.huggingface"))
    everyone = [*peers, OURS, LOWER]
    with ExitStack() as stack:
        workers = {one.name: stack.enter_context(Worker(one.module)) for one in everyone}
        for one in everyone:
            one.load(workers[one.name], plan)
        rows = [*_warm_rows(plan, workers), *_difference_rows(plan, workers)]
        remarks = _choice_remarks(workers, plan)
    rows += _command_rows(plan, everyone)
    return Table("peers", TITLE, tuple(rows), tuple(remarks if len(peers) == 2 else [*remarks, _WITHOUT]))


def _warm_rows(plan: Plan, workers: dict[str, Worker]) -> list[Row]:
    def overlays(name: str) -> Callable[[], float]:
        given = {"picture": str(plan.picture), "out": str(plan.out(f"warm-{name}"))}
        return lambda: float(workers[name].ask("overlays", **given)["seconds"])

    found = by_turns(plan.runs, {name: overlays(name) for name in workers})
    return _rows("one picture, warm", "s", found, {OURS.name: (0.40, 0.35), LOWER.name: (0.25, None)})


def _command_rows(plan: Plan, everyone: list[Contestant]) -> list[Row]:
    """A folder, and one picture from the shell: seconds of whole commands, and their peak memory."""
    peaks: dict[str, list[float]] = {one.name: [] for one in everyone}

    def folder(one: Contestant) -> Callable[[], float]:
        def run() -> float:
            done = one.run(plan, plan.folder_of_pictures)
            peaks[one.name].append(done.peak_mb)
            return done.seconds

        return run

    def single(one: Contestant) -> Callable[[], float]:
        return lambda: one.run(plan, plan.picture).seconds

    whole = by_turns(plan.long_runs, {one.name: folder(one) for one in everyone}, uncounted=0)
    cold = by_turns(plan.runs, {one.name: single(one) for one in everyone})
    held = {name: tuple(values) for name, values in peaks.items()}
    what = f"folder of {plan.pictures} pictures, command"
    return [
        *_rows(what, "s", whole, {OURS.name: (0.42, 0.36), LOWER.name: (0.25, None)}),
        *_rows("peak memory of that", "MB", held, {OURS.name: (1, 1), LOWER.name: (1, 1)}),
        *_rows("one picture, cold command", "s", cold, {OURS.name: (0.6, None)}),
    ]


def _rows(
    what: str, unit: Unit, found: dict[str, Values], limits: dict[str, tuple[float | None, float | None]]
) -> list[Row]:
    rows = []
    for name, values in found.items():
        pairs = zip((OFFICIAL, HUGGINGFACE), limits.get(name, ()), strict=False)
        goals = tuple(Goal(f"{what}: {peer}", limit) for peer, limit in pairs if peer in found)
        rows.append(Row(f"{what}: {name}", unit, values, goals))
    return rows


def _difference_rows(plan: Plan, workers: dict[str, Worker]) -> list[Row]:
    """Largest differences from peer 1; of Hugging Face, which resizes in its own way, also on peer 1's pixels."""
    rows = []
    theirs = str(plan.out("official.npz"))
    workers[OFFICIAL].ask("answers", picture=str(plan.picture), file=theirs)
    for name, pixels in ((HUGGINGFACE, {}), (HUGGINGFACE, {"pixels": theirs}), (OURS.name, {}), (LOWER.name, {})):
        if name in workers:
            file = str(plan.out("other.npz"))
            workers[name].ask("answers", picture=str(plan.picture), file=file, **pixels)
            found = json.loads(run_python("-m", "benchmarks.comparing", theirs, file).output)
            whose = f"{name}{', on its pixels' if pixels else ''}"
            largest = {"logits": found["logits"], "maps": max(found["cross"], found["encoder"])}
            rows += [
                Row(f"largest difference from peer 1 in {part}: {whose}", "difference", (value,))
                for part, value in largest.items()
            ]
    return rows


def _choice_remarks(workers: dict[str, Worker], plan: Plan) -> list[str]:
    """Who drew other queries than peer 1: with lower precision scores may change places."""
    chosen = {
        name: worker.ask("overlays", picture=str(plan.picture), out=str(plan.out(f"warm-{name}")))["queries"]
        for name, worker in workers.items()
    }
    others = {name: queries for name, queries in chosen.items() if queries != chosen[OFFICIAL]}
    return [f"{name} drew queries {queries}, peer 1 {chosen[OFFICIAL]}" for name, queries in others.items()]
