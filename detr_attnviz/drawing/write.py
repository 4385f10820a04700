"""Pictures to files: whole or not at all, with where they came from inside, the same bytes for the same picture."""

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, features

from detr_attnviz.drawing.png import png_bytes as png_bytes  # callers find all writing here
from detr_attnviz.errors import ChoiceError, OutputError
from detr_attnviz.files import write_atomically
from detr_attnviz.plain import encodable

_IMAGE_DESCRIPTION = 0x010E  # of Exif
_SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".pdf": "PDF"}


def suffixes() -> tuple[str, ...]:
    """Endings of file names that can be written here."""
    return tuple(suffix for suffix in _SUFFIXES if suffix != ".webp" or features.check("webp"))


def save_picture(image: Image.Image, path: str | os.PathLike[str], text: Mapping[str, str] | None = None) -> None:
    """Write ``image`` in the format that ``path`` ends in, with ``text`` where the format has a place for it.

    Raises: ChoiceError for an ending that is not supported, OutputError when the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in suffixes():
        found = f"ends in {suffix!r}" if suffix else "has no ending"
        raise ChoiceError(f"{Path(path).name} {found}: pictures can be written as {', '.join(suffixes())}")
    if suffix == ".png":
        save_png(image, path, text)
    else:
        try:
            data = _encoded(image, _SUFFIXES[suffix], text or {})
        except (OSError, ValueError) as error:  # a side longer than the format knows
            width, height = image.size
            raise OutputError(
                f"cannot write {path}: {_SUFFIXES[suffix]} takes no picture of {width}×{height} pixels ({error}); "
                "choose .png"
            ) from error
        write_atomically(path, data)


def save_png(image: Image.Image, path: str | os.PathLike[str], text: Mapping[str, str] | None = None) -> None:
    """Write ``image`` as PNG with ``text`` in its text chunks; no time stamps, so equal pictures are equal files.

    Raises: OutputError when the file cannot be written; what was there before is then still there.
    """
    write_atomically(path, png_bytes(image, text))


def _encoded(image: Image.Image, kind: str, text: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    by_kind: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 92, "subsampling": 0, "comment": _lines(text)},
        "WEBP": {"quality": 92, "method": 4, "exif": _exif(_lines(text))},
        "PDF": {"quality": 95, "resolution": 200.0, "creationDate": None, "modDate": None, "subject": _lines(text)},
    }
    (image if image.mode == "RGB" else image.convert("RGB")).save(buffer, format=kind, **by_kind[kind])
    return buffer.getvalue()


def _exif(words: str) -> bytes:
    told = Image.Exif()
    told[_IMAGE_DESCRIPTION] = words
    return told.tobytes()


def _lines(text: Mapping[str, str]) -> str:
    return encodable("\n".join(f"{key}: {value}" for key, value in text.items()))
