"""Several small files as one: a line of JSON with their names and sizes, then their bytes one after the other."""

import json
from collections.abc import Mapping
from pathlib import Path

_MOST_FILES = 32


def packed(files: Mapping[str, bytes]) -> bytes:
    """The files in one piece."""
    sizes = {name: len(content) for name, content in files.items()}
    return json.dumps(sizes).encode() + b"\n" + b"".join(files.values())


def unpacked(data: bytes, usual: str) -> dict[str, bytes]:
    """The files again; what was never packed is one file of the ``usual`` name."""
    head, _, body = data.partition(b"\n")
    try:
        sizes = json.loads(head) if len(head) < 4096 else None
    except (ValueError, RecursionError):
        sizes = None
    if not isinstance(sizes, dict) or not 0 < len(sizes) <= _MOST_FILES or not all(map(_is_plain, sizes)):
        return {usual: data}
    files: dict[str, bytes] = {}
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            return {usual: data}
        files[name], body = body[:size], body[size:]
    return files


def written(files: Mapping[str, bytes], folder: Path) -> None:
    """Puts the files into a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


def _is_plain(name: str) -> bool:
    parts = name.split("/")
    return 0 < len(parts) <= 2 and all(
        part.isascii() and part.isprintable() and part not in ("", ".", "..") and len(part) < 99 for part in parts
    )
