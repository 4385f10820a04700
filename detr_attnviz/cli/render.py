"""`attnviz render`: pictures in, sheets of attention out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detr_attnviz.cli import options as opt
from detr_attnviz.cli.messages import say

if TYPE_CHECKING:
    from detr_attnviz.batch.sheets import RenderedSheet


def render(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="Pictures to draw on.", show_default=False)],
    checkpoint: opt.Checkpoint = None,
    kind: opt.KindOption = "cross",
    layer: opt.Layer = -1,
    head: opt.HeadOption = "mean",
    query: opt.Queries = None,
    label: opt.Labels = None,
    top_k: opt.TopK = None,
    threshold: opt.Threshold = 0.7,
    fallback: opt.Fallback = 3,
    point: opt.Points = None,
    direction: opt.DirectionOption = "from",
    style: opt.StyleOption = "overlay",
    cmap: opt.Cmap = None,
    alpha: opt.Alpha = None,
    scale: opt.ScaleOption = "each",
    smooth: opt.Smooth = "bicubic",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="A file for one picture, a folder for several. (default: here, named after the picture)",
            show_default=False,
            rich_help_panel="Output",
        ),
    ] = None,
    arrays: Annotated[
        bool, typer.Option("--arrays", help="Also write the maps as .npz beside the picture.", rich_help_panel="Output")
    ] = False,
    as_json: opt.AsJson = False,
    device: opt.Device = "auto",
    shortest_px: opt.ShortestPx = None,
    longest_px: opt.LongestPx = None,
    nheads: opt.Heads = None,
    dilation: opt.Dilation = None,
    classes: opt.Classes = None,
) -> None:
    """Draw where each detected object's query looks, over the picture."""
    request = opt.request_from(
        kind=kind,
        layer=layer,
        head=head,
        query=query,
        label=label,
        top_k=top_k,
        threshold=threshold,
        fallback=fallback,
        point=point,
        direction=direction,
    )
    drawing = opt.drawing_from(style=style, cmap=cmap, alpha=alpha, scale=scale, smooth=smooth)
    from detr_attnviz.batch.sheets import render_files

    detector = opt.open_detector(checkpoint, device, nheads, dilation, classes)
    sheets = render_files(
        detector,
        images,
        request,
        drawing,
        output=output,
        arrays=arrays,
        shortest_px=shortest_px,
        longest_px=longest_px,
    )
    shown = [_show(sheet, as_json) for sheet in sheets]
    if as_json:
        from json import dumps

        typer.echo(dumps({"provenance": detector.provenance, "notes": detector.notes, "pictures": shown}, indent=2))


def _show(sheet: "RenderedSheet", as_json: bool) -> dict[str, Any]:
    if sheet.remark:
        say(f"{sheet.picture}: {sheet.remark}")
    if not as_json:
        from detr_attnviz.cli.tables import print_sheet

        print_sheet(sheet)
    return sheet.as_json()
