"""`attnviz checkpoints`: the known checkpoints, which of them are on disk, and fetching one."""

from typing import Annotated

import typer

from detr_attnviz.cli.messages import say

AsJson = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON on stdout and nothing else there.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A name from the list, such as detr-r50.")]

checkpoints_app = typer.Typer(invoke_without_command=True, help="List the known checkpoints, or fetch one.")


@checkpoints_app.callback()
def list_checkpoints(context: typer.Context, as_json: AsJson = False) -> None:
    """List the known checkpoints and which of them are on disk."""
    if context.invoked_subcommand is not None:
        if as_json:
            command = f"attnviz checkpoints {context.invoked_subcommand} NAME --json"
            raise typer.BadParameter(f"--json would have no effect here; put it behind: {command}")
        return
    from detr_attnviz.checkpoints.zoo import known
    from detr_attnviz.cli import checkpoints_report

    if as_json:
        checkpoints_report.print_list(known())
    else:
        checkpoints_report.print_table(known())


@checkpoints_app.command()
def download(name: Name, as_json: AsJson = False) -> None:
    """Fetch a known checkpoint: once, verified; the next call continues a cut download and replaces a damaged file."""
    from detr_attnviz.checkpoints import zoo
    from detr_attnviz.checkpoints.digest import sha256_of
    from detr_attnviz.cli import checkpoints_report
    from detr_attnviz.cli.progress import download_progress

    if name == zoo.DEMO:
        say("demo comes with the package and needs no download")
        checkpoints_report.print_downloaded(name, zoo.DEMO_PATH, as_json=as_json)
        return
    was_there = zoo.is_on_disk(name)
    is_damaged = was_there and not zoo.is_genuine(zoo.local_path(name), sha256_of(zoo.local_path(name)))
    if is_damaged:
        say(f"{name} was on disk, but cut off or damaged: it is fetched anew")
    with download_progress() as progress:
        path = zoo.download(name, progress=progress, replaces=is_damaged)
    if was_there and not is_damaged:
        say(f"{name} was on disk already, whole")
    checkpoints_report.print_downloaded(name, path, as_json=as_json)
