"""The sha256 of a checkpoint, worked out beside whatever else has to be done before it is asked for, and once only."""

import contextlib
import hashlib
import threading
from pathlib import Path

from detr_attnviz.checkpoints.folder import weight_files
from detr_attnviz.checkpoints.kinds import file_size, unreadable
from detr_attnviz.errors import CheckpointError

_BLOCK_BYTES = 1 << 23
_begun: dict[Path, "_Hashing"] = {}


def begin_sha256(path: str | Path) -> None:
    """Starts on the hash in a thread; the next ``sha256_of`` the same path waits for it, and meets its fault if any."""
    path = Path(path)
    hashing = _begun.get(path)
    if hashing is None or hashing.state != _state_of(path):
        _begun[path] = _Hashing(path)


def sha256_of(path: str | Path) -> str:
    """The sha256 of a checkpoint, 64 hex digits; of a folder, over its weight files one after the other.

    Raises:
        CheckpointError: it cannot be read.
    """
    path = Path(path)
    begin_sha256(path)
    hashing = _begun[path]
    hashing.join()
    if not hashing.found:
        del _begun[path]
    return hashing.found or _sha256(path)


class _Hashing(threading.Thread):
    def __init__(self, path: Path) -> None:
        super().__init__(name="checkpoint sha256", daemon=True)
        self.path = path
        self.state = _state_of(path)
        self.found = ""
        self.start()

    def run(self) -> None:
        with contextlib.suppress(CheckpointError):
            self.found = _sha256(self.path)


def _state_of(path: Path) -> tuple[int, ...]:
    """By what a changed checkpoint is known; empty for one that cannot be read."""
    try:
        found = [part.stat() for part in _parts(path)]
    except (CheckpointError, OSError):
        return ()
    return tuple(number for one in found for number in (one.st_size, one.st_mtime_ns))


def _parts(path: Path) -> list[Path]:
    return weight_files(path) if path.is_dir() else [path]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    # Large blocks: a thread beside a busy interpreter waits for its turn after every one of them.
    block = memoryview(bytearray(_BLOCK_BYTES))
    for part in _parts(path):
        file_size(part)
        try:
            with open(part, "rb", buffering=0) as file:
                while size := file.readinto(block):
                    digest.update(block[:size])
        except OSError as error:
            raise unreadable(part, error) from None
    return digest.hexdigest()
