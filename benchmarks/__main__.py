"""The speed tables: ``python -m benchmarks [TABLE…]``; see README.md beside this file."""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.figures import Table
from benchmarks.machine import machine_facts, one_line
from benchmarks.plan import Plan
from benchmarks.tables import batch, cold, explorer, families, forward, methods, peers, pictures

TABLES = {
    "forward": forward.measure,
    "methods": methods.measure,
    "pictures": pictures.measure,
    "peers": peers.measure,
    "cold": cold.measure,
    "batch": batch.measure,
    "families": families.measure,
    "explorer": explorer.measure,
}


def main(arguments: list[str] | None = None) -> None:
    """Measures the chosen tables and prints them; or prints those that a file holds."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if unknown := sorted(set(given.tables) - set(TABLES)):
        parser.error(f"no table {', '.join(unknown)}: tables are {', '.join(TABLES)}")
    names = given.tables or list(TABLES)
    if given.show:
        found, machine = report.latest_tables(given.show)
        tables = [table for name, table in found.items() if name in names]
    else:
        machine = machine_facts(given.device)
        tables = _measured(names, given, machine)
    print(_printed(tables, one_line(machine), given.markdown))
    if given.quick:
        print("a quick run: no figures to quote")


def _measured(names: list[str], given: argparse.Namespace, machine: dict[str, Any]) -> list[Table]:
    """One table after the other; each is in the file, if one was given, as soon as it is done."""
    tables = []
    with _folder(given.folder) as folder:
        plan = _plan(folder, given)
        for name in names:
            started = time.monotonic()
            print(f"measuring {name} …", end=" ", file=sys.stderr, flush=True)
            tables.append(TABLES[name](plan))
            print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
            if given.json:
                report.append(given.json, {"machine": machine, **_settings(plan), "tables": [tables[-1].as_json()]})
    return tables


def _plan(folder: Path, given: argparse.Namespace) -> Plan:
    runs, pictures = (3, 4) if given.quick else (11, 64)
    plan = Plan(folder, given.runs or runs, given.pictures or pictures, given.device, given.quick)
    plan.out("").mkdir(parents=True, exist_ok=True)
    return plan


def _settings(plan: Plan) -> dict[str, Any]:
    """What else the file says of a run."""
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "date": date,
        "runs": plan.runs,
        "long_runs": plan.long_runs,
        "pictures": plan.pictures,
        "device": plan.device,
        "is_quick": plan.is_quick,
    }


def _printed(tables: list[Table], machine: str, markdown: bool) -> str:
    if markdown:
        return report.as_markdown(tables, machine)
    return "\n\n".join((*map(report.as_text, tables), f"medians of alternating runs on {machine}"))


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    """The folder for material and results, absolute: one to keep, or one that goes again."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given.resolve()
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures the speed tables.")
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"{', '.join(TABLES)}; without any, all of them")
    parser.add_argument("--runs", type=int, metavar="N", help="measured runs of everything short (11)")
    parser.add_argument("--pictures", type=int, metavar="N", help="pictures in a folder (64)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--quick", action="store_true", help="3 runs, 4 pictures: to see that it works")
    parser.add_argument("--folder", type=Path, help="keep checkpoint, pictures and results here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="add every raw value to this list of runs")
    parser.add_argument("--markdown", action="store_true", help="print the table of the README")
    parser.add_argument(
        "--show", type=Path, metavar="FILE", help="measure nothing: print the newest tables of a --json FILE"
    )
    return parser


if __name__ == "__main__":
    main()
