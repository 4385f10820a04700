"""`attnviz figure`: the classic figures, one command each, ready for print."""

from typing import Annotated

import typer

from detr_attnviz.cli import figure_options as fig
from detr_attnviz.cli import options as opt
from detr_attnviz.cli.grouped import grouped
from detr_attnviz.cli.messages import said_as_notes
from detr_attnviz.cli.parsing import parse_layer, parse_names, parse_point
from detr_attnviz.methods.catalogue import LAST, MEAN, RAW, checked_facts

figure_app = typer.Typer(
    no_args_is_help=True,
    help="Draw one of the classic figures, ready for print, as PDF, SVG or PNG with its caption as text.",
)


@figure_app.command()
@grouped
def objects(
    image: fig.Image,
    model: opt.ModelOptions,
    which: fig.ObjectsOptions,
    paper: fig.PaperOptions,
    file: fig.FileOptions,
    method: Annotated[
        str,
        typer.Option(metavar="NAME", help="How maps are made; see attnviz render --help.", rich_help_panel=opt.WHAT),
    ] = RAW,
    layer: fig.Layer = str(LAST),
    head: fig.Head = MEAN,
    classes: opt.Classes = None,
) -> None:
    """One picture, every object's attention in a colour of its own.

    attnviz figure objects street.jpg -o objects.pdf --width column
    """
    target, options, layers = file.target(str(image), "objects"), paper.options(), parse_layer(layer)
    checked_facts(method, "cross", layers, head, "from")
    trace = fig.trace_of(image, model, classes)
    from detr_attnviz.figures.objects import objects_figure

    drawn = objects_figure(
        trace,
        options=options,
        method=method,
        layer=layers,
        head=head,
        queries=which.query,
        label=which.label,
        top_k=which.top_k,
        threshold=which.threshold,
    )
    fig.finish(drawn, target, file.as_json)


@figure_app.command()
@grouped
def points(
    image: fig.Image,
    model: opt.ModelOptions,
    which: fig.ObjectsOptions,
    paper: fig.PaperOptions,
    file: fig.FileOptions,
    point: fig.Points = None,
    auto: Annotated[
        bool,
        typer.Option("--auto", metavar="", help="One place inside each object.", rich_help_panel=opt.WHAT),
    ] = False,
    layer: fig.Layer = str(LAST),
    head: fig.Head = MEAN,
    direction: fig.Direction = "from",
    point_level: fig.PointLevel = 0,
    classes: opt.Classes = None,
) -> None:
    """Encoder self-attention at a few places, around the picture.

    attnviz figure points street.jpg --auto
    attnviz figure points street.jpg --point 320,240 --point 500,120 -o points.svg
    """
    if bool(point) == auto:
        raise typer.BadParameter("give either places (--point X,Y) or --auto, which chooses one inside each object")
    places = [parse_point(text) for text in point or ()]
    target, options, layers = file.target(str(image), "points"), paper.options(), parse_layer(layer)
    checked_facts(RAW, "encoder", layers, head, direction)
    trace = fig.trace_of(image, model, classes)
    from detr_attnviz.figures.points import points_figure

    drawn = points_figure(
        trace,
        options=options,
        points=places or None,
        auto=auto,
        layer=layers,
        head=head,
        direction=direction,
        point_level=point_level,
        queries=which.query,
        label=which.label,
        top_k=which.top_k,
        threshold=which.threshold,
    )
    fig.finish(drawn, target, file.as_json)


