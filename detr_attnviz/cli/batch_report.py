"""Tells how a run over many pictures goes on, and what came of it."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from detr_attnviz.cli.json_output import print_json
from detr_attnviz.cli.messages import one_line, say

if TYPE_CHECKING:
    from detr_attnviz.batch.report import BatchReport, OnProgress

_FAILURES_SHOWN = 20


@contextmanager
def progress() -> Iterator["OnProgress"]:
    """A bar with pictures a second and the time left; after Ctrl-C, one line that says how to go on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task("pictures", total=None, rate="")
    started, done, said = time.monotonic(), 0, 0
    if console.is_terminal:
        bar.start()

    def show(report: "BatchReport", total: int | None) -> None:
        nonlocal done, said
        for note in report.notes[said:]:
            say(note)
        done, said = report.pictures, len(report.notes)
        rate = (done - report.skipped) / max(time.monotonic() - started, 1e-9)
        bar.update(task, completed=done, total=total, rate=f"{rate:.1f} images/s")

    try:
        yield show
    except KeyboardInterrupt:
        say(f"stopped after {_number(done, 'picture')}; the same command goes on from there")
        raise typer.Exit(130) from None
    finally:
        if bar.live.is_started:  # stopping a bar that never ran prints an empty line
            bar.stop()


def print_as_json(report: "BatchReport", output: Path, about: Mapping[str, Any]) -> None:
    """The counts, the failures and what else there is to say ``about`` the run, on stdout."""
    failures = [{"picture": one.picture.location, "error": one.error} for one in report.failures]
    counts = {
        name: getattr(report, name)
        for name in ("pictures", "written", "skipped", "unsure", "replaced", "empty", "failed", "not_finite", "seconds")
    }
    said = {"proof": _proof(report), "notes": report.notes}
    print_json({"manifest": str(output / "manifest.jsonl"), **counts, "failures": failures, **said, **about})


def print_report(report: "BatchReport", output: Path, threshold: float) -> None:
    """What was done, and what was not and why, in lines for people."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from detr_attnviz.methods.select import NO_SCORES

    console = Console(soft_wrap=True, highlight=False, emoji=False)
    made = report.pictures - report.skipped
    rate = f", {made / report.seconds:.1f} images/s" if made and report.seconds else ""
    where = escape(one_line(str(output)))
    wrote = f"wrote {_number(report.written, 'file')} to {where} in {report.seconds:.1f} s{rate}"
    console.print(f"{_number(report.pictures, 'picture')}: {wrote}")
    if report.skipped:
        console.print(f"done before and left as they are: {_number(report.skipped, 'picture')}")
    if report.replaced:
        console.print(
            f"{_number(report.replaced, 'file')} made with other settings made room for them (another -o keeps both)"
        )
    if unsure := report.unsure - report.unscored:
        best = f"no detection reaches {threshold:g}, so the best were drawn instead (--fallback 0 leaves them out)"
        console.print(f"in {_number(unsure, 'picture')} {best}")
    if report.unscored:
        console.print(
            f"in {_number(report.unscored, 'picture')} {NO_SCORES}, so any were drawn (--fallback 0 draws none)"
        )
    if report.not_finite:
        console.print(
            f"in {_number(report.not_finite, 'picture')} maps hold NaN or infinite values: see manifest.jsonl"
        )
    if report.empty:
        wanted = f"a score of {threshold:g} or more (--threshold), and the chosen --label if any"
        console.print(f"nothing to show in {_number(report.empty, 'picture')}: no detection has {wanted}")
    if report.failed:
        table = Table("picture", "failed because", box=None, pad_edge=False)
        for one in report.failures[:_FAILURES_SHOWN]:
            table.add_row(escape(one_line(one.picture.location)), escape(one_line(one.error)))
        console.print(table)
        if report.failed > _FAILURES_SHOWN:
            console.print(f"and {report.failed - _FAILURES_SHOWN} more; manifest.jsonl has them all")


def _proof(report: "BatchReport") -> dict[str, Any] | None:
    """What ``attnviz verify --json`` says, of the picture that was taken; None where nothing was proven."""
    from detr_attnviz.cli.verify_report import proof_as_json

    if report.proof is None or report.proof.verification is None:
        return None
    return {"picture": report.proof.picture, **proof_as_json(report.proof.verification)}


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
