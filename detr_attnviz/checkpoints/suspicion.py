"""Says what a file is when it is not a checkpoint, and which Python objects a pickle asks for, without running it."""

import contextlib
import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"RIFF", "a WebP picture or another RIFF file"),
    (b"BM", "a BMP picture"),
    (b"%PDF", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"BZh", "a bzip2 archive; unpack it first"),
    (b"7z\xbc\xaf", "a 7-Zip archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"\x89HDF", "an HDF5 file (Keras weights?)"),
    (
        b"version https://git-lfs",
        "a Git LFS pointer, not the file it points to; run `git lfs pull` where it was cloned",
    ),
)

TEXT_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"<!doctype", "a web page saved under this name; download the file itself again"),
    (b"<html", "a web page saved under this name; download the file itself again"),
    (b"<?xml", "an XML document; download the file itself again"),
    (b"{", "a JSON text"),
)

PLAIN = re.compile(
    r"collections\.(OrderedDict|Counter)|argparse\.Namespace|pathlib\..+|_codecs\.encode|builtins\.(set|bytearray|complex)"
    r"|torch\.(_utils\._rebuild_\w+|\w*Storage|storage\.\w*Storage|Size|Tensor|device|nn\.parameter\.Parameter)"
    r"|torch\.(u?int|float|bfloat|complex|bool|half|double|long|short|q)\w*|torch\._tensor\._rebuild_from_type_v2"
)
"""What plain weights ask for; only used to find the culprit in a file that torch has already refused."""


def other_kind(head: bytes) -> str | None:
    """What a file beginning with these bytes is, if it is a well-known kind that is no checkpoint."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for signature, kind in SIGNATURES:
        if head.startswith(signature):
            return kind
    return next((kind for signature, kind in TEXT_SIGNATURES if text.startswith(signature)), None)


def suspicious_globals(path: Path) -> tuple[str, ...]:
    """Names of the Python objects that a pickled file asks for beyond plain weights, sorted; empty if unreadable."""
    found: set[str] = set()
    with contextlib.suppress(Exception):  # in raw or damaged bytes pickletools and zipfile trip over anything
        for name in _globals_of_file(path):
            found.add(name)
    names = {name.replace("__builtin__.", "builtins.") for name in found}
    return tuple(sorted(name for name in names if not PLAIN.fullmatch(name)))


def _globals_of_file(path: Path) -> Iterator[str]:
    with open(path, "rb") as file:
        if not zipfile.is_zipfile(file):
            file.seek(0)
            yield from _globals_of_pickles(file)
            return
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                if name.endswith(".pkl"):
                    with archive.open(name) as member:
                        yield from _globals_of_pickle(member)


def _globals_of_pickles(file: IO[bytes]) -> Iterator[str]:
    """The globals of pickles written one after another, as the legacy format does; raises at the raw tensor data."""
    while True:
        yield from _globals_of_pickle(file)


def _globals_of_pickle(file: IO[bytes]) -> Iterator[str]:
    texts: list[str] = []
    memo: dict[int, str] = {}
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".", 1)
        elif opcode.name == "STACK_GLOBAL":
            yield ".".join(texts[-2:])
        elif opcode.name in ("GET", "BINGET", "LONG_BINGET"):
            texts.append(memo.get(int(argument or 0), "?"))
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = texts[-1] if texts else "?"
        elif opcode.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[int(argument or 0)] = texts[-1] if texts else "?"
        elif isinstance(argument, str):
            texts.append(argument)
