"""The command `attnviz`: its commands, and how errors reach a person."""

import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from detr_attnviz import __version__
from detr_attnviz.cli.batch import batch
from detr_attnviz.cli.checkpoints import checkpoints_app
from detr_attnviz.cli.evaluate import evaluate
from detr_attnviz.cli.explore import explore
from detr_attnviz.cli.figure import figure_app
from detr_attnviz.cli.inspect_weights import inspect_weights
from detr_attnviz.cli.messages import say, survive_any_name
from detr_attnviz.cli.render import render
from detr_attnviz.cli.signals import INTERRUPTED, stopped_by_signals
from detr_attnviz.cli.streams import careful_stdout
from detr_attnviz.cli.verify import verify
from detr_attnviz.errors import AttnVizError, OutputError
from detr_attnviz.files import reason_of

# What a computer lacks may show at any place where a file is touched, and is no bug of that place.
_OF_THE_SYSTEM = frozenset(
    getattr(errno, name)
    for name in ("EMFILE", "ENFILE", "ENOSPC", "EDQUOT", "ENOMEM", "EIO", "EROFS", "ESTALE")
    if hasattr(errno, name)
)


class _Stoppable(TyperGroup):
    """Says that a command was stopped, if that one has not said it itself: Typer would end it without a word."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        with _told_when_stopped():
            return super().make_context(*args, **options)

    def invoke(self, *args: Any) -> Any:
        with _told_when_stopped():
            return super().invoke(*args)


@contextmanager
def _told_when_stopped() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        say("stopped")
        raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    name="attnviz",
    cls=_Stoppable,
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
    """Runs the command; a foreseen error is one line on stderr and exit code 1, as is what the computer lacks.

    A bug keeps its traceback.
    """
    # Of a home that cannot be written it warns in two lines, and works all the same.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    survive_any_name()
    with stopped_by_signals():
        try:
            with careful_stdout():
                _check_current_folder()
                app()
        except AttnVizError as error:
            say(str(error))
            sys.exit(1)
        except (OSError, MemoryError, RuntimeError) as error:
            words = _lacking(error) if isinstance(error, OSError) else _told_of_scarcity(error)
            if not words:
                raise
            say(words)
            sys.exit(1)
        except KeyboardInterrupt:
            say("stopped")
            sys.exit(INTERRUPTED)


def _told_of_scarcity(error: Exception) -> str:
    """What the machine has too little of, "" for a bug."""
    if str(error) == "can't start new thread":
        return (
            "the system lets no more threads start: it is out of memory, or at its limit of processes (ulimit -u); end "
            "what else runs"
        )
    if not isinstance(error, MemoryError):
        from detr_attnviz.memory import is_out_of_memory  # imports torch, which an error of its own has done before

        if not is_out_of_memory(error):
            return ""
    return "not enough memory for this: a smaller --shortest-px needs less, and --device cpu takes none of a GPU's"


def _lacking(error: OSError) -> str:
    """What the computer lacks, in words; none when it lacks nothing."""
    if "MPLCONFIGDIR" in str(error):  # matplotlib cannot be imported without a folder of its own
        return str(error)
    if error.errno not in _OF_THE_SYSTEM:
        return ""
    return f"{error.filename or 'a file'}: {reason_of(error)}; mend that, and run the same command again"


def _check_current_folder() -> None:
    """Raises: OutputError when it has been removed: no relative name means anything then."""
    try:
        os.getcwd()
    except OSError as error:
        raise OutputError(
            f"the current folder cannot be told ({reason_of(error)}), perhaps as it was removed: change to another one"
        ) from None
