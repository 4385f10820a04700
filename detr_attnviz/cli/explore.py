"""`attnviz explore`: pictures in, one interactive page out."""

import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detr_attnviz.cli import options as opt
from detr_attnviz.cli.grouped import grouped
from detr_attnviz.cli.json_output import print_json
from detr_attnviz.cli.messages import one_line, say
from detr_attnviz.cli.parsing import parse_layer, parse_names
from detr_attnviz.cli.startup import foresee, swift_imports
from detr_attnviz.cli.targets import result_file
from detr_attnviz.errors import ChoiceError
from detr_attnviz.methods.catalogue import check_beside_raw

if TYPE_CHECKING:
    from detr_attnviz.batch.traces import Traces
    from detr_attnviz.explorer.page import Page

_ON_THE_PAGE = "On the page"


@dataclass(frozen=True)
class PageOptions:
    """What a page holds."""

    methods: Annotated[
        str,
        typer.Option(
            metavar="NAME,…",
            help="Also maps by these methods, computed beforehand: relevance, rollout … (see attnviz render --help).",
            rich_help_panel=_ON_THE_PAGE,
        ),
    ] = ""
    layer: Annotated[
        str,
        typer.Option(
            metavar="N,…|all",
            help="Layers that the page holds, counted from 0; -1 is the last. Fewer make a smaller page.",
            rich_help_panel=_ON_THE_PAGE,
        ),
    ] = "all"
    encoder: Annotated[
        bool,
        typer.Option(
            "--encoder/--no-encoder",
            metavar="",
            help="Whether the page holds encoder self-attention, half of its size and more.",
            rich_help_panel=_ON_THE_PAGE,
        ),
    ] = True
    point_level: Annotated[
        list[int] | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Feature map whose cells can be asked where an encoder is sampled; repeatable. (default: those of "
            "32 px a cell and more, as finer ones are large)",
            show_default=False,
            rich_help_panel=_ON_THE_PAGE,
        ),
    ] = None
    threshold: opt.Threshold = None

    def choices(self) -> dict[str, Any]:
        """The same as the library takes it.

        Raises: ChoiceError, typer.BadParameter for what no page can hold.
        """
        methods, layers = parse_names(self.methods), parse_layer(self.layer)
        check_beside_raw(methods)
        return {
            "methods": methods,
            "layers": layers,
            "encoder": self.encoder,
            "point_levels": tuple(self.point_level) if self.point_level else None,
            "threshold": self.threshold,
        }


@grouped
def explore(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE", help=opt.PICTURES, show_default=False)],
    model: opt.ModelOptions,
    what: PageOptions,
    classes: opt.Classes = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The page. (default: here, named after the picture; attnviz.html for several)",
            show_default=False,
            rich_help_panel=opt.OUTPUT,
        ),
    ] = None,
    open_page: Annotated[
        bool,
        typer.Option("--open", metavar="", help="Open the page in the browser.", rich_help_panel=opt.OUTPUT),
    ] = False,
    as_json: opt.AsJson = False,
) -> None:
    """Make one page to look around in: every map of every layer and head, computed in the browser when asked.

    The page is a single file that needs no network and can be sent to anybody.

    attnviz explore street.jpg -o street.html
    attnviz explore photos/ -o photos.html --methods relevance,rollout
    attnviz explore street.jpg -c my_finetuned.pth --layer 3,4,5 --no-encoder
    """
    from detr_attnviz.batch.images import find_pictures

    # What can be wrong without a model is told before a second goes into its import.
    choices = what.choices()
    find_pictures(images)
    target = result_file(output, images, ".html", (".html", ".htm"))
    foresee(model.checkpoint)
    with swift_imports():
        from detr_attnviz.batch.traces import Traces
        from detr_attnviz.explorer import page as _  # noqa: F401  # with the rest, while the collector rests

    detector = model.open(classes)
    traces = Traces(detector, images, (model.shortest_px, model.longest_px))
    page = _page(traces, choices)
    written = None if page is None else page.save(target)
    _tell(page, written, traces, as_json)
    if open_page and written is not None:
        webbrowser.open(written.resolve().as_uri())  # every letter that a shell could take for its own is a %XX
    raise typer.Exit(1 if traces.failures else 0)


def _page(traces: "Traces", choices: dict[str, Any]) -> "Page | None":
    """The page; None when no picture could be read. Pictures that could not are told."""
    from detr_attnviz.explorer.page import explore as page_of

    try:
        return page_of(traces, **choices)
    except ChoiceError:
        if traces.count or not traces.failures:
            raise
        return None
    finally:
        for path, why in traces.failures:
            say(f"{path}: {why}")


def _tell(page: "Page | None", path: Path | None, traces: "Traces", as_json: bool) -> None:
    notes = () if page is None else page.notes
    for note in notes:
        say(note)
    size, error = (0, None) if page is None else (len(page.html), page.largest_error)
    if as_json:
        failures = [{"picture": str(failed), "error": why} for failed, why in traces.failures]
        facts = {"pictures": traces.count, "bytes": size, "largest_error": error}
        print_json({"file": None if path is None else str(path), **facts, "notes": notes, "failures": failures})
    elif path is None:
        say("no picture could be read, so there is no page")
    else:
        print(f"{one_line(str(path))}: {traces.count} picture{'s' if traces.count != 1 else ''}, {size / 1e6:.1f} MB")
