"""Finds where a checkpoint lies that a user named: by a known name, or by the path of a file or folder."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from detr_attnviz.checkpoints import zoo
from detr_attnviz.errors import CheckpointError

if TYPE_CHECKING:
    from detr_attnviz.checkpoints.fetch import Progress

ENVIRONMENT_VARIABLE = "ATTNVIZ_CHECKPOINT"
_DEFAULT = "detr-r50"


def default_source() -> tuple[str, str]:
    """The checkpoint used when none is named, and a sentence that says why it is that one."""
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen:
        return chosen, f"checkpoint {chosen}, from ${ENVIRONMENT_VARIABLE}"
    if zoo.is_on_disk(_DEFAULT):
        return _DEFAULT, f"checkpoint {_DEFAULT}, found on disk; -c chooses another"
    return zoo.DEMO, (
        "demo weights, which know drawn shapes only; for photographs: "
        f"attnviz checkpoints download {_DEFAULT}, or -c YOUR_CHECKPOINT"
    )


def needs_fetching(source: str) -> bool:
    """Whether ``source`` is a known name whose checkpoint is not on disk yet."""
    return source in known_names() and source != zoo.DEMO and not zoo.is_on_disk(source)


def locate(source: str | Path, *, may_fetch: bool = True, progress: "Progress | None" = None) -> tuple[str, Path]:
    """The name to show for a checkpoint, and where it lies.

    A text that is a known name means that name, whatever lies in the current folder; ``./demo`` means the file or
    folder. A ``Path`` means a file or folder first. With ``may_fetch`` a known checkpoint that is not on disk is
    fetched; ``progress`` is called as in ``zoo.download``.

    Raises:
        CheckpointError: nothing is there (known names are listed), it may not be looked at, or it is not on disk and
            may not be fetched.
        DownloadError: it could not be fetched whole.
    """
    name = str(source)
    if name in known_names() and not (isinstance(source, Path) and _is_there(source)):
        return name, _known(name, may_fetch, progress)
    path = _expanded(name)
    if not name or not _is_there(path):
        raise CheckpointError(
            f"{name or repr(name)}: no such file or folder, and no known name; "
            f"known names are {', '.join(known_names())}"
        )
    is_shorthand = path.name in ("", "..")  # "." and ".." name no folder
    return path.resolve().name if is_shorthand else path.name, path


def known_names() -> tuple[str, ...]:
    """Every name that stands for a checkpoint: the one in the package first, then the official ones."""
    return (zoo.DEMO, *(entry.name for entry in zoo.known()))


def _known(name: str, may_fetch: bool, progress: "Progress | None") -> Path:
    if name == zoo.DEMO:
        return zoo.DEMO_PATH
    if may_fetch or zoo.is_on_disk(name):
        return zoo.download(name, progress=progress)
    here = f"; the one in this folder is ./{name}" if _is_there(Path(name)) else ""
    raise CheckpointError(f"{name} is not on disk; fetch it with: attnviz checkpoints download {name}{here}")


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # no such user's home
        return Path(name)


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except PermissionError as error:
        raise CheckpointError(f"{path}: cannot be looked at ({error.strerror}); give it read permission") from None
    except (OSError, ValueError):
        return False
    return True
