"""Whole commands from a cold start, against ``import torch``: time and peak memory."""

from functools import partial
from statistics import median

from benchmarks.commands import Finished, run_python
from benchmarks.figures import Goal, Row, Table, by_turns
from benchmarks.plan import Plan

TITLE = "commands from a cold start"
IMPORT, READ = "python -c 'import torch'", "import torch, and read the 160 MB file once"
HELP, LARGE = "attnviz --help", "attnviz inspect-weights of the 160 MB file"
_MEGA = 1 << 20
_READ = "import sys, torch; file = open(sys.argv[1], 'rb')\nwhile file.read(1 << 20): pass"


def measure(plan: Plan) -> Table:
    """Every command once unmeasured, so that its files are in the page cache, then all by turns."""
    sample, file = str(plan.picture), str(plan.checkpoint)
    own = ("-m", "detr_attnviz")
    commands: dict[str, tuple[str, ...]] = {
        IMPORT: ("-c", "import torch"),
        READ: ("-c", _READ, file),
        HELP: (*own, "--help"),
        "attnviz render of one picture, demo": (*own, "render", sample, "-c", "demo", "--device", "cpu"),
        "attnviz inspect-weights demo": (*own, "inspect-weights", "demo"),
        LARGE: (*own, "inspect-weights", file),
        "attnviz verify of one picture, demo": (*own, "verify", sample, "-c", "demo", "--device", "cpu"),
    }
    peaks: dict[str, list[float]] = {name: [] for name in commands}
    plan.out("cold").mkdir(parents=True, exist_ok=True)

    def run(name: str) -> float:
        done: Finished = run_python(*commands[name], folder=plan.out("cold"))
        peaks[name].append(done.peak_mb)
        return done.seconds

    seconds = by_turns(plan.runs, {name: partial(run, name) for name in commands})
    goals = {IMPORT: (), READ: (), HELP: (Goal(limit=0.15),), LARGE: (Goal(READ, 1.5),)}
    rows = [Row(name, "s", values, goals.get(name, (Goal(IMPORT),))) for name, values in seconds.items()]
    memory = [Row(f"{name}, peak memory", "MB", tuple(held)) for name, held in peaks.items()]
    return Table("cold", TITLE, (*rows, *memory, _beyond_import(plan, peaks)))


def _beyond_import(plan: Plan, peaks: dict[str, list[float]]) -> Row:
    """What reading the file takes on top of torch itself, whose libraries are several times as large."""
    floor = median(peaks[IMPORT])
    limit = 1.3 * plan.checkpoint.stat().st_size / _MEGA
    own = tuple(held - floor for held in peaks[LARGE])
    return Row(f"{LARGE}, peak memory beyond import torch", "MB", own, (Goal(limit=limit),))
