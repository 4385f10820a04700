"""Progress bars on stderr, shown only to a person at a terminal."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@contextmanager
def download_progress() -> Iterator[Callable[[int, int | None], None]]:
    """A bar that appears with the first bytes: the callback takes (bytes so far, bytes in all or None)."""
    with ExitStack() as open_bar:
        bar, task = None, None

        def show(done: int, total: int | None) -> None:
            nonlocal bar, task
            if bar is None or task is None:
                bar, task = _bar()
                if bar.console.is_terminal:
                    bar.start()
                    open_bar.callback(bar.stop)
            bar.update(task, completed=done, total=total)

        yield show


def _bar() -> "tuple[Progress, TaskID]":
    """Made with the first bytes only: most commands fetch nothing and need not wait for the import."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    return bar, bar.add_task("download", total=None)
