"""Prints the known checkpoints and where a fetched one lies."""

import json
from collections.abc import Iterable
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from detr_attnviz.checkpoints.zoo import Known, cache_folder, is_on_disk, local_path
from detr_attnviz.cli.messages import say


def print_table(entries: Iterable[Known]) -> None:
    """A row per checkpoint, and where they lie."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("backbone", no_wrap=True)
    table.add_column("box AP", justify="right", no_wrap=True)
    table.add_column("on disk", no_wrap=True)
    table.add_column("note")
    for entry in entries:
        here = "yes" if is_on_disk(entry.name) else "no"
        style = "" if here == "yes" else "dim"
        table.add_row(entry.name, entry.backbone, f"{entry.ap:.1f}", here, entry.note, style=style)
    console = Console(highlight=False)
    console.print(table)
    say(f"kept in {cache_folder()}; fetch one with: attnviz checkpoints download NAME")


def print_json(entries: Iterable[Known]) -> None:
    """The same as a JSON list."""
    print(json.dumps([_row(entry) for entry in entries], indent=2))


def print_downloaded(entry: Known, path: Path, *, as_json: bool) -> None:
    """Where the checkpoint lies now, on stdout."""
    print(json.dumps(_row(entry) | {"path": str(path)}, indent=2) if as_json else path)


def _row(entry: Known) -> dict[str, object]:
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
