"""`attnviz evaluate`: which method tells the truth about a model, by numbers."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detr_attnviz.cli import options as opt
from detr_attnviz.cli.evaluation_report import print_report, progress
from detr_attnviz.cli.grouped import grouped
from detr_attnviz.cli.json_output import print_json
from detr_attnviz.cli.messages import say
from detr_attnviz.cli.startup import foresee, swift_imports
from detr_attnviz.evaluation.choice import NOTATION, comparable, parse_methods
from detr_attnviz.evaluation.output import FIGURES, REPORTS, Output
from detr_attnviz.evaluation.settings import SHARES, EvaluationSettings

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class EvaluationOptions:
    """What is compared, and over which queries."""

    methods: Annotated[
        str,
        typer.Option(
            metavar="NAME,…",
            help=f"Methods to compare, each {NOTATION}. (default: {', '.join(comparable())})".replace("[", r"\["),
            show_default=False,
            rich_help_panel=opt.WHAT,
        ),
    ] = ",".join(comparable())
    controls: Annotated[
        bool,
        typer.Option(
            "--controls/--no-controls",
            metavar="",
            help="Also a random map, a shuffled model's attention, and every method's map on the shuffled model.",
            rich_help_panel=opt.WHAT,
        ),
    ] = True
    heads: Annotated[
        str,
        typer.Option(
            metavar="KIND,…",
            help="Silence each head of cross, encoder, decoder-self attention in turn; or none.",
            rich_help_panel=opt.WHAT,
        ),
    ] = "cross"
    shares: Annotated[
        str,
        typer.Option(
            metavar="PERCENT,…",
            help="Shares of cells that are removed, or alone left in; 0 and 100 are always among them.",
            rich_help_panel=opt.WHAT,
        ),
    ] = ",".join(f"{100 * share:g}" for share in SHARES)
    label: opt.Labels = None
    top_k: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="At most the best so many a picture.", rich_help_panel=opt.WHAT),
    ] = 2
    threshold: opt.Threshold = None
    seed: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Of the controls, and of the order of equal cells.", rich_help_panel=opt.WHAT
        ),
    ] = 0

    def settings(self, model: opt.ModelOptions) -> EvaluationSettings:
        """The same as the library takes it.

        Raises: typer.BadParameter for what is no percentage; ChoiceError for what does not exist.
        """
        return EvaluationSettings(
            methods=parse_methods(self.methods),
            has_controls=self.controls,
            heads=_kinds(self.heads),
            shares=_shares(self.shares),
            threshold=self.threshold,
            labels=tuple(self.label or ()),
            top_k=self.top_k,
            seed=self.seed,
            shortest_px=model.shortest_px,
            longest_px=model.longest_px,
        )


@grouped
def evaluate(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE", help=opt.PICTURES, show_default=False)],
    model: opt.ModelOptions,
    what: EvaluationOptions,
    classes: opt.Classes = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help=f"A report ({', '.join(REPORTS)}), its curves ({', '.join(FIGURES)}), or a folder for all. Beside it "
            "every picture's results are kept: the same command goes on with them.",
            show_default=False,
            rich_help_panel=opt.OUTPUT,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Disturbed pictures in a forward; the last bits of numbers depend on it. (default: 4, on a GPU 32)",
            show_default=False,
            rich_help_panel=opt.OUTPUT,
        ),
    ] = None,
    as_json: opt.AsJson = False,
) -> None:
    """Compare methods by what the model does when cells that they rank highest go, or alone stay.

    attnviz evaluate photos/ -o report.html
    attnviz evaluate photos/ --methods raw,raw:max,relevance --top-k 3 -o evaluation
    attnviz evaluate street.jpg --heads cross,encoder --no-controls
    """
    from detr_attnviz.batch.images import find_pictures

    # What can be wrong without a model is told before a second goes into its import.
    settings = what.settings(model)
    goal = None if output is None else Output.at(output)
    outside = None if goal is None else goal.folder
    pictures = find_pictures(images, outside=outside)
    if goal is not None:
        goal.check_spares(images, (picture.path for picture in pictures))
    foresee(model.checkpoint)
    with swift_imports():
        from detr_attnviz.evaluation.run import evaluate as run
        from detr_attnviz.evaluation.summary import summarise

    detector = model.open(classes)
    if left_out := settings.without(settings.settled(detector)):
        say(f"without {', '.join(left_out)}, which this detector's attention does not allow")
    with progress(can_resume=goal is not None) as on_progress:
        found = run(
            detector,
            images,
            settings,
            results=None if goal is None else goal.results,
            outside=outside,
            batch_size=batch_size,
            on_progress=on_progress,
            say=say,
        )
    summary = summarise(found)
    files: Sequence[Path] = ()
    if goal is not None:
        from detr_attnviz.evaluation.write import write_reports

        files = write_reports(found, summary, goal)
    if as_json:
        from detr_attnviz.evaluation.document import as_document

        print_json({**as_document(found, summary), "files": [str(path) for path in files]})
    else:
        print_report(found, summary, files)
    raise typer.Exit(1 if found.failures else 0)


def _kinds(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))
    return () if names == ("none",) else names


def _shares(text: str) -> tuple[float, ...]:
    try:
        percent = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        percent = [-1.0]
    if not all(0 <= share <= 100 for share in percent):
        raise typer.BadParameter(f"--shares {text}: give percentages in 0–100, such as 5,20,50")
    if not any(0 < share < 100 for share in percent):
        raise typer.BadParameter(f"--shares {text}: give at least one percentage between 0 and 100, such as 5,20,50")
    return tuple(share / 100 for share in percent)
