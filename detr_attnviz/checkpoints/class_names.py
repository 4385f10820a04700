"""Class names of one's own: a text file with one name a line, or a COCO-style JSON."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from detr_attnviz.checkpoints.documents import read_small
from detr_attnviz.checkpoints.saved import quoted
from detr_attnviz.errors import ChoiceError
from detr_attnviz.files import no_file_at
from detr_attnviz.plain import one_line

_MOST_BYTES = 1 << 25
"""Of a file; COCO's val2017 has 20 million, most of which are no names."""

_MOST_ID = 100_000
_MOST_LETTERS = 1000
_GIVE = "give a text file with one name a line"


def read_class_names(source: "str | Path | Sequence[str] | Mapping[int, str]") -> tuple[str, ...]:
    """Names indexed by label id; ids that nobody named hold an empty string.

    A sequence or a text file counts from id 0. JSON may be a COCO file (``categories`` with ``id`` and
    ``name``), an object of id to name, or a list.

    Raises: ChoiceError when the file is missing, too large or holds no names.
    """
    if isinstance(source, Mapping):
        return _by_id(source.items(), "the class names")
    if not isinstance(source, (str, Path)):
        return showable([str(name) for name in source], "the class names")
    path = Path(source)
    text = _text_of(path)
    if path.suffix.lower() == ".json" or text.lstrip().startswith(("{", "[")):
        return _from_json(text, path)
    names = [line.strip() for line in text.rstrip().splitlines()]
    if not any(names):
        raise ChoiceError(f"{path}: holds no class names; expected one name a line, the first for id 0")
    return showable(names, str(path))


def showable(names: Sequence[str], source: str) -> tuple[str, ...]:
    """``names``, unless they are more, or one is longer, than a picture could ever show.

    Raises: ChoiceError, naming ``source``.
    """
    if len(names) > _MOST_ID + 1:
        raise ChoiceError(f"{source}: {len(names):,} class names; expected {_MOST_ID + 1:,} at most")
    longest = max(names, key=len, default="")
    if len(longest) > _MOST_LETTERS:
        raise ChoiceError(
            f"{source}: {quoted('name', longest)} has {len(longest):,} letters; expected {_MOST_LETTERS:,} at most"
        )
    return tuple(names)


def _text_of(path: Path) -> str:
    if what := no_file_at(path, may_be_pipe=True):  # --classes <(…) gives a pipe
        raise ChoiceError(f"{one_line(str(path))}: class names cannot be read: it {what}; {_GIVE}")
    try:
        found = read_small(path, _MOST_BYTES)
        if not found and no_file_at(path):
            raise ChoiceError(f"{path}: class names cannot be read: it is a pipe from which nothing came; {_GIVE}")
        return found.decode("utf-8-sig")
    except OSError as error:
        hint = "; a COCO file's categories alone are enough" if os.path.isfile(path) else ""
        raise ChoiceError(f"{path}: class names cannot be read: {error.strerror or error}{hint}") from None
    except UnicodeDecodeError:
        raise ChoiceError(f"{path}: class names cannot be read: it is not UTF-8 text") from None


def _from_json(text: str, path: Path) -> tuple[str, ...]:
    expected = 'expected a COCO file with "categories", an object of id to name, or a list of names'
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise ChoiceError(f"{path}: not valid JSON; {expected}") from None
    if isinstance(data, list) and all(isinstance(entry, str) for entry in data):
        return showable(data, str(path))
    try:
        return _by_id(_pairs(data), str(path))
    except (KeyError, TypeError, AttributeError):
        raise ChoiceError(f"{path}: no class names found; {expected}") from None


def _pairs(data: Any) -> Iterable[tuple[object, object]]:
    entries = data if isinstance(data, list) else data.get("categories")
    return data.items() if entries is None else [(entry["id"], entry["name"]) for entry in entries]


def _by_id(pairs: Iterable[tuple[object, object]], source: str) -> tuple[str, ...]:
    names: dict[int, str] = {}
    for found, name in pairs:
        label = _label(found)
        is_name = isinstance(name, (str, int, float)) and not isinstance(name, bool)
        if label is None or not is_name:
            raise ChoiceError(
                f"{source}: class ids must be in 0–{_MOST_ID} and have names; found {quoted('id', found)}, "
                f"{quoted('name', name)}"
            )
        if names.setdefault(label, str(name)) != str(name):
            raise ChoiceError(f"{source}: class id {label} has two names; give it one")
    if not names:
        raise ChoiceError(f"{source}: class ids must be in 0–{_MOST_ID} and there must be at least one")
    return showable([names.get(label, "") for label in range(max(names) + 1)], source)


def _label(found: object) -> int | None:
    """A class id, also as an integral float or as digits; None for anything else."""
    if isinstance(found, str) and len(found) < 10 and found.strip().isdecimal():
        found = int(found)
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    is_label = isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= _MOST_ID
    return found if is_label and isinstance(found, int) else None
