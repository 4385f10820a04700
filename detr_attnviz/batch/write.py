"""The output folder: one writer, whole files or none, and nothing left over from a run that was killed.

Drafts are written into the hidden folder ``.attnviz``, by several threads at once, and take their place by renaming,
one after the other; so a killed run's drafts are found without searching the tree. Files are not forced to disk one
by one, which would cost more than drawing them: the manifest knows every file's size, and a resumed run writes again
what does not have it.
"""

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import TracebackType

from detr_attnviz.batch import names
from detr_attnviz.errors import OutputError
from detr_attnviz.files import BusyError, fault_of, locked, reason_of

WORK = ".attnviz"


class OutputFolder:
    """``with OutputFolder(root) as folder``: ``root`` is made, and belongs to this run alone until the end.

    With a ``mark`` such as "2-of-4" it is shared with runs whose marks have the same "-of-4"; ``others`` are the
    marks of those that were at work when this one came, known only where the file system ``has_locks``. ``settle`` is
    called then, before anybody else can come. A folder that was made and stayed empty goes again.

    Raises: OutputError when another run holds it or it cannot be written.
    """

    def __init__(
        self, root: Path, mark: str = "", *, settle: Callable[["OutputFolder"], None] = lambda folder: None
    ) -> None:
        self.root = root
        self.mark = mark
        self.has_locks = True
        self.others: frozenset[str] = frozenset()
        self._settle = settle
        self._prefix = f"{mark}." if mark else ""
        self._work = root / WORK
        self._counter = itertools.count()
        self._open = contextlib.ExitStack()
        self._made: list[Path] = []
        self._last_checked: Path | None = None

    def __enter__(self) -> "OutputFolder":
        self._made = [folder for folder in (self.root, *self.root.parents) if not os.path.exists(folder)]
        try:
            with gate(self.root):
                self.has_locks = hold(self._open, self._work / _lock_of(self.mark))
                self.others = at_work(self.root, but=self.mark)
                if not all(_are_kin(other, self.mark) for other in self.others):
                    raise OutputError(_busy(self.root))
                self._sweep_left_over()
                self._settle(self)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OutputError):
            self.sweep()
        self._close()

    def _close(self) -> None:
        self._open.close()
        with contextlib.suppress(OSError):  # another run may have come in by now, or a folder holds something
            for folder in (self._work, *self._made):
                folder.rmdir()

    def put(self, name: str, data: bytes) -> None:
        """Writes a file below the root, whole or not at all; replaces an older one.

        Raises: OutputError.
        """
        self.place(self.keep(name, data), name)

    def keep(self, name: str, data: bytes) -> Path:
        """Writes what is to be the file ``name`` as a draft; may be called from several threads at once.

        Raises: OutputError.
        """
        draft = self.draft()
        try:
            draft.write_bytes(data)
        except OSError as error:
            with contextlib.suppress(OSError):  # the next run sweeps it away
                draft.unlink(missing_ok=True)
            raise OutputError(f"cannot write {self.root / name}: {fault_of(error)}") from error
        return draft

    def place(self, draft: Path, name: str) -> None:
        """Gives a draft its name below the root; replaces an older file.

        Raises: OutputError.
        """
        goal = self.root / name
        self._check_stays_inside(goal)
        try:
            goal.parent.mkdir(parents=True, exist_ok=True)
            os.replace(draft, goal)
        except OSError as error:
            raise OutputError(f"cannot write {goal}: {fault_of(error)}") from error

    def draft(self) -> Path:
        """A name for a file that is not whole yet; what is left there is swept away at the end, or by the next run."""
        return self._work / f"{self._prefix}{next(self._counter)}.draft"

    def sweep(self) -> None:
        """Removes all drafts of this run.

        Raises: OutputError when one cannot be removed.
        """
        for left_over in self._drafts(self._prefix):
            self._remove(left_over)

    def _sweep_left_over(self) -> None:
        """Removes all drafts of runs that are no longer at work; without locks, of this one's mark only."""
        if not self.has_locks:
            self.sweep()
            return
        for draft in self._drafts():
            if mark_of(draft) not in self.others:
                self._remove(draft)

    def _drafts(self, prefix: str = "") -> list[Path]:
        try:
            return list(self._work.glob(f"{prefix}*.draft"))
        except OSError as error:
            raise OutputError(f"cannot read {self._work}: {reason_of(error)}") from error

    def has(self, name: str, size: int) -> bool:
        """Whether this file is there, with so many bytes; names that lead elsewhere are none of ours."""
        if ".." in Path(name).parts or os.path.isabs(name):
            return False
        try:
            found = os.stat(self.root / name)
        except (OSError, ValueError):
            return False
        return stat.S_ISREG(found.st_mode) and found.st_size == size

    def prune(self, location: str, keep: Collection[str]) -> None:
        """Removes the files of one picture that are not in ``keep``, whichever settings they were made with.

        Raises: OutputError when one cannot be removed.
        """
        own = self.root / location
        self._check_stays_inside(own / "any")
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

    def _check_stays_inside(self, path: Path) -> None:
        """Raises: OutputError when a folder between the root and ``path`` is a link: it may lead anywhere."""
        folder = path.parent
        if folder == self._last_checked:
            return
        while folder != self.root and folder != folder.parent:
            if os.path.islink(folder):
                raise OutputError(
                    f"{folder} is a link, and results never leave the output folder: remove it, or give another "
                    "output folder"
                )
            folder = folder.parent
        self._last_checked = path.parent

    def _remove(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot remove {path}, which no longer counts: {reason_of(error)}") from error


@contextlib.contextmanager
def gate(out: Path) -> Iterator[None]:
    """While the block runs, no run comes into an output folder, and nobody else is inside the gate; waits for its turn.

    A run that is at work goes on, and may come to its end meanwhile. Without locks it keeps nobody out.

    Raises: OutputError when nothing can be written there.
    """
    with contextlib.ExitStack() as stack:
        hold(stack, out / WORK / "gate", wait=True)
        yield


def at_work(out: Path, *, but: str | None = None) -> frozenset[str]:
    """The marks of the runs at work in an output folder; of none where there are no locks.

    To be asked inside the gate; who holds a lock there itself leaves it out by ``but``.
    """
    locks = (lock for lock in (out / WORK).glob("*lock") if but is None or lock.name != _lock_of(but))
    return frozenset(mark_of(lock) for lock in locks if _is_held(lock))


def mark_of(path: Path) -> str:
    """The mark of the shard that a file in the hidden folder belongs to; another word for a file of a single run."""
    return path.name.partition(".")[0]


def hold(stack: contextlib.ExitStack, lock: Path, *, wait: bool = False) -> bool:
    """Keeps ``lock``, which lies in a folder of its own below the output folder, until ``stack`` closes.

    Returns whether there are locks in this file system.

    Raises: OutputError when another run holds it, or it cannot be made.
    """
    out = lock.parent.parent
    if os.path.islink(lock.parent):
        raise OutputError(f"{lock.parent} is a link, where drafts would be lost: remove it")
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            return stack.enter_context(locked(lock, wait=wait))
        except FileNotFoundError:
            continue  # the last holder has just tidied up
        except BusyError:
            raise OutputError(_busy(out)) from None
        except OSError as error:
            raise OutputError(f"cannot write into {out}: {fault_of(error)}") from error


def _lock_of(mark: str) -> str:
    return f"{mark}.lock" if mark else "lock"


def _are_kin(mark: str, other: str) -> bool:
    """Whether they are shards of as many, which may be at work at once."""
    return "-of-" in mark and mark.partition("-of-")[2] == other.partition("-of-")[2]


def _is_held(lock: Path) -> bool:
    try:
        with locked(lock, wait=False):
            return False
    except BusyError:
        return True
    except OSError as error:
        raise OutputError(f"cannot write {lock}: {fault_of(error)}") from error


def _busy(out: Path) -> str:
    return f"another run is writing into {out}: wait until it ends, or give another output folder"


def is_refused_name(error: OutputError) -> bool:
    """Whether the file system refused this one name (too long, a letter it does not know), not writing as such."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENAMETOOLONG, errno.EILSEQ)
