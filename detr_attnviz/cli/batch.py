"""`attnviz batch`: folders in, a tree of heat maps and a manifest out."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from detr_attnviz.cli import options as opt
from detr_attnviz.cli.batch_report import print_as_json, print_report, progress
from detr_attnviz.cli.grouped import grouped
from detr_attnviz.cli.rules import exports_of
from detr_attnviz.cli.startup import foresee, swift_imports
from detr_attnviz.errors import ChoiceError, MissingExtraError

if TYPE_CHECKING:
    from detr_attnviz.batch.shards import Shard

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
    verify: Annotated[
        bool,
        typer.Option(
            "--verify/--no-verify",
            metavar="",
            help="Before a map is written, compare those of the first picture with what the model itself says.",
            rich_help_panel=_RUN,
        ),
    ] = True

    def share(self) -> "Shard | None":
        """The shard as the library takes it.

        Raises: typer.BadParameter.
        """
        from detr_attnviz.batch.shards import Shard

        try:
            return None if self.shard is None else Shard.parse(self.shard)
        except ChoiceError as error:
            raise typer.BadParameter(f"--shard: {error}") from None

    def check_engine(self) -> None:
        """Raises: MissingExtraError when the engine is not installed."""
        if self.engine == "ray" and find_spec("ray") is None:
            raise MissingExtraError("--engine ray", "ray")


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
    allow_cpu: opt.AllowCpu = False,
    as_json: opt.AsJson = False,
) -> None:
    """Write the maps of every detection in many pictures; run it again, and it does only what is missing.

    attnviz batch photos/ -o maps
    attnviz batch photos/ -o maps --per image --style pair
    attnviz batch @list.txt -o maps --export overlay,arrays --label person
    attnviz batch photos/ -o maps --method relevance
    attnviz batch photos/ -o maps --shard 2/4
    """
    from detr_attnviz.batch.images import find_pictures

    # What can be wrong without a model is told before a second goes into its import.
    drawing, share = style.drawing(), run.share()
    run.check_engine()
    find_pictures(inputs, outside=output)
    foresee(model.checkpoint)
    with swift_imports():
        from detr_attnviz.batch.plan import BatchSettings
        from detr_attnviz.batch.run import run_batch

    asked = BatchSettings(show.request(), drawing, exports_of(export), per, model.shortest_px, model.longest_px)
    detector = model.open(classes)
    settings = asked.settled(detector)
    with progress() as on_progress:
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
            verify=run.verify,
            allow_cpu=allow_cpu,
            on_progress=on_progress,
        )
    if as_json:
        about = {"shard": run.shard, "settings": settings.as_row(), "provenance": detector.provenance}
        print_as_json(report, output, about)
    else:
        print_report(report, output, settings.request.threshold or 0.0)
    raise typer.Exit(1 if report.failed else 0)
