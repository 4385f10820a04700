"""One picture drawn and written as PNG: ours, and the same by matplotlib."""

from benchmarks.figures import Goal, Row, Table, by_turns
from benchmarks.plan import Plan
from benchmarks.workers import Worker

TITLE = "one PNG of 640 × 480 pixels, drawn and written"
_WORDS = {"overlay": "overlay", "heatmap": "heat map"}


def measure(plan: Plan) -> Table:
    """Both draw the best query's map of the same picture."""
    rows: list[Row] = []
    with Worker("benchmarks.peers.ours") as ours, Worker("benchmarks.peers.official") as official:
        for worker, name in ((ours, "ours"), (official, "official")):
            worker.ask("load", checkpoint=str(plan.checkpoint), device=plan.device)
            worker.ask("overlays", picture=str(plan.picture), out=str(plan.out(name)))
        for style in _WORDS:
            rows += _rows_of(plan, style, ours, official)
    return Table("pictures", TITLE, tuple(rows))


def _rows_of(plan: Plan, style: str, ours: Worker, official: Worker) -> list[Row]:
    own, other = plan.out(f"ours-{style}.png"), plan.out(f"matplotlib-{style}.png")
    own_name, other_name = f"{_WORDS[style]}, ours", f"{_WORDS[style]}, matplotlib"
    found = by_turns(
        plan.runs,
        {
            other_name: lambda: 1000 * float(official.ask("draw", style=style, file=str(other))),
            own_name: lambda: 1000 * float(ours.ask("draw", style=style, file=str(own))),
        },
    )
    own_size, other_size = (file.stat().st_size / 1000 for file in (own, other))
    return [
        Row(other_name, "ms", found[other_name]),
        Row(own_name, "ms", found[own_name], (Goal(other_name, 0.2),)),
        Row(f"{other_name}, size", "kB", (other_size,)),
        Row(f"{own_name}, size", "kB", (own_size,), (Goal(f"{other_name}, size"),)),
    ]
