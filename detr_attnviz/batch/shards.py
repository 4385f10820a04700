"""Shards: several runs, started by a job array, that share the pictures and one output folder.

A shard notes its lines in a file of its own, below the hidden folder ``.attnviz``: ``2-of-4.part.jsonl``, which is
called ``2-of-4.jsonl`` once it has come to its end. The last shard that leaves moves the lines of those that ended
into ``manifest.jsonl``, which nobody else touches meanwhile. What a shard that was killed has noted waits there for
the same shard to go on, or for a run without shards, which takes over everything first.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from detr_attnviz.batch.images import Picture
from detr_attnviz.batch.manifest import Manifest
from detr_attnviz.batch.names import MANIFEST
from detr_attnviz.batch.write import WORK, OutputFolder, gate, is_in_use
from detr_attnviz.errors import ChoiceError, OutputError
from detr_attnviz.files import reason_of

_PART, _ENDED = ".part.jsonl", ".jsonl"


@dataclass(frozen=True, slots=True)
class Shard:
    """One of ``count`` equal shares; ``number`` counts from 1.

    Raises: ChoiceError for a number that is not among them.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ChoiceError(f"no shard {self.number} of {self.count}: shards are 1/{self.count} to N/N, such as 2/4")

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """``"2/4"`` as the second of four shards.

        Raises: ChoiceError.
        """
        number, slash, count = text.partition("/")
        if not (slash and number.isascii() and number.isdecimal() and count.isascii() and count.isdecimal()):
            raise ChoiceError(f"{text!r} is no shard: give I/N, the number of this one and of all, such as 2/4")
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
    if shard is None:
        with OutputFolder(out) as folder:
            _take_over(out, _notes(out))
            with Manifest(out / MANIFEST) as manifest:
                yield folder, manifest
                manifest.finish(folder.draft())
        return
    part, ended = (out / WORK / (shard.mark + ending) for ending in (_PART, _ENDED))
    with OutputFolder(out, shard.mark) as folder:
        with gate(out):
            _take_over(out, [path for path in _notes(out) if f"-of-{shard.count}." not in path.name])
        _rename(ended, part)  # it came to its end before, and goes on
        with Manifest(out / MANIFEST) as before, Manifest(part, before=before) as manifest:
            yield folder, manifest
        _rename(part, ended)
    _leave(out)


def _leave(out: Path) -> None:
    """Moves the lines of shards that ended into the manifest, unless others are still at work."""
    if not _notes(out):
        return
    with gate(out):
        if not is_in_use(out):
            _take_over(out, [path for path in _notes(out) if not path.name.endswith(_PART)])
    with suppress(OSError):  # somebody is there, or has something there to go on with
        (out / WORK).rmdir()


def _notes(out: Path) -> list[Path]:
    return sorted((out / WORK).glob(f"*-of-*{_ENDED}"))


def _take_over(out: Path, notes: list[Path]) -> None:
    """Moves lines into the manifest; cut short at any moment, it can be done again."""
    if not notes:
        return
    with Manifest(out / MANIFEST) as manifest:
        for path in notes:
            with Manifest(path) as noted:
                manifest.absorb(noted)
        manifest.finish(out / WORK / "taken_over.draft")
    for path in notes:
        path.unlink()


def _rename(old: Path, new: Path) -> None:
    try:
        old.rename(new)
    except FileNotFoundError:
        pass  # it noted nothing
    except OSError as error:
        raise OutputError(f"cannot write {new}: {reason_of(error)}") from error
