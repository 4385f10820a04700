"""Options that several commands share, each written once, and the values made from them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detr_attnviz.cli.messages import say

if TYPE_CHECKING:
    from detr_attnviz.detector import Detector
    from detr_attnviz.drawing.options import DrawingOptions
    from detr_attnviz.methods.request import Request

_MODEL = "Model"
_WHAT = "What to show"
_DRAWING = "Drawing"
_OUTPUT = "Output"

Checkpoint = Annotated[
    str | None,
    typer.Option(
        "-c",
        "--checkpoint",
        metavar="NAME|PATH",
        help='A checkpoint file, a folder, or a name ("demo", "detr-r50"). Without it: $ATTNVIZ_CHECKPOINT, '
        "else detr-r50 if downloaded, else the demo weights.",
        rich_help_panel=_MODEL,
    ),
]
Heads = Annotated[
    int | None,
    typer.Option(
        "--nheads",
        min=1,
        metavar="N",
        help="Attention heads, when the checkpoint does not say.",
        rich_help_panel=_MODEL,
    ),
]
Dilation = Annotated[
    bool | None,
    typer.Option(
        "--dilation/--no-dilation",
        help="Whether the backbone's last stage is dilated (DC5), when the checkpoint does not say.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
Classes = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Class names: one a line, or a COCO-style JSON.", rich_help_panel=_MODEL),
]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda|mps", help="Where the model runs.", rich_help_panel=_MODEL)]
ShortestPx = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="PX",
        help="Resize the shortest side to this. (default: 800, or what the checkpoint was made for)",
        rich_help_panel=_MODEL,
        show_default=False,
    ),
]
LongestPx = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="PX",
        help="But the longest side at most to this. (default: 1333, likewise)",
        rich_help_panel=_MODEL,
        show_default=False,
    ),
]

KindOption = Annotated[
    Literal["cross", "encoder", "decoder-self"],
    typer.Option(
        "--kind",
        help="cross: objects over the picture. encoder: places over the picture, at --point. "
        "decoder-self: objects over objects.",
        rich_help_panel=_WHAT,
    ),
]
Layer = Annotated[int, typer.Option(metavar="N", help="Layer, counted from 0; -1 is the last.", rich_help_panel=_WHAT)]
HeadOption = Annotated[
    str, typer.Option("--head", metavar="mean|max|N", help="Head, or how heads join.", rich_help_panel=_WHAT)
]
Queries = Annotated[
    list[int] | None,
    typer.Option("--query", min=0, metavar="N", help="Object query by number; repeatable.", rich_help_panel=_WHAT),
]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="NAME", help="Only this class; repeatable.", rich_help_panel=_WHAT),
]
TopK = Annotated[int | None, typer.Option(min=1, metavar="N", help="Only the best so many.", rich_help_panel=_WHAT)]
Threshold = Annotated[
    float, typer.Option(min=0.0, max=1.0, metavar="0–1", help="Lowest score to show.", rich_help_panel=_WHAT)
]
Fallback = Annotated[
    int,
    typer.Option(
        min=0, metavar="N", help="Show so many of the best when none reaches the threshold.", rich_help_panel=_WHAT
    ),
]
Points = Annotated[
    list[str] | None,
    typer.Option(
        "--point",
        metavar="X,Y",
        help="Place in original pixels, for --kind encoder; repeatable.",
        rich_help_panel=_WHAT,
    ),
]
DirectionOption = Annotated[
    Literal["from", "to"],
    typer.Option(
        "--direction", help="from: what the point attends to. to: what attends to the point.", rich_help_panel=_WHAT
    ),
]

StyleOption = Annotated[
    Literal["overlay", "heatmap", "pair", "contour"],
    typer.Option("--style", help="Map over the picture, alone, beside it, or as lines.", rich_help_panel=_DRAWING),
]
Cmap = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="A matplotlib colour map. (default: inferno)", rich_help_panel=_DRAWING),
]
Alpha = Annotated[
    float | None,
    typer.Option(
        min=0.0, max=1.0, metavar="0–1", help="Opacity of the map at its peak. (default: 0.8)", rich_help_panel=_DRAWING
    ),
]
ScaleOption = Annotated[
    Literal["each", "shared"],
    typer.Option("--scale", help="Every map in its own range, or all in one.", rich_help_panel=_DRAWING),
]
Smooth = Annotated[
    Literal["bicubic", "bilinear", "nearest"],
    typer.Option(help="How cells grow to pixels; nearest shows them as they are.", rich_help_panel=_DRAWING),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print data as JSON on stdout and nothing else.", rich_help_panel=_OUTPUT)
]


def open_detector(
    checkpoint: str | None, device: str, nheads: int | None, dilation: bool | None, classes: Path | None
) -> "Detector":
    """The detector, with everything worth knowing about it said on stderr."""
    from detr_attnviz.cli.progress import download_progress
    from detr_attnviz.detector import load

    with download_progress() as progress:
        detector = load(checkpoint, device=device, nheads=nheads, dilation=dilation, classes=classes, progress=progress)
    for note in detector.notes:
        say(note)
    return detector


def request_from(
    *,
    kind: str,
    layer: int,
    head: str,
    query: list[int] | None,
    label: list[str] | None,
    top_k: int | None,
    threshold: float,
    fallback: int,
    point: list[str] | None,
    direction: str,
) -> "Request":
    """What to show, as one value.

    Raises: typer.BadParameter for options that exclude each other.
    """
    from detr_attnviz.methods.request import Request

    if kind == "encoder" and not point:
        raise typer.BadParameter("--kind encoder needs at least one --point X,Y (original pixels)")
    if kind != "encoder" and point:
        raise typer.BadParameter("--point belongs to --kind encoder")
    if kind == "encoder" and (query or label or top_k):
        raise typer.BadParameter("--query, --label and --top-k choose objects; --kind encoder is shown at --point")
    if query and (label or top_k):
        raise typer.BadParameter("--query names the queries outright: leave --label and --top-k out")
    values: dict[str, Any] = {"kind": kind, "direction": direction}
    return Request(
        layer=layer,
        head=head,
        queries=tuple(query or ()),
        labels=tuple(label or ()),
        top_k=top_k,
        threshold=threshold,
        fallback=fallback,
        points=tuple(parse_point(text) for text in point or ()),
        **values,
    )


def drawing_from(*, style: str, cmap: str | None, alpha: float | None, scale: str, smooth: str) -> "DrawingOptions":
    """How to draw, as one value; what is None stays as ``DrawingOptions`` has it."""
    from detr_attnviz.drawing.options import DrawingOptions

    values: dict[str, Any] = {"style": style, "cmap": cmap, "alpha": alpha, "scale": scale, "smooth": smooth}
    return DrawingOptions(**{name: value for name, value in values.items() if value is not None})


def parse_point(text: str) -> tuple[float, float]:
    """``"320,240"`` as (x, y) in original pixels."""
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no point: give X,Y in original pixels, such as 320,240") from None
    return x, y
