"""Tells how an evaluation goes on, and what came of it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import typer

from detr_attnviz.cli.messages import one_line, say

if TYPE_CHECKING:
    from rich.console import Console

    from detr_attnviz.evaluation.results import Evaluation
    from detr_attnviz.evaluation.run import OnProgress, Progress
    from detr_attnviz.evaluation.summary import Summary
    from detr_attnviz.evaluation.tables import Table

_FAILURES_SHOWN = 20
_NARROWEST_TITLE = 11
_WIDEST = 1000
_TELL_AFTER_S = 30
"""How often a log hears how far it is; a terminal has a bar."""


@contextmanager
def progress(*, can_resume: bool) -> "Iterator[OnProgress]":
    """A bar with pictures, forwards a second and the time left; after Ctrl-C, one line that says how to go on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from detr_attnviz.evaluation.tables import counted

    console = Console(stderr=True)
    columns = (MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[forwards]}"), TimeRemainingColumn())
    bar = Bar(*columns, console=console, transient=True, speed_estimate_period=600)
    task = bar.add_task("pictures", total=None, forwards="")
    done, told = 0, time.monotonic()
    if console.is_terminal:
        bar.start()

    def show(state: "Progress") -> None:
        nonlocal done, told
        done = state.pictures
        if not done:
            _announce(state)
        bar.update(task, completed=done, total=state.total, forwards=f"{state.forwards} forwards")
        if not console.is_terminal and done and time.monotonic() - told >= _TELL_AFTER_S:
            told = time.monotonic()
            say(f"{done} of {counted(state.total, 'picture')}, {state.forwards} forwards")

    try:
        yield show
    except KeyboardInterrupt:
        further = (
            "the same command goes on from there" if can_resume else "with -o the same command would go on from there"
        )
        say(f"stopped after {done} picture{'' if done == 1 else 's'}; {further}")
        raise typer.Exit(130) from None
    finally:
        if bar.live.is_started:  # stopping a bar that never ran prints an empty line
            bar.stop()


def _announce(state: "Progress") -> None:
    """What is to come, before it begins."""
    from detr_attnviz.evaluation.tables import counted

    each = "" if state.most_forwards is None else f", each with at most {state.most_forwards} forwards"
    say(f"{counted(state.total, 'picture')}{each}")


def print_report(evaluation: "Evaluation", summary: "Summary", files: Sequence[Path]) -> None:
    """The tables, what failed, and which files were written."""
    from rich.console import Console
    from rich.markup import escape

    from detr_attnviz.evaluation.tables import counted, tables

    console = Console(soft_wrap=True, highlight=False, emoji=False)
    where = f"{counted(summary.queries, 'query', 'queries')} in {counted(summary.pictures, 'picture')}"
    resumed = f", {evaluation.resumed} evaluated before" if evaluation.resumed else ""
    console.print(
        f"{where}{resumed}; ± is the standard error over pictures" if summary.pictures > 1 else where + resumed
    )
    if summary.copies:
        console.print(f"{counted(summary.copies, 'picture')} left out: the same file is among the others already")
    without = len(evaluation.pictures) - summary.pictures - summary.copies
    if without:
        of_label = f" of {' or '.join(evaluation.settings.labels)}" if evaluation.settings.labels else ""
        reaches = f"reaches the score {evaluation.settings.threshold or 0.0:g} (--threshold)"
        console.print(escape(f"nothing to evaluate in {counted(without, 'picture')}: no detection{of_label} {reaches}"))
    for table in tables(summary):
        _print_table(console, table)
    _print_failures(console, evaluation)
    for path in files:
        console.print(f"wrote {escape(one_line(str(path)))}")


def _print_table(console: "Console", table: "Table") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as RichTable

    from detr_attnviz.evaluation.tables import MARKED

    note = table.note.replace(MARKED, "* (bold):")
    console.print(f"\n[bold]{escape(table.title)}[/]. {escape(note)}", soft_wrap=False)
    shown = RichTable(box=None, pad_edge=False)
    shown.add_column(table.corner, no_wrap=True)
    for place, name in enumerate(table.columns):
        widest = max(len(row.cells[place].text) for row in table.rows)
        shown.add_column("\n".join(wrap(name, max(widest, _NARROWEST_TITLE))), justify="right", no_wrap=True)
    for row in table.rows:
        cells = [f"[bold]*{escape(cell.text)}[/]" if cell.is_marked else escape(cell.text) for cell in row.cells]
        shown.add_row(escape(row.name), *cells, style="dim" if row.is_control else None)
    needed = console.measure(shown, options=console.options.update(max_width=_WIDEST)).maximum
    Console(width=max(console.width, needed), highlight=False, emoji=False).print(shown)


def _print_failures(console: "Console", evaluation: "Evaluation") -> None:
    from rich.markup import escape
    from rich.table import Table as RichTable

    if not evaluation.failures:
        return
    table = RichTable("picture", "failed because", box=None, pad_edge=False)
    for picture, error in evaluation.failures[:_FAILURES_SHOWN]:
        table.add_row(escape(one_line(picture)), escape(one_line(error)))
    console.print()
    console.print(table)
    if len(evaluation.failures) > _FAILURES_SHOWN:
        console.print(f"and {len(evaluation.failures) - _FAILURES_SHOWN} more (--json has them all)")
