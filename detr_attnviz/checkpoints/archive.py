"""Checks the directory of a zip archive before anything in it is believed.

Two programs may read one archive in two ways: an entry twice, one over another, a name in the directory that is not the
one beside the data. What torch writes has none of that, so all of it is refused here, and so are archives that would
grow without bounds.
"""

import io
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from detr_attnviz.checkpoints.asked import printable
from detr_attnviz.checkpoints.rehearsal import MOST_BYTES

MOST_DIRECTORY_BYTES = 1 << 24
"""Of the list of entries: about 100,000 tensors."""

_PICKLE = "data.pkl"
_ROOM_BYTES = 1 << 26
_ENCRYPTED, _UTF_8 = 0x1, 0x800
_SIGNATURE = b"PK\x03\x04"
_LOCAL = struct.Struct("<4s22xHH")
_END, _END_SIGNATURE = struct.Struct("<16xI2x"), b"PK\x05\x06"
_LOCATOR, _LOCATOR_SIGNATURE = struct.Struct("<8xQ4x"), b"PK\x06\x07"
_LARGE_END = struct.Struct("<48xQ")
_LONGEST_END = (1 << 16) + 200  # a comment, and the records before it


class ArchiveError(ValueError):
    """What is wrong with an archive, in words that follow its name."""


class MaskedError(ArchiveError):
    """An archive that is made to be read in two ways, or to swell."""


@dataclass(frozen=True)
class Archive:
    """``pickle`` is what torch unpickles, ``sizes`` are the bytes of its records by the names that storages have there.

    ``places`` are where those begin in the file. ``is_mappable`` when nothing is compressed: a map would show
    compressed bytes as numbers.
    """

    pickle: bytes
    sizes: Mapping[str, int]
    places: Mapping[str, int]
    is_mappable: bool


def open_archive(path: Path) -> Archive:
    """What a checkpoint's archive holds.

    Raises:
        MaskedError: it is not as torch writes them, in a way that harms.
        ArchiveError: it is an archive of another kind.
        zipfile.BadZipFile, OSError, and others of ``zipfile``'s: it is cut off or damaged.
    """
    with open(path, "rb") as file, zipfile.ZipFile(bounded := _Bounded(file)) as archive:
        members = archive.infolist()
        bounded.most_bytes = MOST_BYTES
        _check_kind(members)
        _check_names(members)
        _check_end(file, archive.start_dir)
        places = _checked_places(members, file, archive.start_dir)
        size_bytes = file.seek(0, io.SEEK_END)
        _check_growth(members, size_bytes)
        root, pickle = _pickle_of(members)
        if pickle.file_size > MOST_BYTES:
            raise ArchiveError(
                f"holds {pickle.file_size >> 20} MB of pickle beside the tensors; no detector has as much"
            )
        data = f"{root}/data/"
        records = {one.filename.removeprefix(data): one for one in members if one.filename.startswith(data)}
        is_stored = all(one.compress_type == zipfile.ZIP_STORED for one in members)
        return Archive(
            archive.read(pickle),
            {key: one.file_size for key, one in records.items()},
            {key: places[one.filename] for key, one in records.items()},
            is_stored,
        )


