"""How results are named: a tree that mirrors the inputs, in names that every file system takes.

Names of files and classes are data. A picture's *location* is its path below the folder that all inputs share,
with ``/`` between the parts and whatever a file system may refuse written as ``%`` and two hex digits, as in
addresses: different pictures keep different locations. A class name only decorates a name that is unique without it.
"""

import hashlib
import os
import unicodedata
from typing import Literal, get_args

from detr_attnviz.drawing.options import Style
from detr_attnviz.methods.catalogue import MEAN, RAW

MANIFEST = "manifest.jsonl"
STYLES: tuple[Style, ...] = get_args(Style)
ARRAYS = "arrays"
Per = Literal["query", "image"]

_RESERVED = frozenset('<>:"|?*\\/%')
_REFUSED_KINDS = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""Letters that turn what follows them round: a name that ends in .exe can read as if it ended in .jpg."""
_LONGEST_PART_BYTES = 230  # leaves room for ".overlay.png" below the usual 255
_LONGEST_STEM_BYTES = 140
_LONGEST_CLASS_BYTES = 60


def location_of(path: str, base: str) -> str:
    """Where results of the picture at ``path`` lie; both are absolute, without ``.`` and ``..``.

    ``base`` is a folder above ``path``, or "" when the inputs share none (drives of Windows).
    """
    below = path[len(base) :] if path.startswith(base) else path
    parts = [safe_part(part) for part in below.split(os.sep) if part] or [safe_part(os.path.basename(path) or os.sep)]
    if parts[0].casefold() == MANIFEST:
        parts[0] = f"%{ord(parts[0][0]):02X}{parts[0][1:]}"
    return "/".join(parts)


def safe_part(part: str) -> str:
    """One part of a path as a portable, injective and not too long file name."""
    ending = len(part) if part in (".", "..") else len(part) - len(part.rstrip(". "))
    kept = part[: len(part) - ending]
    text = "".join(_escaped(letter) if _is_refused(letter) else letter for letter in kept)
    text += "".join(_escaped(letter) for letter in part[len(part) - ending :])
    if len(text.encode()) <= _LONGEST_PART_BYTES:
        return text
    digest = hashlib.sha256(part.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{_cut(text, _LONGEST_PART_BYTES - 13)}~{digest}"


def short_stem(stem: str) -> str:
    """A picture's stem as the beginning of a file name that is not too long with what follows."""
    return _cut(safe_part(stem), _LONGEST_STEM_BYTES)


def slug(name: str) -> str:
    """A class name as a piece of a file name: letters, digits and ``-``, at most 60 bytes, perhaps empty."""
    letters = (letter if _is_word_letter(letter) else " " for letter in unicodedata.normalize("NFC", name))
    return _cut("_".join("".join(letters).split()), _LONGEST_CLASS_BYTES).rstrip("_")


def query_file(location: str, query: int, name: str, style: str, term: str = "") -> str:
    """``sub/cat.jpg/q17_cat.overlay.png``, of one term ``sub/cat.jpg/q17_cat_content-position.overlay.png``"""
    return f"{location}/{_joined(f'q{query}', slug(name), _piece(term))}.{style}.png"


def point_file(location: str, number: int, x: float, y: float, style: str, term: str = "") -> str:
    """``sub/cat.jpg/p0_320,240.overlay.png``"""
    return f"{location}/{_joined(f'p{number}', f'{x:g},{y:g}', _piece(term))}.{style}.png"


def image_file(location: str, export: str) -> str:
    """``sub/cat.jpg.overlay.png``, and ``sub/cat.jpg.npz`` for the arrays."""
    return f"{location}.npz" if export == ARRAYS else f"{location}.{export}.png"


def image_files(location: str) -> tuple[str, ...]:
    """Every file that belongs to the picture as a whole, under any settings."""
    return tuple(image_file(location, export) for export in (*STYLES, ARRAYS))


def sheet_file(
    stem: str,
    site: str,
    method: str,
    head: str,
    style: str,
    number: int = 1,
    *,
    term: str = "",
    level: int | None = None,
) -> str:
    """``cat.decoder.5.cross.overlay.png``, ``cat.decoder.all.cross.relevance.overlay.png``

    The method when it is not raw, the head when it is not the mean, term and level when only they are shown, the
    number when it is not the first.
    """
    part = (f".{term}" if term else "") + ("" if level is None else f".level{level}")
    way = "" if method == RAW else f".{method}"
    joined = "" if head in ("", MEAN) else f".head{head}" if head.isdecimal() else f".{head}"
    again = f"-{number}" if number > 1 else ""
    return f"{short_stem(stem)}.{site}{part}{way}{joined}.{style}{again}.png"


def is_map_file(name: str) -> bool:
    """Whether a file of this name in a picture's own folder is one of ours."""
    stem, _, style = name.removesuffix(".png").rpartition(".")
    number = stem.partition("_")[0]
    return name.endswith(".png") and style in STYLES and number[:1] in ("q", "p") and number[1:].isdecimal()


def _joined(*pieces: str) -> str:
    return "_".join(piece for piece in pieces if piece)


def _piece(term: str) -> str:
    """``content · position`` as ``content-position``"""
    return slug(term).replace("_", "-")


def _is_word_letter(letter: str) -> bool:
    return letter.isalnum() or letter == "-" or unicodedata.category(letter) in ("Mn", "Mc")


def _is_refused(letter: str) -> bool:
    is_refused = letter in _RESERVED or unicodedata.category(letter) in _REFUSED_KINDS
    return is_refused or unicodedata.bidirectional(letter) in _TURNS


def _escaped(letter: str) -> str:
    is_byte = "\udc80" <= letter <= "\udcff"  # how Python holds a byte of a name that is no text
    return "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "surrogateescape" if is_byte else "surrogatepass"))


def _cut(text: str, most_bytes: int) -> str:
    return text.encode()[:most_bytes].decode("utf-8", "ignore")
