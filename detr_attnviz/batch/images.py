"""Finds the input pictures: files, folders, patterns and lists, one after the other, none twice.

- A file is taken whatever its suffix.
- A folder is walked to the bottom, in the order of names, for pictures by their suffix in any case. Links to
  folders are followed, but no folder is entered twice. Hidden files and folders are skipped.
- A pattern (``"photos/**/*.jpg"``, quoted so that the shell leaves it alone) takes the pictures that match:
  ``*``, ``?`` and ``[…]`` within a name, ``**`` for any number of folders.
- ``@list.txt`` is a text file with one picture a line; a relative line starts from the list's own folder.

What lies in the output folder is never an input. Pictures are found as they are asked for: the first one of a list
of 100,000 lines is there at once, and none is opened here.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import chain, count
from pathlib import Path

from detr_attnviz.batch.names import location_of
from detr_attnviz.errors import ChoiceError
from detr_attnviz.files import no_file_at
from detr_attnviz.pictures import SUFFIXES

_MAGIC = frozenset("*?[")
_LONGEST_LINE_BYTES = 100_000  # longer than any path of any system
_Found = Iterator[tuple[str, str]]  # (path, why it cannot be read)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to read, and its location: where its results lie below the output folder, with ``/``.

    ``fault`` says why it cannot be read when that is known already.
    """

    path: Path
    location: str
    fault: str = ""


@dataclass(frozen=True, slots=True)
class _Source:
    """One input: the folder that holds all its pictures, and the way to list them, given the output folder."""

    base: str
    found: Callable[[str | None], _Found]
    may_repeat: bool = False


def find_pictures(inputs: Sequence[str | Path], *, outside: Path | None = None) -> Iterator[Picture]:
    """The pictures that ``inputs`` name, lazily, in order; ``outside`` is a folder whose content never counts.

    A single folder's pictures have locations relative to it, several inputs' to the folder that holds them all.

    Raises: ChoiceError for an input that does not exist, or when there is not one picture.
    """
    found = _pictures([_source(os.fspath(given)) for given in inputs], outside)
    first = next(found, None)
    if first is None:
        raise ChoiceError(_nothing([os.fspath(given) for given in inputs], outside))
    return chain([first], found)


def _nothing(inputs: Sequence[str], outside: Path | None) -> str:
    folder = None if outside is None else os.path.realpath(outside)
    inside = [given for given in inputs if folder is not None and _is_within(_real(_absolute(given)), folder)]
    if inside:
        return f"{inside[0]} lies in the output folder {outside}, which is never read: give results their own folder"
    return (
        f"no pictures in {', '.join(inputs) or 'an empty list of inputs'}: looked for names ending in "
        f"{', '.join(sorted(SUFFIXES))}, and not in hidden folders"
    )


def _pictures(sources: Sequence[_Source], outside: Path | None) -> Iterator[Picture]:
    base = _shared_folder(source.base for source in sources)
    forbidden = None if outside is None else os.path.realpath(outside)
    seen: set[str] = set()
    may_repeat = len(sources) > 1 or any(source.may_repeat for source in sources)
    for source in sources:
        for path, fault in source.found(forbidden):
            absolute = _absolute(path)
            if forbidden is not None and _is_within(_real(os.path.dirname(absolute)), forbidden):
                continue
            location = location_of(absolute, base)
            if location in seen:
                continue
            if may_repeat:
                seen.add(location)
            yield Picture(Path(path), location, fault)


def _source(given: str) -> _Source:
    if os.path.isdir(given):
        return _Source(_absolute(given), lambda forbidden: _walk(given, forbidden))
    if os.path.lexists(given):
        return _Source(os.path.dirname(_absolute(given)), lambda forbidden: iter([(given, "")]))
    if given.startswith("@"):
        return _list_source(given[1:])
    if _MAGIC & set(given):
        return _pattern_source(given)
    raise ChoiceError(f"{given}: no such file or folder; give pictures, folders, a quoted pattern or @LIST")


def _walk(top: str, forbidden: str | None, most_levels: int | None = None) -> _Found:
    """Pictures below ``top``, at most so many levels down, and folders that cannot be read, in order of names."""
    entered = {_identity(forbidden)}

    def entries(folder: str) -> Iterator[tuple[str, str, bool]]:
        leads_away = folder == top or os.path.islink(folder)
        if leads_away and forbidden is not None and _is_within(os.path.realpath(folder), forbidden):
            return iter(())
        identity = _identity(folder)
        if identity is not None and identity in entered:
            return iter(())
        entered.add(identity)
        return _entries(folder)

    open_folders = [entries(top)]  # a stack of its own: trees may be deeper than Python recurses
    while open_folders:
        path, fault, is_folder = next(open_folders[-1], ("", "", False))
        if not path:
            open_folders.pop()
        elif not is_folder:
            yield path, fault
        elif most_levels is None or len(open_folders) < most_levels:
            open_folders.append(entries(path))


