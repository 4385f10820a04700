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


_LEAST_REST = 0.0005  # what rounds to 0.0 % is nothing worth a column


def print_sheet(sheet: "RenderedSheet") -> None:
    """The drawn queries (or points), where each map peaks, and the files written; nothing when nothing was drawn."""
    console = Console(soft_wrap=True, emoji=False)  # a name may hold :smile:
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
    has_rest = max(explanation.rest, default=0.0) >= _LEAST_REST
    # Of samples the table tells what they come to on the grid, as a picture of points does not.
    on_grid = "on grid: " if explanation.samples is not None else ""
    titles = {"peak at": f"{on_grid}peak at", "rest": f"{on_grid}{explanation.rest_where}"}
    columns = (*whom, "peak at", "peak", *(["rest"] if has_rest else []))
    for name in columns:
        table.add_column(
            titles.get(name, name), justify="left" if name in ("label", "term") else "right", no_wrap=name == "term"
        )
    form = ".1%" if METHODS[explanation.method].is_attention else ".3g"
    for row, values in zip(sheet.as_json()["maps"], explanation.maps, strict=True):
        cells = _cells(row) | {"peak": _number(float(values.max()), form)}
        if has_rest:
            cells["rest"] = _number(row["rest"], ".1%")
        table.add_row(*(cells[name] for name in columns))
    return table


def _title(sheet: "RenderedSheet") -> str:
    explanation = sheet.explanation
    method = "" if explanation.method == RAW else f", {explanation.method}"
    head = f", head {explanation.head}" if explanation.head else ""
    term = f", {explanation.term} term alone" if explanation.term else ""
    level = "" if explanation.level is None else f", level {explanation.level}"
    return f"{escape(one_line(str(sheet.picture)))}: {explanation.site}{method}{head}{level}{term}"


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    """A map's row as texts, by the names of columns."""
    cells = {"peak at": ",".join(_number(side, ".0f") for side in row["peak"]) if row["peak"] else "–"}
    if "share" in row:
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
    """A number that is not finite is NaN here: rows have None in its place, as JSON has no word for it."""
    return "NaN" if value is None or not math.isfinite(value) else format(value, form)
