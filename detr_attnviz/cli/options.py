"""Options that several commands share, in groups (see ``grouped``), and the values made from them."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from detr_attnviz.cli.messages import said_as_notes, say
from detr_attnviz.cli.parsing import parse_layer, parse_point
from detr_attnviz.methods.catalogue import LAST, MEAN, METHODS, RAW, checked_facts

if TYPE_CHECKING:
    from detr_attnviz.detector import Detector
    from detr_attnviz.drawing.options import DrawingOptions
    from detr_attnviz.methods.request import Request

_MODEL = "Model"
WHAT = "What is explained"
_DRAWING = "Drawing"
OUTPUT = "Output"
PICTURES = (
    'Pictures, folders (searched to the bottom), quoted patterns ("photos/**/*.jpg"), or @LIST: a text file with one '
    "picture a line, relative to the list's folder."
)

AsJson = Annotated[
    bool,
    typer.Option("--json", metavar="", help="Print data as JSON on stdout and nothing else.", rich_help_panel=OUTPUT),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        metavar="SCORE",
        help="Lowest score of the objects. "
        "(default: 0.7; 0.5 where classes have scores of their own; with a text 0.25)",
        rich_help_panel=WHAT,
        show_default=False,
    ),
]
Labels = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Only this class; repeatable.", rich_help_panel=WHAT)
]
Classes = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Class names: one a line, or a COCO-style JSON.", rich_help_panel=_MODEL),
]

AllowCpu = Annotated[
    bool,
    typer.Option(
        "--allow-cpu",
        metavar="",
        help="Do pictures that the GPU has no memory for on the CPU; their data then says so.",
        rich_help_panel=_MODEL,
    ),
]


@dataclass(frozen=True)
class ModelOptions:
    """Which model runs, where, and on pictures of which size."""

    checkpoint: Annotated[
        str | None,
        typer.Option(
            "-c",
            "--checkpoint",
            metavar="NAME|PATH",
            help='A checkpoint file, a folder, or a name ("demo", "detr-r50", "owner/name" of the Hugging Face Hub). '
            "Without it: $ATTNVIZ_CHECKPOINT, "
            "else detr-r50 if downloaded, else the demo weights.",
            rich_help_panel=_MODEL,
        ),
    ] = None
    weights: Annotated[
        Literal["auto", "model", "ema"],
        typer.Option(
            metavar="auto|model|ema",
            help="Which weights of a checkpoint that holds averaged ones (EMA) too. auto: the averaged ones of RT-DETR "
            "and D-FINE, else the plain ones.",
            rich_help_panel=_MODEL,
        ),
    ] = "auto"
    device: Annotated[
        str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=_MODEL)
    ] = "auto"
    shortest_px: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="PX",
            help="Resize the shortest side to this. (default: 800, or what the checkpoint was made for)",
            rich_help_panel=_MODEL,
            show_default=False,
        ),
    ] = None
    longest_px: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="PX",
            help="But the longest side at most to this. (default: 1333, likewise)",
            rich_help_panel=_MODEL,
            show_default=False,
        ),
    ] = None
    precision: Annotated[
        Literal["fp32", "official", "bf16", "fp16"],
        typer.Option(
            metavar="NAME",
            help="fp32: exact up to rounding. official: the official order of operations, to its last digits, slower. "
            "bf16, fp16: the backbone in that, where the device is faster so.",
            rich_help_panel=_MODEL,
        ),
    ] = "fp32"
    nheads: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Attention heads, when the checkpoint does not say.", rich_help_panel=_MODEL
        ),
    ] = None
    dilation: Annotated[
        bool | None,
        typer.Option(
            "--dilation/--no-dilation",
            metavar="",
            help="Whether the backbone's last stage is dilated (DC5), when the checkpoint does not say.",
            show_default=False,
            rich_help_panel=_MODEL,
        ),
    ] = None
    max_megapixels: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Refuse larger pictures, as a small file can claim any size and fill the memory. (default: 179)",
            rich_help_panel=_MODEL,
            show_default=False,
        ),
    ] = None
    text: Annotated[
        str | None,
        typer.Option(
            metavar="PROMPT",
            help='What to look for, for Grounding DINO: "a cat. a remote control."',
            rich_help_panel=_MODEL,
        ),
    ] = None

    def __post_init__(self) -> None:
        """Pictures are read up to this size, and without a word of their decoders: the process is the command's own."""
        from detr_attnviz.decoders import limit_pixels, silence_decoders

        silence_decoders()
        if self.max_megapixels is not None:
            limit_pixels(self.max_megapixels * 1_000_000)

    def open(self, classes: Path | None = None) -> "Detector":
        """The detector, with everything worth knowing about it said on stderr."""
        from detr_attnviz.cli.progress import download_progress
        from detr_attnviz.detector import load
        from detr_attnviz.process import give_back_free_memory

        with download_progress() as progress, said_as_notes():
            detector = load(
                self.checkpoint,
                weights=self.weights,
                device=self.device,
                precision=self.precision,
                nheads=self.nheads,
                dilation=self.dilation,
                classes=classes,
                text=self.text,
                progress=progress,
            )
        give_back_free_memory()
        for note in detector.notes:
            say(note)
        return detector


