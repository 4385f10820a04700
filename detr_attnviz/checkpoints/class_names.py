"""Class names of one's own: a text file with one name a line, or a COCO-style JSON."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detr_attnviz.errors import ChoiceError
from detr_attnviz.files import no_file_at


def read_class_names(source: "str | Path | Sequence[str] | Mapping[int, str]") -> tuple[str, ...]:
    """Names indexed by label id; ids that nobody named hold an empty string.

    A sequence or a text file counts from id 0. JSON may be a COCO file (``categories`` with ``id`` and
    ``name``), an object of id to name, or a list.

    Raises: ChoiceError when the file is missing or holds no names.
    """
    if isinstance(source, Mapping):
        return _by_id({int(label): str(name) for label, name in source.items()}, "the class names")
    if not isinstance(source, (str, Path)):
        return tuple(str(name) for name in source)
    path = Path(source)
    if what := no_file_at(path):
        raise ChoiceError(f"{path}: class names cannot be read: it {what}; give a text file with one name a line")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ChoiceError(f"{path}: class names cannot be read: {reason}") from None
    if path.suffix.lower() == ".json" or text.lstrip().startswith(("{", "[")):
        return _from_json(text, path)
    names = tuple(line.strip() for line in text.rstrip().splitlines())
    if not any(names):
        raise ChoiceError(f"{path}: holds no class names; expected one name a line, the first for id 0")
    return names


def _from_json(text: str, path: Path) -> tuple[str, ...]:
    expected = 'expected a COCO file with "categories", an object of id to name, or a list of names'
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise ChoiceError(f"{path}: not valid JSON; {expected}") from None
    try:
        if isinstance(data, list) and all(isinstance(entry, str) for entry in data):
            return tuple(data)
        return _by_id(_ids(data), str(path))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise ChoiceError(f"{path}: no class names found; {expected}") from None


def _ids(data: Any) -> dict[int, str]:
    entries = data if isinstance(data, list) else data.get("categories")
    if entries is None:
        return {int(label): str(name) for label, name in data.items()}
    return {int(entry["id"]): str(entry["name"]) for entry in entries}


def _by_id(names: Mapping[int, str], source: str) -> tuple[str, ...]:
    if not names or min(names) < 0 or max(names) > 100_000:
        raise ChoiceError(f"{source}: class ids must be in 0–100000 and there must be at least one")
    return tuple(names.get(label, "") for label in range(max(names) + 1))
