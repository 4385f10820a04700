"""What the commands of ``attnviz figure`` share: their options in groups, and how each begins and ends."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from detr_attnviz.cli import options as opt
from detr_attnviz.cli.json_output import print_json
from detr_attnviz.cli.messages import one_line, say
from detr_attnviz.cli.startup import foresee, swift_imports
from detr_attnviz.cli.targets import result_file

if TYPE_CHECKING:
    from detr_attnviz.drawing.prints.paper import PrintOptions
    from detr_attnviz.figures.printed import PrintedFigure
    from detr_attnviz.trace import Trace

SUFFIXES = (".pdf", ".svg", ".png")
_PAPER = "On paper"

Image = Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture.", show_default=False)]
Layer = Annotated[
    str, typer.Option(metavar="N", help="Layer, counted from 0; -1 is the last.", rich_help_panel=opt.WHAT)
]
Head = Annotated[
    str,
    typer.Option(
        metavar="HOW",
        help="A head's number, or how heads join: mean, max, entropy-weighted.",
        rich_help_panel=opt.WHAT,
    ),
]
Points = Annotated[
    list[str] | None,
    typer.Option("--point", metavar="X,Y", help="Place in original pixels; repeatable.", rich_help_panel=opt.WHAT),
]
Direction = Annotated[
    Literal["from", "to"],
    typer.Option(
        metavar="from|to",
        help="from: what the point attends to. to: what attends to the point.",
        rich_help_panel=opt.WHAT,
    ),
]
PointLevel = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="N",
        help="The feature map whose cell looks, where an encoder is sampled.",
        rich_help_panel=opt.WHAT,
    ),
]


@dataclass(frozen=True)
class ObjectsOptions:
    """Which objects are drawn."""

    query: Annotated[
        list[int] | None,
        typer.Option(min=0, metavar="N", help="Object query by number; repeatable.", rich_help_panel=opt.WHAT),
    ] = None
    label: opt.Labels = None
    top_k: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only the best so many.", rich_help_panel=opt.WHAT)
    ] = None
    threshold: opt.Threshold = None


@dataclass(frozen=True)
class ObjectOptions:
    """Which single object is drawn."""

    query: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Object query by number. (default: the best detection)",
            show_default=False,
            rich_help_panel=opt.WHAT,
        ),
    ] = None
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="The best detection of this class.", rich_help_panel=opt.WHAT),
    ] = None


@dataclass(frozen=True)
class PaperOptions:
    """How large a figure is and how it is drawn."""

    width: Annotated[
        str,
        typer.Option(
            metavar="column|page|MM",
            help="column: 85 mm. page: 175 mm. Or a number of millimetres.",
            rich_help_panel=_PAPER,
        ),
    ] = "page"
    dpi: Annotated[
        int,
        typer.Option(min=72, max=1200, metavar="DPI", help="Of a PNG, and of the maps inside.", rich_help_panel=_PAPER),
    ] = 300
    font_pt: Annotated[
        float,
        typer.Option("--font-pt", min=4, max=14, metavar="PT", help="Of labels, in points.", rich_help_panel=_PAPER),
    ] = 7.0
    cmap: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A matplotlib colour map. (default: YlOrRd, dark where values are high; RdBu_r where they may be "
            "below zero; objects have colours that are far apart)",
            show_default=False,
            rich_help_panel=_PAPER,
        ),
    ] = None
    smooth: Annotated[
        Literal["bicubic", "bilinear", "nearest"],
        typer.Option(
            metavar="HOW",
            help="How cells grow to pixels: bicubic, bilinear, or nearest, which shows them as they are.",
            rich_help_panel=_PAPER,
        ),
    ] = "bicubic"

    def options(self) -> "PrintOptions":
        """The same as the library takes it.

        Raises: typer.BadParameter for what is no width; ChoiceError for what does not exist.
        """
        from detr_attnviz.drawing.prints.paper import PrintOptions

        return PrintOptions(
            width=_width(self.width), dpi=self.dpi, font_pt=self.font_pt, cmap=self.cmap, smooth=self.smooth
        )


@dataclass(frozen=True)
class FileOptions:
    """Where a figure goes, and what is said of it."""

    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The figure: .pdf, .svg or .png. Its caption goes beside it, as .txt. (default: a PDF here, named "
            "after the input)",
            show_default=False,
            rich_help_panel=opt.OUTPUT,
        ),
    ] = None
    as_json: opt.AsJson = False

    def target(self, given: str, kind: str) -> Path:
        """The figure's path, checked.

        Raises: ChoiceError, OutputError.
        """
        return result_file(self.output, [given], f".{kind}.pdf", SUFFIXES)


def trace_of(image: Path, model: opt.ModelOptions, classes: Path | None) -> "Trace":
    """The picture's trace; what can be wrong without a model is told first.

    Raises: ChoiceError, CheckpointError, ImageError.
    """
    from detr_attnviz.pictures import read_picture

    read_picture(image)
    foresee(model.checkpoint)
    with swift_imports():
        from detr_attnviz.figures import printed  # noqa: F401  # brings what every figure imports
    detector = model.open(classes)
    return detector.trace(image, shortest_px=model.shortest_px, longest_px=model.longest_px)


def finish(printed: "PrintedFigure", path: Path, as_json: bool) -> None:
    """Writes the figure and its caption, and says so."""
    figure, caption = printed.save(path)
    for note in printed.notes:
        say(note)
    if as_json:
        facts = {"file": str(figure), "caption_file": str(caption), "caption": printed.caption}
        print_json({**facts, "notes": printed.notes, "provenance": dict(printed.provenance)})
    else:
        print(f"{one_line(str(figure))}\n{one_line(str(caption))}")


def _width(text: str) -> "Literal['column', 'page'] | float":
    if text == "column":
        return "column"
    if text == "page":
        return "page"
    try:
        return float(text.removesuffix("mm"))
    except ValueError:
        raise typer.BadParameter(f"--width is {text!r}: give column, page or millimetres, such as 120") from None
