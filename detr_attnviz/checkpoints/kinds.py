"""Says what a file is, by the way it begins, and how large, where there is one to read."""

from pathlib import Path

from detr_attnviz.errors import CheckpointError
from detr_attnviz.files import no_file_at

AGAIN = "download or copy it again"
"""What to do about a file that is damaged."""

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


def other_kind(head: bytes) -> str | None:
    """What a file beginning with these bytes is, if it is a well-known kind that is no checkpoint."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for signature, kind in SIGNATURES:
        if head.startswith(signature):
            return kind
    return next((kind for signature, kind in TEXT_SIGNATURES if text.startswith(signature)), None)


def with_advice(kind: str) -> str:
    """What a file is, and what to do where that does not tell."""
    return kind if ";" in kind else f"{kind}; give the path of a checkpoint"


def file_size(path: Path) -> int:
    """The bytes of a file that can be read; pipes and devices, which may never end, are none.

    Raises:
        CheckpointError: there is none, or it may not be looked at.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise unreadable(path, error) from None
    if what := no_file_at(path):
        raise CheckpointError(f"{path}: {what}; give the path of a checkpoint")
    return found.st_size


def unreadable(path: Path, error: OSError) -> CheckpointError:
    """The error for a checkpoint that is not there or may not be read."""
    if isinstance(error, FileNotFoundError):
        return CheckpointError(f"{path}: no such file; expected a checkpoint file or a folder with one")
    return CheckpointError(f"{path}: cannot be read ({error.strerror or error})")
