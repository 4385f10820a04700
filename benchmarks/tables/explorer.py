"""The interactive page of DETR-R50 at 800 × 1066: its size, how fast it opens, and what a hover costs."""

import random
from dataclasses import dataclass

from benchmarks.figures import Goal, Row, Table
from benchmarks.plan import Plan
from benchmarks.workers import Worker

TITLE = "the interactive page: DETR-R50 at 800 × 1066, 6 + 6 layers, in a window of 1366 × 768"
_MEGA = 1e6
_FRAME_MS = 1000 / 60
_UNCOUNTED = 5


@dataclass(frozen=True)
class Hover:
    """Where the pointer goes: ``at`` is the page's address, and ``view`` what is hovered there."""

    name: str
    view: str
    at: str


HOVERS = (
    Hover("hover over places, encoder", "encoder", "#v=encoder"),
    Hover("hover over places, encoder, wall open", "encoder", "#v=encoder&w=1"),
    Hover("hover over detections, cross-attention", "cross", "#v=cross&t=0"),
    Hover("hover over detections, cross-attention, wall open", "cross", "#v=cross&t=0&w=1"),
)


def measure(plan: Plan) -> Table:
    """Opening and hovering go by turns, each in a window of its own."""
    page = str(plan.out("page.html"))
    with Worker("benchmarks.peers.browsing") as worker:
        worker.ask("load", checkpoint=str(plan.checkpoint), picture=str(plan.picture))
        written = [worker.ask("write", out=page) for _ in range(plan.long_runs)]
        rows = [
            Row("from a trace to the page on disk", "s", tuple(float(one["seconds"]) for one in written)),
            Row("size of the page", "MB", (written[-1]["bytes"] / _MEGA,), (Goal(limit=15),)),
        ]
        browser = str(worker.ask("find_browser"))
        if browser.startswith("no "):
            return Table("explorer", TITLE, tuple(rows), (f"nothing was opened: {browser}",))
        worker.ask("open", page=page)
        opened = tuple(float(worker.ask("open", page=page)) for _ in range(plan.runs))
        rows.append(Row("from navigation to the first map", "ms", opened, (Goal(limit=1000),)))
        for hover in HOVERS:
            rows += _hovered(plan, hover, page, worker)
    return Table("explorer", TITLE, tuple(rows), (f"in headless {browser}, which draws on the CPU",))


def _hovered(plan: Plan, hover: Hover, page: str, worker: Worker) -> list[Row]:
    """Each window's median, its 95th percentile, its slowest redraw after the first few, and what came too late."""
    middle, most, slowest, late = [], [], [], []
    for turn in range(plan.long_runs):
        places = _places(25 if plan.is_quick else 200, turn)
        found = worker.ask("hover", page=page, at=hover.at, view=hover.view, places=places)
        work = sorted(map(float, found["work"][_UNCOUNTED:]))
        gaps = [float(gap) for gap in found["gaps"][_UNCOUNTED:]]
        middle.append(work[len(work) // 2])
        most.append(work[int(0.95 * (len(work) - 1))])
        slowest.append(work[-1])
        late.append(100 * sum(gap > 1.5 * _FRAME_MS for gap in gaps) / len(gaps))
    goal = (Goal(limit=_FRAME_MS),)
    return [
        Row(hover.name, "ms", tuple(middle), goal),
        Row(f"{hover.name}: 95 of 100 within", "ms", tuple(most), goal),
        Row(f"{hover.name}: slowest", "ms", tuple(slowest)),
        Row(f"{hover.name}: next frames that came late", "%", tuple(late)),
    ]


def _places(count: int, seed: int) -> list[tuple[float, float]]:
    """Random places in 0–1."""
    draw = random.Random(seed)
    return [(draw.random(), draw.random()) for _ in range(count)]
