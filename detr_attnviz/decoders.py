"""Which kinds of picture are decoded, up to which size, and that decoders are quiet.

Pillow goes by a file's content, whatever its name, and knows kinds that it hands to other programs: PostScript starts
Ghostscript. So only kinds that are decoded inside this process are read, whichever a file claims to be.
"""

import ctypes
import logging
import warnings
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path

from PIL import Image

_PLUGINS = {
    "JPEG": "Jpeg",
    "PNG": "Png",
    "WEBP": "WebP",
    "TIFF": "Tiff",
    "BMP": "Bmp",
    "DIB": "Bmp",
    "GIF": "Gif",
    "PPM": "Ppm",
    "JPEG2000": "Jpeg2K",
    "AVIF": "Avif",
}
READ = tuple(_PLUGINS)
"""Kinds by Pillow's names; "JPEG" includes MPO, "PPM" its relatives."""
_MOST_BYTES_A_PIXEL = 16
_PREFIX_BYTES = 16


@cache
def readable() -> tuple[str, ...]:
    """The kinds that this Pillow can read: older ones know no AVIF."""
    for plugin in _PLUGINS.values():  # Image.init would import every plugin that there is, before the first picture
        with suppress(ImportError):
            import_module(f"PIL.{plugin}ImagePlugin")
    return tuple(kind for kind in READ if kind in Image.OPEN)


def known_kind(path: Path) -> str:
    """The name of the kind that the file begins as, if it is one that is not read here; "" if it is none of them."""
    with path.open("rb") as file:
        prefix = file.read(_PREFIX_BYTES)
    if prefix[4:11] in (b"ftyphei", b"ftyphev", b"ftypmif"):
        return "HEIC"
    Image.init()
    return next((kind for kind in sorted(Image.OPEN) if kind not in READ and _begins_as(kind, prefix)), "")


def _begins_as(kind: str, prefix: bytes) -> bool:
    accept = Image.OPEN[kind][1]
    with suppress(Exception):  # a few look further than a short file goes
        return accept is not None and accept(prefix) is True
    return False


def most_pixels() -> int | None:
    """From how many pixels on a picture is refused: from twice ``PIL.Image.MAX_IMAGE_PIXELS``, as Pillow does."""
    return None if Image.MAX_IMAGE_PIXELS is None else 2 * Image.MAX_IMAGE_PIXELS


def most_bytes() -> int | None:
    """From which size on a file is refused: some decoders take it into memory as a whole, and it may be a hole."""
    most = most_pixels()
    return None if most is None else most * _MOST_BYTES_A_PIXEL


def limit_pixels(most: int | None) -> None:
    """Sets Pillow's limit, so that pictures of more are refused; for whoever owns the process."""
    Image.MAX_IMAGE_PIXELS = None if most is None else most // 2


def silence_decoders() -> None:
    """Keeps what Pillow and its libraries have to say of odd files off the terminal; for whoever owns the process.

    What makes a picture unreadable is raised all the same.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    with suppress(ImportError, OSError, AttributeError):  # libtiff writes by itself; where it is linked in, it goes on
        from PIL import _imaging

        libraries = ctypes.CDLL(_imaging.__file__)
        libraries.TIFFSetWarningHandler(None)
        libraries.TIFFSetErrorHandler(None)
