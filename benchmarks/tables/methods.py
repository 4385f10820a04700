"""What explaining ten detections costs by each method, after the forward; relevance also as its authors compute it."""

import json
from functools import partial

from benchmarks.commands import run_python
from benchmarks.figures import Goal, Row, Table, by_turns
from benchmarks.plan import Plan
from benchmarks.workers import Worker

TITLE = "maps of ten queries by each method, DETR-R50, 800 × 1066 pixels in"
FORWARD = "ours: one forward, all 18 sites recorded"
OFFICIAL = "official forward as users run it"
RELEVANCE = "ours: relevance"
AUTHORS = "relevance, one query after the other, whole matrices"
OTHERS = ("raw", "value-norm", "decompose", "rollout", "attn-gradcam", "gradcam")
QUERIES = list(range(10))
_MOST_MB = 4096


def measure(plan: Plan) -> Table:
    """All by turns, each side in a process of its own."""
    picture = str(plan.picture)
    own_file, other_file = plan.out("relevance-ours.npz"), plan.out("relevance-authors.npz")
    with Worker("benchmarks.peers.ours") as ours, Worker("benchmarks.peers.official") as official:
        for worker in (ours, official):
            worker.ask("load", checkpoint=str(plan.checkpoint), device=plan.device)
        ask = partial(ours.ask, "explain", picture=picture, queries=QUERIES)
        found = by_turns(
            plan.runs,
            {
                FORWARD: lambda: float(ours.ask("forward", picture=picture)),
                OFFICIAL: lambda: float(official.ask("forward", picture=picture)),
                RELEVANCE: lambda: float(ask(method="relevance", file=str(own_file))),
                **{f"ours: {name}": partial(lambda name: float(ask(method=name)), name) for name in OTHERS},
            },
        )
        authors = [
            float(official.ask("relevance", picture=picture, queries=QUERIES, file=str(other_file)))
            for _ in range(plan.long_runs)
        ]
        difference = json.loads(run_python("-m", "benchmarks.comparing", own_file, other_file).output)["relevance"]
        peaks = float(ours.ask("peak_mb")), float(official.ask("peak_mb"))
    goals = {RELEVANCE: (Goal(FORWARD, 4), Goal(OFFICIAL), Goal(AUTHORS)), FORWARD: (Goal(OFFICIAL),), OFFICIAL: ()}
    rows = [Row(name, "s", values, goals.get(name, (Goal(FORWARD),))) for name, values in found.items()]
    peak = "peak memory of the process, ours"
    return Table(
        "methods",
        TITLE,
        (
            *rows,
            Row(AUTHORS, "s", tuple(authors), (Goal(FORWARD), Goal(OFFICIAL))),
            Row(peak, "MB", (peaks[0],), (Goal(limit=_MOST_MB),)),
            Row("peak memory of the process, the authors' way", "MB", (peaks[1],), (Goal(peak),)),
            Row("largest difference of relevance, of its peak", "difference", (float(difference),)),
        ),
    )