class _Bounded:
    """A file for ``zipfile``, which reads the whole list of entries at once, however long it claims to be."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.most_bytes = MOST_DIRECTORY_BYTES
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > self.most_bytes:
            raise ArchiveError(f"lists {size >> 20} MB of entries; no detector has as many")
        return self._file.read(self.most_bytes if size < 0 else size)


def _check_end(file: IO[bytes], directory: int) -> None:
    """The last record says where the list of entries is, and zipfile finds it there without moving anything."""
    size_bytes = file.seek(0, io.SEEK_END)
    file.seek(max(0, size_bytes - _LONGEST_END))
    tail = file.read(_LONGEST_END)
    at = tail.rfind(_END_SIGNATURE)
    told = _END.unpack_from(tail, at)[0]
    locator_at = at - _LOCATOR.size
    if locator_at >= 0 and tail.startswith(_LOCATOR_SIGNATURE, locator_at):
        record_at = locator_at - _LARGE_END.size
        told = _LARGE_END.unpack_from(tail, record_at)[0]
        if _LOCATOR.unpack_from(tail, locator_at)[0] != size_bytes - len(tail) + record_at:
            raise MaskedError("it ends in two ways")
    if told != directory:
        raise MaskedError("its list of entries is in two places")


def _check_kind(members: list[zipfile.ZipInfo]) -> None:
    names = {member.filename.rpartition("/")[2] for member in members}
    if "constants.pkl" in names:
        raise ArchiveError(
            "not a checkpoint but a TorchScript archive (a compiled program); "
            "save the original model's state_dict() instead"
        )
    if _PICKLE not in names:
        raise ArchiveError("not a checkpoint but another zip archive; unpack it first")


def _check_names(members: list[zipfile.ZipInfo]) -> None:
    seen: set[str] = set()
    for member in members:
        name, folded = member.orig_filename, member.orig_filename.casefold()
        if folded in seen:  # torch looks for names in any case
            raise MaskedError(f"the entry {printable(name)} is there twice")
        seen.add(folded)
        if name.startswith("/") or ".." in name.split("/") or set(name) & set("\\:\0"):
            raise MaskedError(f"the entry {printable(name)} leads out of the archive")
        if member.flag_bits & _ENCRYPTED:
            raise ArchiveError("is encrypted; save it without a password")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ArchiveError("is compressed in another way than zip's usual one; save it again with torch.save")


def _checked_places(members: list[zipfile.ZipInfo], file: IO[bytes], directory: int) -> dict[str, int]:
    """Where the data of each begins: one after another, each behind a header with the name that the directory has."""
    end, before, places = 0, "the start", {}
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.header_offset < end:
            raise MaskedError(f"the entry {printable(member.filename)} overlaps {printable(before)}")
        file.seek(member.header_offset)
        signature, name_bytes, extra_bytes = _LOCAL.unpack(file.read(_LOCAL.size))
        name = file.read(name_bytes)
        if signature != _SIGNATURE or name != member.orig_filename.encode(_code_of(member)):
            raise MaskedError(f"the entry {printable(member.filename)} has another name beside its data")
        places[member.filename] = member.header_offset + _LOCAL.size + name_bytes + extra_bytes
        end, before = places[member.filename] + member.compress_size, member.filename
        if member.compress_type == zipfile.ZIP_STORED and member.compress_size != member.file_size:
            raise MaskedError(f"the entry {printable(member.filename)} has two sizes")
    if end > directory:
        raise MaskedError(f"the entry {printable(before)} overlaps the list of entries")
    return places


def _code_of(member: zipfile.ZipInfo) -> str:
    """How the archive says that this name is written."""
    return "utf-8" if member.flag_bits & _UTF_8 else "cp437"


def _check_growth(members: list[zipfile.ZipInfo], size_bytes: int) -> None:
    unpacked = sum(member.file_size for member in members)
    if unpacked > 2 * size_bytes + _ROOM_BYTES:
        raise MaskedError(
            f"its {max(size_bytes >> 20, 1):,} MB would unpack to {unpacked >> 20:,} MB, which weights never do"
        )


def _pickle_of(members: list[zipfile.ZipInfo]) -> tuple[str, zipfile.ZipInfo]:
    """The one folder in the archive, and the pickle in it."""
    found = [member for member in members if member.filename.rpartition("/")[2] == _PICKLE]
    root = found[0].filename.rpartition("/")[0]
    if len(found) > 1 or not root or any(not member.filename.startswith(f"{root}/") for member in members):
        raise MaskedError(f"its entries are not in one folder with one {_PICKLE}")
    return root, found[0]
