"""``manifest.jsonl``: one line for every file, and for every picture that gave none.

While a run goes on, a picture's lines are appended in one piece when all its files are in place; before files that
have lines are touched, a line with ``"parts": 0`` takes the old ones back. So whatever moment a run is killed at,
the lines that count are true: a picture's last lines, if they are whole (``part`` 1 to ``parts``). At the end of a
run the lines are put in the order of pictures and what no longer counts is dropped: the file then depends on the
pictures and settings alone, not on how many runs it took.
"""

import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from io import BufferedReader, FileIO
from pathlib import Path
from types import TracebackType

from detr_attnviz.batch.rows import Row, json_line
from detr_attnviz.errors import OutputError
from detr_attnviz.files import check_is_plain, fault_of, reason_of

_LONGEST_BYTES = 1 << 26
_START = b'{"picture": "'
_LINE = re.compile(rb'\{"picture": ("(?:[^"\\]|\\.)*"), "part": (\d{1,9}), "parts": (\d{1,9})(?:,.*)?\}\n')


class Manifest:
    """The lines by picture; held in memory is only where they are.

    ``before`` is a manifest that stays as it is: its lines count for pictures of which this one says nothing.

    Raises: OutputError when ``path`` holds something else or cannot be read.
    """

    def __init__(self, path: Path, *, before: "Manifest | None" = None) -> None:
        self.path = path
        self._before = before
        self._groups: dict[str, tuple[int, int]] = {}  # picture → (offset, bytes)
        self._taken_back: set[str] = set()
        self._is_tidy = True
        self._last: tuple[str, ...] = ()
        self._whole = 0  # bytes up to the end of the last whole line
        self._reader: FileIO | None = None
        self._writer: FileIO | None = None
        try:
            check_is_plain(path)
            self._scan()
        except FileNotFoundError:
            pass
        except OSError as error:
            self._close()
            raise OutputError(f"cannot read {path}: {reason_of(error)}") from error
        except OutputError:
            self._close()
            raise

    def __enter__(self) -> "Manifest":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def lines(self, picture: str) -> bytes:
        """The lines that count for a picture, as they are in the file; empty when there are none."""
        if picture not in self._groups:
            return b"" if self._before is None or picture in self._taken_back else self._before.lines(picture)
        file = self._reader or self._writer  # both unbuffered: a buffer would show what an append has overwritten
        assert file is not None
        offset, size = self._groups[picture]
        file.seek(offset)
        found = b""
        while len(found) < size and (more := file.read(size - len(found))):
            found += more
        first = found[: found.find(b"\n") + 1]
        return found if _parsed(first)[0] == picture else b""  # others may write here where there are no locks

    def rows(self, picture: str) -> list[Row]:
        """The same as data; empty when somebody has damaged them."""
        try:
            rows = [json.loads(line) for line in self.lines(picture).splitlines()]
        except (ValueError, RecursionError):
            return []
        # A key may stand in a line twice, and JSON takes the last.
        are_true = all(
            (row["picture"], row["part"], row["parts"]) == (picture, part, len(rows))
            for part, row in enumerate(rows, 1)
        )
        return rows if are_true else []

    def put(self, picture: str, rows: Sequence[Row]) -> None:
        """The new lines of a picture, numbered; nothing is written when they are there already.

        Raises: OutputError.
        """
        parts = len(rows)
        self._put(
            picture,
            b"".join(
                json_line({"picture": picture, "part": part, "parts": parts, **row}) for part, row in enumerate(rows, 1)
            ),
        )

    def take_back(self, picture: str) -> None:
        """From now on, until its new lines, nothing counts of a picture; at once safe against a kill.

        Raises: OutputError.
        """
        if self._knows(picture):
            self._append(json_line({"picture": picture, "part": 0, "parts": 0}))
            self._drop(picture)

    def absorb(self, newer: "Manifest") -> None:
        """Takes over the last word of another manifest on every picture in it.

        Raises: OutputError.
        """
        for picture in newer._taken_back:
            self.take_back(picture)
        for picture in newer._groups:
            self._put(picture, newer.lines(picture))

    def finish(self, draft: Path) -> None:
        """Puts the lines in order and drops those that do not count; ``draft`` is a name for the new file till then.

        Raises: OutputError.
        """
        if self._is_tidy and self._is_still_there():
            return
        try:
            with draft.open("wb") as file:
                for picture in sorted(self._groups, key=_order):
                    file.write(self.lines(picture))
                file.flush()
                os.fsync(file.fileno())
            self._close()
            os.replace(draft, self.path)
        except OSError as error:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise OutputError(f"cannot write {self.path}: {fault_of(error)}") from error

    def _check_is_the_same(self, writer: FileIO) -> None:
        """Raises: OutputError when what was read has given its name to another file since."""
        if self._reader is not None and not os.path.samestat(
            os.fstat(self._reader.fileno()), os.fstat(writer.fileno())
        ):
            raise OutputError(f"{self.path} was replaced while this run was at work: run the same command again")

    def _is_still_there(self) -> bool:
        """Whether the file that was read and written still has the name; nothing there is true of no lines."""
        file = self._writer or self._reader
        try:
            return file is None or os.path.samestat(os.fstat(file.fileno()), os.stat(self.path))
        except OSError:
            return False

    def _put(self, picture: str, lines: bytes) -> None:
        if lines != self.lines(picture):
            self._keep(picture, self._append(lines), len(lines))

    def _knows(self, picture: str) -> bool:
        if picture in self._groups or self._before is None or picture in self._taken_back:
            return picture in self._groups
        return self._before._knows(picture)

    def _scan(self) -> None:
        strange = ours = 0
        picture, begin, parts, seen = "", 0, 0, 0  # the group that is being read
        # Kept open for reading: offsets count in this file, also when another takes its name.
        self._reader = self.path.open("rb", buffering=0)
        file = BufferedReader(self._reader)
        try:
            while line := file.readline(_LONGEST_BYTES):
                if len(line) == _LONGEST_BYTES:
                    raise self._strange()
                offset, self._whole = self._whole, self._whole + (len(line) if line.endswith(b"\n") else 0)
                name, part, of = _parsed(line)
                ours += bool(name)
                if name and part == 1:
                    self._is_tidy = self._is_tidy and seen == parts
                    picture, begin, parts, seen = name, offset, of, 1
                elif name and (name, part, of) == (picture, seen + 1, parts):
                    seen += 1
                else:
                    strange += not name and not _is_torn(line)
                    self._drop(name)
                    picture, parts, seen = "", 0, 0
                if picture and seen == parts:
                    self._keep(picture, begin, self._whole - begin)
        finally:
            file.detach()
        self._is_tidy = self._is_tidy and seen == parts
        if strange and not ours:
            raise self._strange()

    def _strange(self) -> OutputError:
        return OutputError(f"{self.path} is not a manifest of attnviz: move it away, or give another output folder")

    def _keep(self, picture: str, offset: int, size: int) -> None:
        order = _order(picture)
        self._is_tidy = self._is_tidy and order > self._last
        self._last = max(self._last, order)
        self._groups[picture] = (offset, size)
        self._taken_back.discard(picture)

    def _drop(self, picture: str) -> None:
        self._groups.pop(picture, None)
        self._taken_back.add(picture)
        self._is_tidy = False

    def _append(self, lines: bytes) -> int:
        try:
            if self._writer is None:
                self._writer = self.path.open("a+b", buffering=0)
                self._check_is_the_same(self._writer)
                self._writer.truncate(self._whole)  # cuts a torn last line
            written = 0
            while written < len(lines):
                written += self._writer.write(lines[written:])
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {fault_of(error)}") from error
        offset, self._whole = self._whole, self._whole + len(lines)
        return offset

    def _close(self) -> None:
        for file in (self._reader, self._writer):
            if file is not None:
                file.close()
        self._reader = self._writer = None


def _order(picture: str) -> tuple[str, ...]:
    """The order in which a folder is walked."""
    return tuple(picture.split("/"))


def _parsed(line: bytes) -> tuple[str, int, int]:
    """(picture, part, parts); no picture when it is not one of our lines."""
    found = _LINE.fullmatch(line)
    try:
        return ("", 0, 0) if found is None else (str(json.loads(found[1])), int(found[2]), int(found[3]))
    except ValueError:
        return "", 0, 0


def _is_torn(line: bytes) -> bool:
    return not line.endswith(b"\n") and line.startswith(_START[: len(line)])