def _entries(folder: str) -> Iterator[tuple[str, str, bool]]:
    """(path, fault, is a folder) of the pictures and folders in one folder; itself, with a fault, if unreadable."""
    try:
        with os.scandir(folder) as found:
            # A folder is marked by a separator at its end: a million names are held as one list of strings.
            names = [entry.name + os.sep * _is_folder(entry) for entry in found if entry.name[0] != "."]
    except OSError as error:
        yield folder, f"the folder cannot be read: {(error.strerror or str(error)).lower()}", False
        return
    for name in sorted(names, key=lambda name: name.rstrip(os.sep)):
        if name.endswith(os.sep):
            yield os.path.join(folder, name[:-1]), "", True
        elif os.path.splitext(name)[1].lower() in SUFFIXES:
            yield os.path.join(folder, name), "", False


def _identity(folder: str | None) -> tuple[int, int] | None:
    """What two paths to one folder have in common; None when there is no such folder."""
    try:
        found = os.stat(folder) if folder is not None else None
    except OSError:
        return None
    return None if found is None else (found.st_dev, found.st_ino)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in circles
        return False


def _pattern_source(pattern: str) -> _Source:
    parts = Path(pattern).parts
    fixed = next(number for number, part in enumerate(parts) if _MAGIC & set(part))
    top, wanted = os.path.join("", *parts[:fixed]), parts[fixed:]
    if top and not os.path.isdir(top):
        raise ChoiceError(f"{pattern}: there is no folder {top} to look in")
    start = top or os.curdir
    depth = None if "**" in wanted else len(wanted)

    def matching(forbidden: str | None) -> _Found:
        for path, fault in _walk(start, forbidden, depth):
            below = path[len(start) :].strip(os.sep)
            if fault or _matches(below.split(os.sep), wanted):
                yield os.path.join(top, below), fault

    return _Source(_absolute(start), matching)


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[skipped:], pattern[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _list_source(given: str) -> _Source:
    folder = os.path.dirname(given)
    if what := no_file_at(given):
        raise ChoiceError(f"@{given}: the list cannot be read: it {what}; give a text file with one picture a line")
    try:
        with open(given, "rb") as file:
            start = file.read(2)
    except OSError as error:
        raise ChoiceError(f"@{given}: the list cannot be read: {(error.strerror or str(error)).lower()}") from None
    if start in (b"\xff\xfe", b"\xfe\xff"):
        raise ChoiceError(f"@{given}: the list is UTF-16; save it as UTF-8, one picture a line")

    def paths() -> Iterator[str]:
        for line in _lines(given):
            name = os.fsdecode(line.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n"))
            if name and not name.startswith("#"):
                yield os.path.join(folder, name)

    base = _shared_folder(os.path.dirname(_absolute(path)) for path in paths())
    return _Source(base, lambda forbidden: ((path, "") for path in paths()), may_repeat=True)


def _lines(given: str) -> Iterator[bytes]:
    """The lines of a list; one without an end (a list of another form, a device) is not read to it."""
    with open(given, "rb") as file:
        for number in count(1):
            line = file.readline(_LONGEST_LINE_BYTES + 1)
            if len(line) > _LONGEST_LINE_BYTES:
                raise ChoiceError(
                    f"@{given}: line {number} of the list has more than {_LONGEST_LINE_BYTES} bytes, which is no path; "
                    "give a text file with one picture a line"
                )
            if not line:
                return
            yield line


def _shared_folder(folders: Iterable[str]) -> str:
    """The deepest folder that holds all ``folders``; "" when they share none."""
    shared: str | None = None
    for folder in folders:
        if shared is None:
            shared = folder
        elif not _is_within(folder, shared):
            try:
                shared = os.path.commonpath((folder, shared))
            except ValueError:  # drives of Windows
                return ""
    return shared or ""


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder if folder.endswith(os.sep) else folder + os.sep)


def _absolute(path: str) -> str:
    """Absolute without ``.`` and ``..``; links stay as they are, unless ``..`` makes them matter."""
    return os.path.realpath(path) if os.pardir in path.split(os.sep) else os.path.abspath(path)


@lru_cache(maxsize=4096)
def _real(folder: str) -> str:
    return os.path.realpath(folder) if "\0" not in folder else folder
