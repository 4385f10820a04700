"""`attnviz render`: pictures in, sheets of attention out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detr_attnviz.cli import options as opt
from detr_attnviz.cli.grouped import grouped
from detr_attnviz.cli.json_output import print_json
from detr_attnviz.cli.messages import say
from detr_attnviz.cli.startup import foresee, swift_imports

if TYPE_CHECKING:
    from detr_attnviz.batch.sheets import FailedPicture, RenderedSheet


@grouped
def render(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE", help=opt.PICTURES, show_default=False)],
    model: opt.ModelOptions,
    show: opt.ShowOptions,
    style: opt.StyleOptions,
    classes: opt.Classes = None,
    allow_cpu: opt.AllowCpu = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="A file for one picture, a folder for several. (default: here, named after the picture)",
            show_default=False,
            rich_help_panel=opt.OUTPUT,
        ),
    ] = None,
    arrays: Annotated[
        bool,
        typer.Option(
            "--arrays",
            metavar="",
            help="Also write the maps as .npz beside the picture.",
            rich_help_panel=opt.OUTPUT,
        ),
    ] = False,
    as_json: opt.AsJson = False,
) -> None:
    """Draw where each detected object's query looks, over the picture.

    attnviz render street.jpg --layer 5 --head mean
    attnviz render street.jpg -c my_finetuned.pth --label car --style pair
    attnviz render street.jpg --method relevance --top-k 3
    attnviz render photos/ -o sheets --kind encoder --point 320,240
    """
    from detr_attnviz.batch.images import find_pictures

    # What can be wrong without a model is told before a second goes into its import.
    drawing = style.drawing()
    find_pictures(images)
    foresee(model.checkpoint)
    with swift_imports():
        from detr_attnviz.batch.sheets import render_files

    request = show.request()
    detector = model.open(classes)
    results = render_files(
        detector,
        images,
        request,
        drawing,
        output=output,
        arrays=arrays,
        shortest_px=model.shortest_px,
        longest_px=model.longest_px,
        allow_cpu=allow_cpu,
        say=say,
    )
    shown: list[dict[str, Any]] = []
    try:
        shown.extend(_show(result, as_json) for result in results)
    except KeyboardInterrupt:
        say(f"stopped after {len(shown)} of the pictures")
        raise typer.Exit(130) from None
    if as_json:
        print_json({"provenance": detector.provenance, "notes": detector.notes, "pictures": shown})
    raise typer.Exit(1 if any("error" in one for one in shown) else 0)


def _show(result: "RenderedSheet | FailedPicture", as_json: bool) -> dict[str, Any]:
    from detr_attnviz.batch.sheets import FailedPicture

    if isinstance(result, FailedPicture):
        say(f"{result.picture}: {result.error}")
        return result.as_json()
    if result.remark:
        say(f"{result.picture}: {result.remark}")
    if not as_json:
        from detr_attnviz.cli.tables import print_sheet

        print_sheet(result)
    return result.as_json()
