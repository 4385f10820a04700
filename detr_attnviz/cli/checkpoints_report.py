"""Prints the checkpoints that have names and where they lie: the one of the package first, then the known ones."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from detr_attnviz.checkpoints.zoo import DEMO, DEMO_PATH, Known, cache_folder, find, is_on_disk, local_path
from detr_attnviz.cli.json_output import print_json
from detr_attnviz.cli.messages import say

Row = dict[str, Any]


def print_table(entries: Iterable[Known]) -> None:
    """A row per checkpoint, and where they lie."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("backbone", no_wrap=True)
    table.add_column("box AP", justify="right", no_wrap=True)
    table.add_column("on disk", no_wrap=True)
    table.add_column("note")
    for row in _rows(entries):
        ap = "–" if row["box_ap"] is None else f"{row['box_ap']:.1f}"
        here = "yes" if row["on_disk"] else "no"
        table.add_row(row["name"], row["backbone"] or "–", ap, here, row["note"], style="" if row["on_disk"] else "dim")
    console = Console(highlight=False, emoji=False)
    console.print(table)
    say(f"kept in {cache_folder()}; fetch one with: attnviz checkpoints download NAME")


def print_list(entries: Iterable[Known]) -> None:
    """The same as a JSON list."""
    print_json(_rows(entries))


def print_downloaded(name: str, path: Path, *, as_json: bool) -> None:
    """Where the checkpoint lies now, on stdout."""
    if as_json:
        print_json((_demo() if name == DEMO else _row(find(name))) | {"path": str(path)})
    else:
        print(path)


def _rows(entries: Iterable[Known]) -> list[Row]:
    return [_demo(), *map(_row, entries)]


def _demo() -> Row:
    unknown = dict.fromkeys(("url", "sha256_prefix", "backbone", "dilation", "heads", "box_ap"))
    note = "comes with the package: drawn shapes"
    place = {"on_disk": DEMO_PATH.is_file(), "path": str(DEMO_PATH)}
    return {"name": DEMO, "file": DEMO_PATH.name, **unknown, "note": note, **place}


def _row(entry: Known) -> Row:
    return {
        "name": entry.name,
        "file": entry.file,
        "url": entry.url,
        "sha256_prefix": entry.sha256_prefix,
        "backbone": entry.backbone,
        "dilation": entry.dilation,
        "heads": entry.heads,
        "box_ap": entry.ap,
        "note": entry.note,
        "on_disk": is_on_disk(entry.name),
        "path": str(local_path(entry.name)),
    }
