"""`attnviz inspect-weights`: attention weights of many kinds of checkpoint, split into Wq, Wk, Wv, by numbers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detr_attnviz.cli.messages import said_as_notes, say
from detr_attnviz.cli.startup import swift_imports
from detr_attnviz.errors import ChoiceError
from detr_attnviz.files import is_one_of

if TYPE_CHECKING:
    from detr_attnviz.checkpoints.attention import AttentionWeights
    from detr_attnviz.checkpoints.inspection import Inspection

Ckpt = Annotated[
    str,
    typer.Argument(
        metavar="CKPT", help="A checkpoint file or folder, or a known name (demo, detr-r50 …); ./demo means the folder."
    ),
]
ModuleGlob = Annotated[
    str | None, typer.Option("--module", metavar="GLOB", help="Only modules whose name matches this glob.")
]
Layer = Annotated[int | None, typer.Option("--layer", metavar="N", help="Only this layer, from 0; -1 is the last.")]
Heads = Annotated[bool, typer.Option("--heads", metavar="", help="Also numbers per head, and how similar heads are.")]
NHeads = Annotated[
    int | None, typer.Option("--nheads", min=1, metavar="N", help="Number of heads, if the checkpoint is silent.")
]
Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw Wq | Wk | Wv and the heads' norms to this file.")
]
Export = Annotated[
    Path | None, typer.Option("--export", metavar="FILE", help="Write split weights: .safetensors, .npz or .pth.")
]
AsJson = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON on stdout and nothing else there.")]


def inspect_weights(
    ckpt: Ckpt,
    module: ModuleGlob = None,
    layer: Layer = None,
    heads: Heads = False,
    nheads: NHeads = None,
    plot: Plot = None,
    export: Export = None,
    as_json: AsJson = False,
) -> None:
    """Show a checkpoint's attention weights, split into Wq, Wk and Wv: shapes, norms, ranks, heads.

    Many kinds of model are known, DETR or not. What cannot be split with certainty is left out and named.
    """
    from detr_attnviz.checkpoints.source import locate

    # What can be wrong without a model is told before a second goes into torch's import.
    _, source = locate(ckpt, may_fetch=False)
    for target in filter(None, (export, plot)):
        _check_is_no_source(target, source)
    with swift_imports():
        from detr_attnviz.checkpoints.export import writer_for
        from detr_attnviz.checkpoints.inspection import inspect
        from detr_attnviz.cli import weights_report

    if export is not None:
        writer_for(export)
    with said_as_notes():
        found = inspect(ckpt, module=module, layer=layer, nheads=nheads)
    if as_json:
        weights_report.print_data(found)
    else:
        weights_report.print_tables(found, heads=heads)
    weights_report.print_notes(found)
    if export is not None:
        _export(export, found.modules)
    if plot is not None:
        _plot(plot, found)


def _check_is_no_source(target: Path, source: Path) -> None:
    """Raises: ChoiceError for the checkpoint's own file, or any other of its folder."""
    if is_one_of(target, source.iterdir() if source.is_dir() else [source]):
        raise ChoiceError(f"{target} is the checkpoint's own file, which is never overwritten: give another name")


def _export(path: Path, modules: "tuple[AttentionWeights, ...]") -> None:
    from detr_attnviz.checkpoints.export import export

    say(f"wrote {export(path, modules)} tensors to {path}")


def _plot(path: Path, found: "Inspection") -> None:
    from detr_attnviz.drawing.figure import save_figure, weights_figure

    panels = found.panels()
    about = {"figure": "weights", **found.provenance}
    save_figure(weights_figure(panels, title=found.path.name), path, about)
    say(f"drew {len(panels)} modules to {path}")
