"""Results as tables on stdout."""

import math
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from detr_attnviz.cli.messages import one_line

if TYPE_CHECKING:
    from detr_attnviz.batch.sheets import RenderedSheet
    from detr_attnviz.verification import Verification


def print_sheet(sheet: "RenderedSheet") -> None:
    """The drawn queries (or points), where each map peaks, and the files written; nothing when nothing was drawn."""
    console = Console(soft_wrap=True)
    if len(sheet.explanation):
        console.print(_maps(sheet))
    for path in sheet.files:
        console.print(f"wrote {escape(one_line(str(path)))}", highlight=False)


def _maps(sheet: "RenderedSheet") -> Table:
    explanation = sheet.explanation
    where = escape(one_line(str(sheet.picture)))
    table = Table(
        title=f"{where}: {explanation.site}, head {explanation.head}", title_justify="left", box=None, pad_edge=False
    )
    is_encoder = explanation.kind == "encoder"
    for name in ("point",) if is_encoder else ("query", "label", "score", "box (pixels)"):
        table.add_column(name, justify="left" if name == "label" else "right")
    table.add_column("peak at", justify="right")
    table.add_column("peak", justify="right")
    for index in range(len(explanation)):
        if is_encoder:
            x, y = explanation.points[index]
            cells = [f"{x:g},{y:g}"]
        else:
            seen = explanation.detections[index]
            box = " ".join(_number(side, ".0f") for side in seen.box)
            cells = [str(seen.index), escape(one_line(seen.name)), _number(seen.score, ".2f"), box]
        place = ",".join(_number(side, ".0f") for side in explanation.peak(index))
        table.add_row(*cells, place, _number(float(explanation.maps[index].max()), ".1%"))
    return table


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "–"


def print_proof(proof: "Verification") -> None:
    """One line per site, then PASS or FAIL."""
    console = Console(soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for name in ("site", "heads × queries × tokens", "largest difference", "row sums − 1", "mass on padding", ""):
        table.add_column(name, justify="left" if name == "site" else "right")
    for site in proof.sites:
        table.add_row(
            site.site,
            " × ".join(map(str, site.shape)),
            f"{site.difference:.1e}",
            f"{site.row_error:.1e}",
            "–" if site.padding_mass is None else f"{site.padding_mass:g}",
            "ok" if site.passed else "[red]FAIL[/]",
        )
    console.print(table)
    console.print(
        f"output with and without recording: {'the same to the bit' if proof.output_unchanged else 'DIFFERS'}"
    )
    console.print("[bold green]PASS[/]" if proof.passed else "[bold red]FAIL[/]")
