"""Shards: several runs, started by a job array, that share the pictures and one output folder.

A shard notes its lines in a file of its own below the hidden folder ``.attnviz``, such as ``2-of-4.jsonl``. Who comes
in first moves the notes of all who are no longer at work into ``manifest.jsonl``, oldest first: what it notes itself
from then on is newer, whatever pictures its share holds. The last that leaves does the same and puts the manifest in
order. Where the file system has no locks nobody knows who is at work: there notes stay until a run without shards.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from detr_attnviz.batch.images import Picture
from detr_attnviz.batch.manifest import Manifest
from detr_attnviz.batch.names import MANIFEST
from detr_attnviz.batch.write import WORK, OutputFolder, at_work, gate, mark_of
from detr_attnviz.errors import ChoiceError, OutputError
from detr_attnviz.files import reason_of

_MOST = 1_000_000
_ANY_NOTES = "*-of-*.jsonl"


@dataclass(frozen=True, slots=True)
class Shard:
    """One of ``count`` equal shares; ``number`` counts from 1.

    Raises: ChoiceError for a number that is not among them.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ChoiceError(f"no shard {self.number} of {self.count}: give I/N with I from 1 to N, such as 2/4")
        if self.count > _MOST:
            raise ChoiceError(f"no shard {self.number} of {self.count}: there may be {_MOST:,} at most, such as 2/4")

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """``"2/4"`` as the second of four shards.

        Raises: ChoiceError.
        """
        number, slash, count = text.partition("/")
        if not (slash and number.isascii() and number.isdecimal() and count.isascii() and count.isdecimal()):
            raise ChoiceError(f"{text!r} is no shard: give I/N, the number of this one and of all, such as 2/4")
        if len(count) > len(str(_MOST)) or len(number) > len(str(_MOST)):  # int() refuses thousands of digits
            raise ChoiceError(f"no shard {text:.20}…: there may be {_MOST:,} at most, such as 2/4")
        return cls(int(number), int(count))

    @property
    def mark(self) -> str:
        """How files of this shard are called; those of one set of shards end alike."""
        return f"{self.number}-of-{self.count}"

    def share(self, pictures: Iterator[Picture]) -> Iterator[Picture]:
        """Every ``count``-th picture, from this shard's first on."""
        return islice(pictures, self.number - 1, None, self.count)

    def size(self, total: int) -> int:
        """How many of ``total`` pictures that makes."""
        return max(0, total - self.number + self.count) // self.count


@contextmanager
def opened(out: Path, shard: Shard | None) -> Iterator[tuple[OutputFolder, Manifest]]:
    """The output folder and the manifest, with all that earlier runs noted, for a whole run or one shard.

    When the block ends well, the manifest is put in order; after shards, by the last that leaves.

    Raises: OutputError when another run is writing there that may not at the same time, or when writing fails.
    """
    mark = "" if shard is None else shard.mark
    with OutputFolder(out, mark, settle=_settle) as folder, Manifest(out / MANIFEST) as manifest:
        if shard is None:
            yield folder, manifest
            manifest.finish(folder.draft())
        else:
            with Manifest(out / WORK / f"{mark}.jsonl", before=manifest) as notes:
                yield folder, notes
    if shard is not None and folder.has_locks:
        _leave(out)


def _settle(folder: OutputFolder) -> None:
    """Takes over what those have noted who are no longer at work."""
    if folder.has_locks or not folder.mark:
        notes = [path for path in _notes(folder.root) if mark_of(path) not in folder.others]
        if notes:
            _take_over(folder.root, notes, in_order=not folder.others)


def _leave(out: Path) -> None:
    """Moves all notes into the manifest and puts it in order, unless others are still at work."""
    if not os.path.exists(out / MANIFEST) and not any((out / WORK).glob(_ANY_NOTES)):
        return
    with gate(out):
        if not at_work(out):
            _take_over(out, _notes(out), in_order=True)
    with suppress(OSError):  # somebody is there, or has something there to go on with
        (out / WORK).rmdir()


def _notes(out: Path) -> list[Path]:
    """Oldest first."""
    return sorted((out / WORK).glob(_ANY_NOTES), key=lambda path: path.lstat().st_mtime_ns)


def _take_over(out: Path, notes: list[Path], *, in_order: bool) -> None:
    """Moves lines into the manifest; cut short at any moment, it can be done again.

    While others read the manifest, lines may only be appended: ``in_order`` is False.
    """
    with Manifest(out / MANIFEST) as manifest:
        for path in notes:
            with Manifest(path) as noted:
                manifest.absorb(noted)
        if in_order:
            manifest.finish(out / WORK / "taken_over.draft")
    try:
        for path in notes:
            path.unlink()
    except OSError as error:
        raise OutputError(f"cannot remove {path}, whose lines are in the manifest: {reason_of(error)}") from error
