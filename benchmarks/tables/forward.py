"""The forward alone: the official one as users run it, and ours with everything recorded."""

from contextlib import ExitStack

from benchmarks.figures import Goal, Row, Table, Values, by_turns
from benchmarks.machine import has_package
from benchmarks.plan import Plan
from benchmarks.workers import Worker

TITLE = "the forward, DETR-R50, 800 × 1066 pixels in"
OFFICIAL = "official forward as users run it"
RECORDED = "ours, fp32, all 18 sites recorded"
PLAIN = "ours, fp32, nothing recorded"
LOWER = "ours, bf16, all 18 sites recorded"
HUGGINGFACE = "Hugging Face, eager, with its weights"
_BATCHES = (1, 8, 32)
_MEGA = 1e6


def measure(plan: Plan) -> Table:
    """Each model in a process of its own; one forward at a time, by turns."""
    with ExitStack() as stack:

        def loaded(peer: str, **more: str) -> Worker:
            worker = stack.enter_context(Worker(f"benchmarks.peers.{peer}"))
            worker.ask("load", checkpoint=str(plan.checkpoint), device=plan.device, **more)
            return worker

        official, fp32, bf16 = loaded("official"), loaded("ours"), loaded("ours", precision="bf16")
        if plan.is_cuda:
            rows = _on_cuda(plan, official, fp32, bf16)
        else:
            rows = _on_cpu(plan, official, fp32, bf16, loaded("huggingface") if has_package("transformers") else None)
        return Table("forward", TITLE, (*rows, _share_row(plan, fp32), *_map_rows(plan, fp32)))


def _on_cpu(plan: Plan, official: Worker, fp32: Worker, bf16: Worker, huggingface: Worker | None) -> list[Row]:
    picture = str(plan.picture)
    goals = {
        RECORDED: (Goal(OFFICIAL, 0.43),),
        PLAIN: (Goal(OFFICIAL),),
        HUGGINGFACE: (Goal(OFFICIAL),),
        LOWER: (Goal(OFFICIAL, 0.24),),
    }
    calls = {
        OFFICIAL: lambda: float(official.ask("forward", picture=picture)),
        RECORDED: lambda: float(fp32.ask("forward", picture=picture)),
        PLAIN: lambda: float(fp32.ask("forward", picture=picture, recorded=False)),
        LOWER: lambda: float(bf16.ask("forward", picture=picture)),
    }
    if huggingface:
        calls[HUGGINGFACE] = lambda: float(huggingface.ask("forward", picture=picture))
    found = by_turns(plan.runs, calls)
    return [Row(name, "s", values, goals.get(name, ())) for name, values in found.items()]


def _on_cuda(plan: Plan, official: Worker, fp32: Worker, bf16: Worker) -> list[Row]:
    """Batches of one, eight and 32; the peer below fp32 is torch's autocast."""
    rows: list[Row] = []
    for batch in _BATCHES[:2] if plan.is_quick else _BATCHES:
        for precision, ours in (("fp32", fp32), ("bf16", bf16)):
            rows += _batch_rows(plan, batch, precision, official, ours)
    return rows


def _batch_rows(plan: Plan, batch: int, precision: str, official: Worker, ours: Worker) -> list[Row]:
    given = {"picture": str(plan.picture), "batch": batch}
    peer = f"{OFFICIAL}, batch {batch}, {precision}"
    found = by_turns(
        plan.runs,
        {
            peer: lambda: 1000 * float(official.ask("forward", **given, precision=precision)),
            f"ours, batch {batch}, {precision}, recorded": lambda: 1000 * float(ours.ask("forward", **given)),
        },
    )
    return [Row(name, "ms", values, () if name == peer else (Goal(peer),)) for name, values in found.items()]


def _share_row(plan: Plan, ours: Worker) -> Row:
    """A share this small drowns in what changes between two turns, so both are measured back to back."""
    shares = [100 * float(ours.ask("recording", picture=str(plan.picture))) for _ in range(plan.runs + 1)][1:]
    return Row("time that recording adds to ours, fp32", "%", tuple(shares), (Goal(limit=2),))


def _map_rows(plan: Plan, ours: Worker) -> list[Row]:
    """What recording holds, and what maps cost after the forward."""
    answers = [ours.ask("maps", picture=str(plan.picture)) for _ in range(plan.runs + 1)][1:]
    first, further, everything, held = (
        tuple(float(answer[part]) for answer in answers) for part in ("first", "further", "all", "bytes")
    )
    return [
        Row("memory that the 18 records hold", "MB", (held[0] / _MEGA,), (Goal(limit=30),)),
        Row("one query's map, 8 heads, first of a site", "ms", _milli(first), (Goal(limit=1),)),
        Row("one query's map, 8 heads, a further one", "ms", _milli(further), (Goal(limit=1),)),
        Row("all maps: 100 queries × 8 heads × 6 layers", "ms", _milli(everything), (Goal(limit=60),)),
    ]


def _milli(seconds: Values) -> Values:
    return tuple(1000 * value for value in seconds)
