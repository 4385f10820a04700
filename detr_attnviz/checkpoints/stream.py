"""Checks what PyTorch wrote before its zip format: pickles one after another, then the storages' raw numbers.

The oldest format of all was a tar archive of such pickles; it is not read, but looked through for what it asks for.
"""

import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, TypeGuard

from detr_attnviz.checkpoints.asked import printable
from detr_attnviz.checkpoints.claims import MisleadingError
from detr_attnviz.checkpoints.rehearsal import Rehearsal, rehearse

_MAGIC = 0x1950A86A20F9469CFC6C
_TAR_MARK, _TAR_MARK_AT = b"ustar", 257
_PICKLES = 4  # the magic number, the format's version, facts of the machine, the content
_MOST_MEMBERS = 100


def is_tar(path: Path) -> bool:
    """Whether it is a tar archive by its mark."""
    with open(path, "rb") as file:
        file.seek(_TAR_MARK_AT)
        return file.read(len(_TAR_MARK)) == _TAR_MARK


def rehearse_stream(path: Path) -> tuple[Rehearsal, ...]:
    """The pickles that torch would read, up to the first that is in trouble or asks for more than plain weights.

    One alone if torch did not write the file.

    Raises:
        MisleadingError: the numbers behind the pickles are not those that the tensors claim.
    """
    with open(path, "rb") as file:
        first = rehearse(file)
        if first.trouble or first.asked or not isinstance(first.result, int) or first.result != _MAGIC:
            return (first,)
        played = [first]
        while len(played) <= _PICKLES and not (played[-1].trouble or played[-1].asked):
            played.append(rehearse(file))
        if len(played) > _PICKLES and not (played[-1].trouble or played[-1].asked):
            _check_numbers(file, path.stat().st_size, played[_PICKLES - 1], played[_PICKLES].result)
    return tuple(played)


def asked_in_tar(path: Path) -> tuple[str, ...]:
    """The names that the pickles in a tar archive ask Python for, sorted."""
    with tarfile.open(path, "r:") as archive:
        files = (archive.extractfile(member) for member in islice(archive, _MOST_MEMBERS) if member.isfile())
        return tuple(sorted({name for file in files if file is not None for name in _asked(file)}))


def _asked(file: IO[bytes]) -> Iterator[str]:
    """By pickle after pickle, until something else comes."""
    for _ in range(_MOST_MEMBERS):
        played = rehearse(file)
        yield from played.asked
        if played.trouble:
            return


def _check_numbers(file: IO[bytes], size_bytes: int, content: Rehearsal, keys: object) -> None:
    """Each storage's number of items stands before them; they lie in the order of ``keys``.

    Raises: MisleadingError, also when a storage never comes: its tensors would show whatever lies in memory.
    """
    if not _are_texts(keys) or sorted(keys) != sorted(content.storages):
        raise MisleadingError("the storages that are there are not those that its tensors name")
    for storage in (content.storages[key] for key in keys):
        name, found = printable(storage.key), int.from_bytes(file.read(8), "little", signed=True)
        if found != storage.items:
            raise MisleadingError(f"storage {name} holds {found:,} items, and its tensors claim {storage.items:,}")
        if file.seek(storage.size_bytes, 1) > size_bytes:
            raise EOFError(f"ends within storage {name}")


def _are_texts(keys: object) -> TypeGuard[list[str]]:
    return isinstance(keys, list) and all(isinstance(key, str) for key in keys)
