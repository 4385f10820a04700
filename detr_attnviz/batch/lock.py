"""One writer at a time: a lock that the operating system frees when its holder ends, however it ends."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from detr_attnviz.errors import OutputError

_BUSY = frozenset({errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK})
_NO_LOCKS_HERE = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL})


@contextlib.contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Holds the lock file ``path`` while the block runs. File systems without locks (some clusters') go without.

    Raises: OutputError when somebody else holds it, or it cannot be made.
    """
    file = _acquire(path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows keeps a file that is open
            path.unlink()
        os.close(file)


def _acquire(path: Path) -> int:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        except FileNotFoundError:
            continue  # the last holder has just tidied up
        except OSError as error:
            raise OutputError(f"cannot write into {path.parent.parent}: {reason_of(error)}") from error
        if not _try_lock(file):
            os.close(file)
            raise OutputError(
                f"another run is writing into {path.parent.parent}: wait until it ends, or give another output folder"
            )
        if _is_still(file, path):
            return file
        os.close(file)


def reason_of(error: OSError) -> str:
    """The operating system's words; plainer ones where a file is in a folder's place."""
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return "a file has the name that a folder needs"
    return (error.strerror or str(error)).lower()


def _is_still(file: int, path: Path) -> bool:
    """A holder unlinks the file before it lets go: a lock on the unlinked one excludes nobody."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except OSError:
        return False


def _try_lock(file: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _BUSY:
            return False
        if error.errno not in _NO_LOCKS_HERE:
            raise OutputError(f"the output folder cannot be locked: {reason_of(error)}") from error
    return True
