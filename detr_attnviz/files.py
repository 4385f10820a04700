"""Files that are whole or not there, one writer at a time, and the operating system's reasons in plain words."""

import contextlib
import errno
import os
import secrets
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from detr_attnviz.errors import OutputError

POLL_S = 0.1
_BUSY = frozenset({errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK})
_NO_LOCKS_HERE = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL})
_LOCK_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_ADVICE = {
    errno.ENOSPC: "make room, and run the same command again",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f), and run the same command again",
    errno.EROFS: "give a place that can be written",
    errno.EACCES: "give a place that can be written",
    errno.ENAMETOOLONG: "give a shorter name",
}


class BusyError(OutputError):
    """Somebody else holds the lock."""


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Puts ``data`` at ``path`` as a whole: a new file beside it takes its name only when everything is on disk.

    Raises: OutputError when that fails; nothing is left behind, and an older file stays as it was.
    """
    with whole(path) as draft:
        draft.write_bytes(data)


@contextlib.contextmanager
def whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A draft beside ``path``, empty, with its suffix, that takes its name when the block ends well and goes otherwise.

    The file gets the mode that the umask asks for, also if the block replaces the draft by a file of another mode.

    Raises: OutputError when the folder is not there, or when the block or the file system fails with an OSError.
    """
    goal = Path(path)
    draft = None
    try:
        if os.path.isdir(goal):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(goal))
        check_is_plain(goal, may_be_link=True)  # a link gives way to the file; what it leads to stays
        draft, mode = _new_draft(goal)
        yield draft
        _give_mode(draft, mode)
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(draft, goal)
    except OSError as error:
        raise OutputError(f"cannot write {goal}: {_reason_at(error, goal)}") from error
    finally:
        if draft is not None:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[bool]:
    """Holds the lock file ``path`` while the block runs; the operating system frees it however its holder ends.

    File systems without locks (some clusters') go without; the block is told whether it really holds one.

    Raises: BusyError when somebody else holds it and ``wait`` is False; OSError when it cannot be made.
    """
    file, is_real = _acquire(path, wait)
    try:
        yield is_real
    finally:
        with contextlib.suppress(OSError):  # Windows keeps a file that is open
            path.unlink()
        os.close(file)


def no_file_at(path: str | os.PathLike[str], *, may_be_pipe: bool = False) -> str | None:
    """Why there is no regular file to read at ``path``, None if there is one.

    What is no file is never opened: a pipe would keep its reader waiting, and a device might have no end.
    ``may_be_pipe`` is for a reader that does not wait.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist"
    except (OSError, ValueError) as error:
        return f"cannot be looked at ({getattr(error, 'strerror', None) or error})"
    if stat.S_ISDIR(mode):
        return "is a folder"
    if stat.S_ISFIFO(mode):
        return None if may_be_pipe else "is a pipe, not a file"
    return None if stat.S_ISREG(mode) else "is a device or socket, not a file"


def check_is_plain(path: Path, *, may_be_link: bool = False) -> None:
    """That what has this name, if anything has, is a file: no pipe that waits for ever, no device, and no link.

    Raises: OutputError.
    """
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return  # nothing there, or opening it says why
    if stat.S_ISLNK(mode) and not may_be_link:
        raise OutputError(f"{path} is a link, through which nothing is written: remove it, or give another output")
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
        raise OutputError(f"{path} is no file but a pipe, socket or device: move it away, or give another output")


def is_one_of(path: Path, others: Iterable[str | os.PathLike[str]]) -> bool:
    """Whether ``path`` is there and the same file as one of ``others``, by whichever names and links."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return False
    return any(_is_same(found, other) for other in others)


def reason_of(error: OSError) -> str:
    """The operating system's words; plainer ones where a file is in a folder's place."""
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return "a file has the name that a folder needs"
    return (error.strerror or str(error)).lower()


def fault_of(error: OSError) -> str:
    """The reason why a result could not be written, and what to do about it where that is known."""
    advice = _ADVICE.get(error.errno or 0)
    return f"{reason_of(error)}; {advice}" if advice else reason_of(error)


def _is_same(found: os.stat_result, other: str | os.PathLike[str]) -> bool:
    try:
        return os.path.samestat(found, os.stat(other))
    except (OSError, ValueError):
        return False


def _new_draft(goal: Path) -> tuple[Path, int]:
    """A file that was not there before, and its mode; random, as containers on a shared folder share process ids."""
    while True:
        # Short and without the goal's name: a name near the file system's limit leaves no room for more.
        draft = goal.parent / f".attnviz-{secrets.token_hex(6)}{goal.suffix}"
        with contextlib.suppress(FileExistsError), draft.open("xb") as file:
            return draft, stat.S_IMODE(os.fstat(file.fileno()).st_mode)


def _give_mode(draft: Path, mode: int) -> None:
    if stat.S_IMODE(draft.stat().st_mode) != mode:
        with contextlib.suppress(OSError):  # some file systems have no modes
            draft.chmod(mode)


def _reason_at(error: OSError, goal: Path) -> str:
    if not isinstance(error, PermissionError) and not os.path.isdir(goal.parent):
        return f"the folder {goal.parent} does not exist; make it first"
    if os.path.isdir(goal):
        return "a folder has this name; give a file's name"
    return fault_of(error)


def _acquire(path: Path, wait: bool) -> tuple[int, bool]:
    """The open file, and whether it is really locked."""
    while True:
        file = os.open(path, _LOCK_FLAGS, 0o644)
        lock = _try_lock(file)
        if lock != "theirs" and _is_still(file, path):
            return file, lock == "ours"
        os.close(file)
        if lock == "theirs":
            if not wait:
                raise BusyError(f"{path} is held by another run")
            time.sleep(POLL_S)


def _is_still(file: int, path: Path) -> bool:
    """A holder unlinks the file before it lets go: a lock on the unlinked one excludes nobody."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except OSError:
        return False


def _try_lock(file: int) -> Literal["ours", "theirs", "none here"]:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _BUSY:
            return "theirs"
        if error.errno in _NO_LOCKS_HERE:
            return "none here"
        os.close(file)
        raise
    return "ours"
