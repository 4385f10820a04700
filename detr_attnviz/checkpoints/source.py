"""Finds where a checkpoint lies that a user named: by a known name, a path, or a name of the Hugging Face Hub."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from detr_attnviz.checkpoints import hub, zoo
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
    """Whether ``source`` is a known name whose checkpoint is not on disk yet, or one that the Hub is asked about."""
    is_known = source in known_names() and source != zoo.DEMO
    return not zoo.is_on_disk(source) if is_known else hub.is_hub_name(source)


def locate(source: str | Path, *, may_fetch: bool = True, progress: "Progress | None" = None) -> tuple[str, Path]:
    """The name to show for a checkpoint, and where it lies.

    A text that is a known name means that name, whatever lies in the current folder; ``./demo`` means the file or
    folder. A ``Path`` means a file or folder first. ``owner/name`` is a model of the Hugging Face Hub if nothing in
    the current folder is called so. With ``may_fetch`` a checkpoint that is not on disk is fetched; ``progress`` is
    called as in ``zoo.download``.

    Raises:
        CheckpointError: nothing is there (known names are listed), it may not be looked at, or it is not on disk and
            may not be fetched.
        DownloadError: it could not be fetched whole.
        MissingExtraError: a name of the Hub, whose package is not installed.
    """
    name = str(source)
    if name in known_names() and not (isinstance(source, Path) and _is_there(source)):
        return name, _known(name, may_fetch, progress)
    if hub.is_hub_name(name) and not isinstance(source, Path):
        return name, _of_hub(name, may_fetch)
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


def _of_hub(name: str, may_fetch: bool) -> Path:
    folder = hub.fetched_folder(name) if may_fetch else hub.cached_folder(name)
    if folder is None:
        raise CheckpointError(
            f"{name}: no such file or folder, nor fetched from the Hugging Face Hub: hf download {name}"
        )
    return folder


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
