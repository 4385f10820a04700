"""Results as tables on stdout."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from detr_attnviz.cli.messages import one_line
from detr_attnviz.methods.catalogue import METHODS, RAW

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
    table = Table(title=_title(sheet), title_justify="left", box=None, pad_edge=False)
    whom = ["point"] if explanation.kind == "encoder" else ["query", "label", "score", "box (pixels)"]
    if explanation.terms:
        whom = [*whom[:3], "term", "share"]  # four rows a query: its box would only make them too wide
    for name in (*whom, "peak at", "peak"):
        table.add_column(name, justify="left" if name in ("label", "term") else "right", no_wrap=name == "term")
    form = ".1%" if METHODS[explanation.method].is_attention else ".3g"
    for row, values in zip(sheet.as_json()["maps"], explanation.maps, strict=True):
        cells = _cells(row) | {"peak": _number(float(values.max()), form)}
        table.add_row(*(cells[name] for name in (*whom, "peak at", "peak")))
    return table


def _title(sheet: "RenderedSheet") -> str:
    explanation = sheet.explanation
    method = "" if explanation.method == RAW else f", {explanation.method}"
    head = f", head {explanation.head}" if explanation.head else ""
    return f"{escape(one_line(str(sheet.picture)))}: {explanation.site}{method}{head}"


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    """A map's row as texts, by the names of columns."""
    cells = {"peak at": ",".join(_number(side, ".0f") for side in row["peak"]) if row["peak"] else "–"}
    if "term" in row:
        cells |= {"term": row["term"], "share": _number(row["share"], ".0%")}
    if "point" in row:
        return {**cells, "point": ",".join(_number(side, "g") for side in row["point"])}
    return {
        **cells,
        "query": str(row["query"]),
        "label": escape(one_line(row["name"])),
        "score": _number(row["score"], ".2f"),
        "box (pixels)": " ".join(_number(side, ".0f") for side in row["box"]),
    }


def _number(value: float | None, form: str) -> str:
    return "–" if value is None or not math.isfinite(value) else format(value, form)


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
