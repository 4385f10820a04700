"""The output folder: one writer, whole files or none, and nothing left over from a run that was killed.

Drafts are written into the hidden folder ``.attnviz`` and take their place by renaming, so that a killed run's
drafts are found without searching the tree. Files are not forced to disk one by one, which would cost more than
drawing them: the manifest knows every file's size, and a resumed run writes again what does not have it.
"""

import contextlib
import errno
import itertools
import os
from collections.abc import Collection
from pathlib import Path
from types import TracebackType

from detr_attnviz.batch import names
from detr_attnviz.errors import OutputError
from detr_attnviz.files import BusyError, locked, reason_of

_WORK = ".attnviz"


class OutputFolder:
    """``with OutputFolder(root) as folder``: ``root`` is made, and belongs to this run alone until the end.

    A folder that was made and stayed empty goes again.

    Raises: OutputError when another run holds it or it cannot be written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._work = root / _WORK
        self._counter = itertools.count()
        self._open = contextlib.ExitStack()
        self._made: list[Path] = []

    def __enter__(self) -> "OutputFolder":
        self._made = [folder for folder in (self.root, *self.root.parents) if not os.path.exists(folder)]
        hold(self._open, self._work / "lock")
        try:
            for left_over in self._work.glob("*.draft"):
                self._remove(left_over)
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
        with contextlib.suppress(OSError):  # another run may have come in by now, or a folder holds something
            for folder in (self._work, *self._made):
                folder.rmdir()

    def put(self, name: str, data: bytes) -> None:
        """Writes a file below the root, whole or not at all; replaces an older one.

        Raises: OutputError.
        """
        goal = self.root / name
        draft = self.draft()
        try:
            draft.write_bytes(data)
            goal.parent.mkdir(parents=True, exist_ok=True)
            os.replace(draft, goal)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise OutputError(f"cannot write {goal}: {reason_of(error)}") from error
        except BaseException:
            draft.unlink(missing_ok=True)
            raise

    def draft(self) -> Path:
        """A name for a file that is not whole yet; what is left there is swept away by the next run."""
        return self._work / f"{next(self._counter)}.draft"

    def has(self, name: str, size: int) -> bool:
        """Whether this file is there, with so many bytes."""
        try:
            return os.stat(self.root / name).st_size == size
        except (OSError, ValueError):
            return False

    def prune(self, location: str, keep: Collection[str]) -> None:
        """Removes the files of one picture that are not in ``keep``, whichever settings they were made with.

        Raises: OutputError when one cannot be removed.
        """
        own = self.root / location
        try:
            in_own = [f"{location}/{name}" for name in os.listdir(own) if names.is_map_file(name)]
        except OSError:
            in_own = []
        for name in (*in_own, *names.image_files(location)):
            if name not in keep and os.path.isfile(self.root / name):
                self._remove(self.root / name)
        if in_own:
            with contextlib.suppress(OSError):  # it still holds something
                own.rmdir()

    def _remove(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot remove {path}, which no longer counts: {reason_of(error)}") from error


def hold(stack: contextlib.ExitStack, lock: Path) -> None:
    """Keeps ``lock``, which lies in a folder of its own below the output folder, until ``stack`` closes.

    Raises: OutputError when another run holds it, or it cannot be made.
    """
    out = lock.parent.parent
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(lock, wait=False))
            return
        except FileNotFoundError:
            continue  # the last holder has just tidied up
        except BusyError:
            raise OutputError(
                f"another run is writing into {out}: wait until it ends, or give another output folder"
            ) from None
        except OSError as error:
            raise OutputError(f"cannot write into {out}: {reason_of(error)}") from error


def is_refused_name(error: OutputError) -> bool:
    """Whether the file system refused this one name (too long, a letter it does not know), not writing as such."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENAMETOOLONG, errno.EILSEQ)
