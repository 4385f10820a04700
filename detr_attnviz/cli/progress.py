"""Progress bars on stderr, shown only to a person at a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def download_progress() -> Iterator[Callable[[int, int | None], None]]:
    """A bar that appears with the first bytes: the callback takes (bytes so far, bytes in all or None)."""
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
    task = bar.add_task("download", total=None)

    def show(done: int, total: int | None) -> None:
        if not bar.live.is_started and bar.console.is_terminal:
            bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()