@figure_app.command()
@grouped
def grid(
    image: fig.Image,
    model: opt.ModelOptions,
    which: fig.ObjectOptions,
    paper: fig.PaperOptions,
    file: fig.FileOptions,
    point: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y",
            help="A place in original pixels: the encoder's layers instead of the decoder's.",
            rich_help_panel=opt.WHAT,
        ),
    ] = None,
    layer: Annotated[
        str, typer.Option(metavar="N,…|all", help="Layers, counted from 0; -1 is the last.", rich_help_panel=opt.WHAT)
    ] = "all",
    direction: fig.Direction = "from",
    point_level: fig.PointLevel = 0,
    classes: opt.Classes = None,
) -> None:
    """All layers by all heads of one object, or of one place.

    attnviz figure grid street.jpg --query 17
    attnviz figure grid street.jpg --point 320,240 -o grid.png --dpi 600
    """
    place = None if point is None else parse_point(point)
    target, options, layers = file.target(str(image), "grid"), paper.options(), parse_layer(layer)
    checked_facts(RAW, "cross" if place is None else "encoder", layers, MEAN, direction, "", None, point_level)
    trace = fig.trace_of(image, model, classes)
    from detr_attnviz.figures.grid import grid_figure

    drawn = grid_figure(
        trace,
        options=options,
        query=which.query,
        label=which.label,
        point=place,
        layer=layers,
        direction=direction,
        point_level=point_level,
    )
    fig.finish(drawn, target, file.as_json)


@figure_app.command()
@grouped
def evolution(
    image: fig.Image,
    model: opt.ModelOptions,
    which: fig.ObjectOptions,
    paper: fig.PaperOptions,
    file: fig.FileOptions,
    head: fig.Head = MEAN,
    classes: opt.Classes = None,
) -> None:
    """One object through the decoder's layers, with its box as each layer predicts it.

    attnviz figure evolution street.jpg --label car
    """
    target, options = file.target(str(image), "evolution"), paper.options()
    checked_facts(RAW, "cross", LAST, head, "from")
    trace = fig.trace_of(image, model, classes)
    from detr_attnviz.figures.evolution import evolution_figure

    drawn = evolution_figure(trace, options=options, query=which.query, label=which.label, head=head)
    fig.finish(drawn, target, file.as_json)


@figure_app.command()
@grouped
def methods(
    image: fig.Image,
    model: opt.ModelOptions,
    which: fig.ObjectOptions,
    paper: fig.PaperOptions,
    file: fig.FileOptions,
    method: Annotated[
        str,
        typer.Option(
            "--methods",
            metavar="NAME,…",
            help="Only these. (default: all that the detector allows)",
            show_default=False,
            rich_help_panel=opt.WHAT,
        ),
    ] = "",
    layer: fig.Layer = str(LAST),
    classes: opt.Classes = None,
) -> None:
    """One object by every method.

    attnviz figure methods street.jpg --methods raw,relevance,rollout --width column
    """
    wanted, layers = parse_names(method), parse_layer(layer)
    for name in wanted:
        checked_facts(name, "cross", LAST, MEAN, "from")
    target, options = file.target(str(image), "methods"), paper.options()
    trace = fig.trace_of(image, model, classes)
    from detr_attnviz.figures.methods import methods_figure

    drawn = methods_figure(
        trace, options=options, query=which.query, label=which.label, methods=wanted or None, layer=layers
    )
    fig.finish(drawn, target, file.as_json)


@figure_app.command()
@grouped
def weights(
    ckpt: Annotated[
        str, typer.Argument(metavar="CKPT", help="A checkpoint file or folder, or a known name (demo, detr-r50 …).")
    ],
    module: Annotated[
        str | None,
        typer.Option(metavar="GLOB", help="Only modules whose name matches this glob.", rich_help_panel=opt.WHAT),
    ] = None,
    layer: Annotated[
        int | None, typer.Option(metavar="N", help="Only this layer; -1 is the last.", rich_help_panel=opt.WHAT)
    ] = None,
    nheads: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Number of heads, if the checkpoint is silent.", rich_help_panel=opt.WHAT
        ),
    ] = None,
    *,
    paper: fig.PaperOptions,
    file: fig.FileOptions,
) -> None:
    """A checkpoint's Wq, Wk and Wv, layer by layer, and its heads' norms.

    attnviz figure weights my_finetuned.pth -o weights.pdf
    """
    from detr_attnviz.checkpoints.source import locate
    from detr_attnviz.cli.startup import swift_imports

    target, options = file.target(ckpt, "weights"), paper.options()
    locate(ckpt, may_fetch=False)  # what is not there is told before a second goes into torch's import
    with swift_imports():
        from detr_attnviz.figures.weights import weights_figure_of

    with said_as_notes():
        drawn = weights_figure_of(ckpt, options=options, module=module, layer=layer, nheads=nheads)
    fig.finish(drawn, target, file.as_json)
