"""What recording costs on transformers' models: the same forward with every site recorded, and with none.

Attention is computed as transformers chooses: by sdpa, or eagerly in families that it has no sdpa for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import Goal, Row, Table, by_turns
from benchmarks.machine import has_package
from benchmarks.plan import Plan
from benchmarks.workers import Worker

TITLE = "recording on transformers' models, fp32"
_WITHOUT = 'nothing was measured: transformers is not installed (pip install -e ".[hf]")'
_LONG_S = 1.0
_LONG_RUNS = 5
_MOST = 1.05
_MEGA = 1e6


@dataclass(frozen=True)
class Model:
    """A model and the size of its input."""

    model_type: str
    title: str
    height_px: int
    width_px: int

    @property
    def name(self) -> str:
        return f"{self.title}, {self.height_px} × {self.width_px}"


MODELS = (
    Model("conditional_detr", "Conditional DETR R50", 800, 1066),
    Model("dab-detr", "DAB-DETR R50", 800, 1066),
    Model("yolos", "YOLOS-small", 512, 864),
    Model("deformable_detr", "Deformable DETR R50", 800, 1066),
    Model("rt_detr", "RT-DETR R50", 640, 640),
    Model("d_fine", "D-FINE-L", 640, 640),
    Model("lw_detr", "LW-DETR tiny", 640, 640),
    Model("rf_detr", "RF-DETR base", 560, 560),
    Model("grounding-dino", "Grounding DINO tiny", 800, 1066),
)


def measure(plan: Plan) -> Table:
    """One model after the other, each in a process of its own."""
    if not has_package("transformers"):
        return Table("families", TITLE, (), (_WITHOUT,))
    rows: list[Row] = []
    remarks: list[str] = []
    for model in MODELS[:: 4 if plan.is_quick else 1]:
        with Worker("benchmarks.peers.families") as worker:
            size = {"height_px": model.height_px, "width_px": model.width_px}
            found = worker.ask("load", model_type=model.model_type, **size, device=plan.device)
            if found:
                rows += _rows(plan, model, found, worker)
            else:
                remarks.append(f"{model.title} was left out: the installed transformers has no {model.model_type}")
    return Table("families", TITLE, tuple(rows), tuple([*remarks, *_few(rows, plan.runs)]))


def _rows(plan: Plan, model: Model, found: dict[str, Any], worker: Worker) -> list[Row]:
    """Both forwards by turns; one that takes long is measured less often."""
    worker.ask("plain")
    runs = min(plan.runs, _LONG_RUNS) if float(worker.ask("plain")) > _LONG_S else plan.runs
    first: list[float] = []

    def recorded() -> float:
        answer = worker.ask("recorded")
        first.append(1000 * float(answer["first"]))
        return float(answer["forward"])

    plain = f"{model.name}: {found['attention']}, nothing recorded"
    watched = f"{model.name}: all {found['sites']} sites recorded"
    seconds = by_turns(runs, {plain: lambda: float(worker.ask("plain")), watched: recorded})
    return [
        Row(plain, "s", seconds[plain]),
        Row(watched, "s", seconds[watched], (Goal(plain, _MOST),)),
        Row(f"{model.name}: memory that the records hold", "MB", (float(worker.ask("held")) / _MEGA,)),
        Row(f"{model.name}: one query's map, all heads, first of a site", "ms", tuple(first[-runs:])),
    ]


def _few(rows: list[Row], runs: int) -> Iterator[str]:
    """Who was measured less often than the rest."""
    for row in rows:
        if 1 < len(row.values) < runs and not row.goals and row.unit == "s":
            yield f"{row.name.rpartition(': ')[0]}: {len(row.values)} runs"
