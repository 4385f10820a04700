"""`attnviz batch`: folders in, a tree of heat maps and a manifest out."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detr_attnviz.cli import options as opt
from detr_attnviz.cli.grouped import grouped
from detr_attnviz.cli.json_output import print_json
from detr_attnviz.cli.messages import one_line, say
from detr_attnviz.cli.rules import exports_of
from detr_attnviz.cli.startup import foresee, swift_imports
from detr_attnviz.errors import ChoiceError

if TYPE_CHECKING:
    from detr_attnviz.batch.report import BatchReport, OnProgress
    from detr_attnviz.batch.shards import Shard

_FAILURES_SHOWN = 20
_RUN = "Run"


@dataclass(frozen=True)
class RunOptions:
    """How the work is spread."""

    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Threads that read and draw beside the forwards. (default: by the number of cores)",
            show_default=False,
            rich_help_panel=_RUN,
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Pictures of one size in a forward, never padded. Above 1, maps may differ in their last bits. "
            "(default: 1, and 8 on a GPU)",
            show_default=False,
            rich_help_panel=_RUN,
        ),
    ] = None
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Do the I-th of N equal shares, for job arrays: N such commands, at the same time or not, fill one "
            "FOLDER as one command would.",
            show_default=False,
            rich_help_panel=_RUN,
        ),
    ] = None

    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(
            metavar="local|ray",
            help="local: threads of this process. ray: actors on a Ray cluster, which must see pictures and "
            "checkpoint under the same paths; --workers is then their number.",
            rich_help_panel=_RUN,
        ),
    ] = "local"

    def share(self) -> "Shard | None":
        """The shard as the library takes it.

        Raises: typer.BadParameter.
        """
        from detr_attnviz.batch.shards import Shard

        try:
            return None if self.shard is None else Shard.parse(self.shard)
        except ChoiceError as error:
            raise typer.BadParameter(f"--shard: {error}") from None


@grouped
def batch(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT", help=opt.PICTURES, show_default=False)],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Where the tree of results and manifest.jsonl go.",
            show_default=False,
            rich_help_panel=opt.OUTPUT,
        ),
    ],
    model: opt.ModelOptions,
    show: opt.ShowOptions,
    style: opt.StyleOptions,
    run: RunOptions,
    export: Annotated[
        str,
        typer.Option(
            metavar="NAME,…",
            help="What to write: overlay, heatmap, pair, contour (PNG), arrays (.npz). (default: the style)",
            show_default=False,
            rich_help_panel=opt.OUTPUT,
        ),
    ] = "",
    per: Annotated[
        Literal["query", "image"],
        typer.Option(
            metavar="query|image",
            help="query: a PNG each, at the picture's size. image: one sheet a picture.",
            rich_help_panel=opt.OUTPUT,
        ),
    ] = "query",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--no-resume",
            metavar="",
            help="Leave alone what an earlier run wrote under the same settings.",
            rich_help_panel=opt.OUTPUT,
        ),
    ] = True,
    classes: opt.Classes = None,
    as_json: opt.AsJson = False,
) -> None:
    """Write the maps of every detection in many pictures; run it again, and it does only what is missing.

    attnviz batch photos/ -o maps
    attnviz batch photos/ -o maps --per image --style pair
    attnviz batch @list.txt -o maps --export overlay,arrays --label person
    attnviz batch photos/ -o maps --shard 2/4
    """
    from detr_attnviz.batch.images import find_pictures

    # What can be wrong without a model is told before a second goes into its import.
    drawing, share = style.drawing(), run.share()
    find_pictures(inputs, outside=output)
    foresee(model.checkpoint)
    with swift_imports():
        from detr_attnviz.batch.plan import BatchSettings
        from detr_attnviz.batch.run import run_batch

    request = show.request()
    settings = BatchSettings(request, drawing, exports_of(export), per, model.shortest_px, model.longest_px)
    detector = model.open(classes)
    with _progress() as on_progress:
        report = run_batch(
            detector,
            inputs,
            settings,
            output,
            resume=resume,
            workers=run.workers,
            batch_size=run.batch_size,
            shard=share,
            engine=run.engine,
            on_progress=on_progress,
        )
    if as_json:
        about = {"shard": run.shard, "settings": settings.as_row(), "provenance": detector.provenance}
        print_json({**_as_json(report, output), **about})
    else:
        _print(report, output, request.threshold)
    raise typer.Exit(1 if report.failed else 0)


@contextmanager
def _progress() -> Iterator["OnProgress"]:
    """A bar with pictures a second and the time left; after Ctrl-C, one line that says how to go on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task("pictures", total=None, rate="")
    started, done = time.monotonic(), 0
    if console.is_terminal:
        bar.start()

    def show(report: "BatchReport", total: int | None) -> None:
        nonlocal done
        done = report.pictures
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


def _as_json(report: "BatchReport", output: Path) -> dict[str, Any]:
    failures = [{"picture": one.picture.location, "error": one.error} for one in report.failures]
    counts = {
        name: getattr(report, name)
        for name in ("pictures", "written", "skipped", "unsure", "replaced", "empty", "failed", "seconds")
    }
    return {"manifest": str(output / "manifest.jsonl"), **counts, "failures": failures}


def _print(report: "BatchReport", output: Path, threshold: float) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(soft_wrap=True, highlight=False)
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
    if report.unsure:
        best = f"no detection reaches {threshold:g}, so the best were drawn instead (--fallback 0 leaves them out)"
        console.print(f"in {_number(report.unsure, 'picture')} {best}")
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


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
