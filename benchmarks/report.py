"""Tables as text for a terminal, as Markdown for the README, and as JSON with every raw value."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.figures import Row, Table, Unit, Verdict

_HEAD = ("", "median", "min – max", "is", "goal", "")


def as_text(table: Table) -> str:
    """Aligned columns: name, median, spread, ratio, goal, whether it is met."""
    lines = [_HEAD, *_lines(table)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    body = [
        "  ".join(
            (line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)))
        )
        for line in lines
    ]
    return "\n".join((f"{table.name}: {table.title}", *(line.rstrip() for line in body), *table.remarks))


def as_markdown(tables: Iterable[Table], machine: str) -> str:
    """One table for the README: what, median, ratio, goal."""
    parts = ["| | median | ratio | goal | |", "|---|---:|---|---|---|"]
    for table in tables:
        parts.append(f"| **{_escaped(table.title)}** | | | | |")
        parts += [f"| {' | '.join(map(_escaped, (name, middle, *rest)))} |" for name, middle, _, *rest in _lines(table)]
    return "\n".join((*parts, "", f"Medians of alternating runs on {machine}."))


def append(file: Path, entry: dict[str, Any]) -> None:
    """Adds a run to the list that ``file`` holds; makes the file."""
    runs = json.loads(file.read_text()) if file.exists() else []
    draft = file.with_name(f"{file.name}.draft")
    draft.write_text(json.dumps([*runs, entry], indent=1))
    draft.replace(file)


def latest_tables(file: Path) -> tuple[dict[str, Table], dict[str, Any]]:
    """The newest of every table in ``file``, by name, and the machine of the newest run."""
    runs = json.loads(file.read_text())
    tables = {data["name"]: Table.from_json(data) for run in runs for data in run["tables"]}
    return tables, runs[-1]["machine"]


def amount(value: float, unit: Unit) -> str:
    """Three digits and the unit."""
    if unit == "difference":
        return f"{value:.1e}"
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:.{digits}f} {unit}"


def _lines(table: Table) -> Iterator[tuple[str, ...]]:
    """A line a row, and one more for each further goal of it."""
    for row in table.rows:
        spread = (
            f"{amount(min(row.values), row.unit)} – {amount(max(row.values), row.unit)}" if len(row.values) > 1 else ""
        )
        verdicts = table.verdicts(row)
        yield row.name, amount(row.median, row.unit), spread, *(_judged(row, verdicts[0]) if verdicts else ("", "", ""))
        for verdict in verdicts[1:]:
            yield "", "", "", *_judged(row, verdict)


def _judged(row: Row, verdict: Verdict) -> tuple[str, str, str]:
    goal = verdict.goal
    word = {None: "", True: "met", False: "missed"}[verdict.is_met]
    if not goal.of:
        return "", "" if goal.limit is None else f"≤ {amount(goal.limit, row.unit)}", word
    return (
        f"{verdict.value:.3f} × {goal.of.rpartition(': ')[2]}",
        "" if goal.limit is None else f"≤ {goal.limit:g}",
        word,
    )


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