@dataclass(frozen=True)
class ShowOptions:
    """Which maps are wanted."""

    method: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help=" ".join(f"{name}: {facts.summary}." for name, facts in METHODS.items()),
            rich_help_panel=WHAT,
        ),
    ] = RAW
    kind: Annotated[
        Literal["cross", "encoder", "decoder-self"],
        typer.Option(
            metavar="KIND",
            help="cross: objects over the picture. encoder: places over the picture, at --point. "
            "decoder-self: objects over objects.",
            rich_help_panel=WHAT,
        ),
    ] = "cross"
    layer: Annotated[
        str,
        typer.Option(
            metavar="N|N,M,…|all",
            help="Layer, counted from 0; -1 is the last. Of several the mean.",
            rich_help_panel=WHAT,
        ),
    ] = str(LAST)
    head: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="A head's number, or how heads join: mean, max, or entropy-weighted, where sharp heads count more.",
            rich_help_panel=WHAT,
        ),
    ] = MEAN
    query: Annotated[
        list[int] | None,
        typer.Option(min=0, metavar="N", help="Object query by number; repeatable.", rich_help_panel=WHAT),
    ] = None
    label: Labels = None
    top_k: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only the best so many.", rich_help_panel=WHAT)
    ] = None
    threshold: Threshold = None
    fallback: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Show so many of the best when none reaches the threshold.", rich_help_panel=WHAT
        ),
    ] = 3
    point: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y", help="Place in original pixels, for --kind encoder; repeatable.", rich_help_panel=WHAT
        ),
    ] = None
    direction: Annotated[
        Literal["from", "to"],
        typer.Option(
            metavar="from|to",
            help="from: what the point attends to. to: what attends to the point.",
            rich_help_panel=WHAT,
        ),
    ] = "from"
    term: Annotated[
        Literal["content", "spatial"] | None,
        typer.Option(
            metavar="content|spatial",
            help="One term of the attention logits alone, of Conditional DETR and DAB-DETR.",
            rich_help_panel=WHAT,
        ),
    ] = None
    level: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="One feature map of sampled (deformable) attention, 0 the finest. (default: all together)",
            rich_help_panel=WHAT,
            show_default=False,
        ),
    ] = None
    point_level: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="The feature map whose cell at --point looks, where an encoder is sampled.",
            rich_help_panel=WHAT,
        ),
    ] = 0

    def __post_init__(self) -> None:
        """Raises: typer.BadParameter, or ChoiceError for what the method does not leave to choose."""
        if self.kind == "encoder" and not self.point:
            raise typer.BadParameter("--kind encoder needs at least one --point X,Y (original pixels)")
        for text in self.point or ():
            parse_point(text)
        parts = (self.term or "", self.level, self.point_level)
        checked_facts(self.method, self.kind, parse_layer(self.layer), self.head, self.direction, *parts)

    def request(self) -> "Request":
        """The same as the library takes it."""
        from detr_attnviz.methods.request import Request

        return Request(
            method=self.method,
            kind=self.kind,
            layer=parse_layer(self.layer),
            head=self.head,
            queries=tuple(self.query or ()),
            labels=tuple(self.label or ()),
            top_k=self.top_k,
            threshold=self.threshold,
            fallback=self.fallback,
            points=tuple(parse_point(text) for text in self.point or ()),
            direction=self.direction,
            term=self.term or "",
            level=self.level,
            point_level=self.point_level,
        )


@dataclass(frozen=True)
class StyleOptions:
    """How maps are drawn; what is None stays as ``DrawingOptions`` has it."""

    style: Annotated[
        Literal["overlay", "heatmap", "pair", "contour", "points"],
        typer.Option(
            metavar="STYLE",
            help="overlay: the map over the picture. heatmap: alone. pair: above the boxed picture. contour: as lines. "
            "points: where sampled attention reads.",
            rich_help_panel=_DRAWING,
        ),
    ] = "overlay"
    cmap: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A matplotlib colour map. (default: inferno; coolwarm where values may be below zero)",
            rich_help_panel=_DRAWING,
        ),
    ] = None
    alpha: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="SHARE",
            help="Opacity of an overlay's map at its peak. (default: 0.8)",
            rich_help_panel=_DRAWING,
        ),
    ] = None
    scale: Annotated[
        Literal["each", "shared"],
        typer.Option(
            metavar="each|shared", help="Every map in its own range, or all in one.", rich_help_panel=_DRAWING
        ),
    ] = "each"
    smooth: Annotated[
        Literal["bicubic", "bilinear", "nearest"],
        typer.Option(
            metavar="HOW",
            help="How cells grow to pixels: bicubic, bilinear, or nearest, which shows them as they are.",
            rich_help_panel=_DRAWING,
        ),
    ] = "bicubic"

    def drawing(self) -> "DrawingOptions":
        """The same as the library takes it."""
        from detr_attnviz.drawing.options import DrawingOptions

        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return DrawingOptions(**{name: value for name, value in values.items() if value is not None})
