"""Fetches one file whole: continued where it was cut, verified by its hash, moved into place in one step."""

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO

from detr_attnviz.errors import DownloadError
from detr_attnviz.files import locked

Progress = Callable[[int, int | None], None]

TIMEOUT_S = 30.0
BLOCK_BYTES = 1 << 18


def fetch(url: str, target: Path, *, sha256_prefix: str, progress: Progress | None = None) -> None:
    """Fetch ``url`` into ``target``, whose folder is made if need be.

    What arrives lies in ``target.part`` until its hash has been checked; only one process writes it at a time.

    Raises:
        DownloadError: no network, no such file, cut off (the next call continues), wrong hash, no room.
    """
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target.with_name(target.name + ".lock"), wait=True):
            if target.is_file():
                return
            _receive(url, part, progress)
            _verify(part, sha256_prefix, url)
            os.replace(part, target)
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadError(f"{url}: the server answered {error.code} {error.reason}; {_MIRROR}") from None
    except urllib.error.URLError as error:
        raise DownloadError(f"{url}: no connection ({error.reason}); {_MIRROR}") from None
    except (HTTPException, TimeoutError, ConnectionError) as error:
        raise DownloadError(f"{url}: {_cut_off(part, type(error).__name__)}") from None
    except OSError as error:
        raise DownloadError(
            f"{part}: cannot be written ({error.strerror or error}); free some room or set TORCH_HOME to another disk"
        ) from None


_MIRROR = "check the network, or name a mirror's folder in the environment variable ATTNVIZ_DOWNLOAD_URL"


def _cut_off(part: Path, reason: str) -> str:
    size = part.stat().st_size if part.exists() else 0
    return f"the connection broke after {size:,} bytes ({reason}); run the same command again to continue from there"


def _receive(url: str, part: Path, progress: Progress | None) -> None:
    """Bring ``part`` to its full size, continuing what is there if the server can."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "detr-attnviz"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        error.close()
        return  # nothing left to send: the hash decides whether what is there is the file
    with response:
        continues = response.status == 206 and _starts_at(response, have)
        with open(part, "ab" if continues else "wb") as file:
            _copy(response, file, have if continues else 0, progress)
            file.flush()
            os.fsync(file.fileno())
    _check_length(response, part, have if continues else 0, url)


def _starts_at(response: HTTPResponse, have: int) -> bool:
    return (response.headers.get("Content-Range") or "").startswith(f"bytes {have}-")


def _copy(response: HTTPResponse, file: IO[bytes], done: int, progress: Progress | None) -> None:
    total = None if response.length is None else done + response.length
    while block := response.read(BLOCK_BYTES):
        file.write(block)
        done += len(block)
        if progress is not None:
            progress(done, total)


def _check_length(response: HTTPResponse, part: Path, start: int, url: str) -> None:
    announced = response.headers.get("Content-Length")
    if announced is not None and part.stat().st_size < start + int(announced):
        raise DownloadError(f"{url}: {_cut_off(part, 'fewer bytes than announced')}")


def _verify(part: Path, sha256_prefix: str, url: str) -> None:
    with open(part, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(sha256_prefix):
        part.unlink()
        raise DownloadError(
            f"{url}: what came has sha256 {digest[:8]}…, expected {sha256_prefix}…; it was removed. "
            "Run again to fetch it anew; if it stays so, the server's file is another one"
        )
