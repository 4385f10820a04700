"""The command `attnviz`: its commands, and how errors reach a person."""

import sys
from typing import Annotated

import typer

from detr_attnviz import __version__
from detr_attnviz.cli.batch import batch
from detr_attnviz.cli.checkpoints import checkpoints_app
from detr_attnviz.cli.evaluate import evaluate
from detr_attnviz.cli.explore import explore
from detr_attnviz.cli.figure import figure_app
from detr_attnviz.cli.inspect_weights import inspect_weights
from detr_attnviz.cli.messages import say, say_what_letters_allow
from detr_attnviz.cli.render import render
from detr_attnviz.cli.verify import verify
from detr_attnviz.errors import AttnVizError

app = typer.Typer(
    name="attnviz",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("render")(render)
app.command("batch")(batch)
app.command("explore")(explore)
app.add_typer(figure_app, name="figure")
app.command("evaluate")(evaluate)
app.command("inspect-weights")(inspect_weights)
app.command("verify")(verify)
app.add_typer(checkpoints_app, name="checkpoints")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"attnviz {__version__}")
        raise typer.Exit


@app.callback()
def attnviz(
    version: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", help="Print the version and stop.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """See where a DETR detector looks: exact attention of every layer, head and query."""


def main() -> None:
    """Runs the command; a foreseen error is one line on stderr and exit code 1, a bug keeps its traceback."""
    say_what_letters_allow()
    try:
        app()
    except AttnVizError as error:
        say(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        say("stopped")
        sys.exit(130)
