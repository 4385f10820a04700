"""Fetches one file whole: continued where it was cut, verified by its hash, moved into place in one step."""

import contextlib
import hashlib
import os
import stat
import time
import urllib.error
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse, IncompleteRead
from pathlib import Path
from typing import IO

from detr_attnviz.checkpoints import connection
from detr_attnviz.checkpoints.connection import MOST_BYTES, answer_of, fault_of_address
from detr_attnviz.errors import DownloadError
from detr_attnviz.files import POLL_S, BusyError, locked

Progress = Callable[[int, int | None], None]

TIMEOUT_S = 30.0
PATIENCE_S = 300.0
"""How long another run may hold the download without fetching anything."""

BLOCK_BYTES = 1 << 18


def fetch(
    url: str, target: Path, *, sha256_prefix: str, progress: Progress | None = None, replaces: bool = False
) -> None:
    """Fetch ``url`` into ``target``, whose folder is made if need be; what is there stays unless ``replaces``.

    What arrives lies in ``target.part`` until its hash has been checked; only one process writes it at a time.

    Raises:
        DownloadError: no web address, no network, no such file, cut off or next to nothing coming (the next call
            continues), more than ``MOST_BYTES``, wrong hash, no room.
    """
    if fault := fault_of_address(url):
        raise DownloadError(
            f"{url}: no address to fetch from, because {fault}; expected http:// or https://; {_MIRROR}"
        )
    part = target.with_name(target.name + ".part")
    with _in_words(url, part):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _turn(target, part, progress):
            if target.is_file() and not replaces:
                return
            if target.is_dir():
                raise DownloadError(f"{target}: a folder is where the file belongs; move it away, then run again")
            _receive(url, part, progress)
            _verify(part, sha256_prefix, url)
            os.replace(part, target)


_MIRROR = "check the network, or name a mirror's folder in the environment variable ATTNVIZ_DOWNLOAD_URL"


@contextlib.contextmanager
def _in_words(url: str, part: Path) -> Iterator[None]:
    """Every way in which a server, a network or a disk can fail, as one line."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadError(f"{url}: the server answered {error.code} {_line(error.reason)}; {_MIRROR}") from None
    except urllib.error.URLError as error:
        raise DownloadError(f"{url}: no connection ({_line(error.reason)}); {_MIRROR}") from None
    except (TimeoutError, ConnectionError, IncompleteRead) as error:
        raise DownloadError(f"{url}: {_cut_off(part, _line(error) or type(error).__name__)}") from None
    except (HTTPException, ValueError) as error:
        reason = _line(error) or type(error).__name__
        raise DownloadError(f"{url}: the server's answer makes no sense ({reason}); {_MIRROR}") from None
    except OSError as error:
        raise DownloadError(
            f"{error.filename or part}: cannot be written ({error.strerror or error}); free some room or set "
            "TORCH_HOME to another disk"
        ) from None


def _line(words: object) -> str:
    """What a server or another package says, on a line that no terminal stumbles over."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in str(words)).split())[:200]


def _cut_off(part: Path, reason: str) -> str:
    size = part.stat().st_size if part.exists() else 0
    return f"the connection broke after {size:,} bytes ({reason}); run the same command again to continue from there"


@contextlib.contextmanager
def _turn(target: Path, part: Path, progress: Progress | None) -> Iterator[None]:
    """Waits while another run fetches the file; its progress is shown."""
    lock = target.with_name(target.name + ".lock")
    size, since = -1, connection.clock()
    with contextlib.ExitStack() as held:
        while not _took(held, lock):
            if (grown := part.stat().st_size if part.exists() else 0) != size:
                size, since = grown, connection.clock()
                if progress is not None:
                    progress(size, None)
            elif connection.clock() - since > PATIENCE_S:
                raise DownloadError(
                    f"{lock}: held by another run, which has fetched nothing for {PATIENCE_S:.0f} s; end it, then run "
                    "the same command again"
                )
            time.sleep(POLL_S)
        yield


def _took(held: contextlib.ExitStack, lock: Path) -> bool:
    try:
        held.enter_context(locked(lock, wait=False))
    except BusyError:
        return False
    return True


def _receive(url: str, part: Path, progress: Progress | None) -> None:
    """Bring ``part`` to its full size, continuing what is there if the server can."""
    have = _size_of(part)
    headers = {"User-Agent": "detr-attnviz"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        response = answer_of(url, headers, TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        error.close()
        return  # nothing left to send: the hash decides whether what is there is the file
    with response:
        start = _start_of(response, have, part, url)
        total = None if response.length is None else start + response.length
        if total is not None and total > MOST_BYTES:
            raise _too_long(url)
        with _opened(part, start) as file:
            done = _copy(response, file, start, total, progress)
            file.flush()
            os.fsync(file.fileno())
    if done > MOST_BYTES:
        part.unlink()
        raise _too_long(url)
    if total is not None and done < total:
        raise DownloadError(f"{url}: {_cut_off(part, 'fewer bytes than announced')}")


def _too_long(url: str) -> DownloadError:
    return DownloadError(
        f"{url}: more than {MOST_BYTES:,} bytes, which no known checkpoint has: the server has another file; {_MIRROR}"
    )


def _size_of(part: Path) -> int:
    """How much of the file is there, of what may be continued."""
    try:
        found = part.lstat()
    except FileNotFoundError:
        return 0
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:  # in a shared cache it may be anybody's
        raise DownloadError(f"{part}: a folder, link or pipe is where the download belongs; remove it, then run again")
    return found.st_size if found.st_size <= MOST_BYTES else 0


def _start_of(response: HTTPResponse, have: int, part: Path, url: str) -> int:
    """Where what the server sends begins in the file."""
    if response.status == 200:
        return 0
    sent = response.headers.get("Content-Range") or ""
    if response.status == 206 and have and sent.startswith(f"bytes {have}-"):
        return have
    if response.status == 206 and sent.startswith("bytes 0-"):
        return 0
    if response.status == 206:
        part.unlink(missing_ok=True)  # else the next call would ask for the same and get it
        raise DownloadError(
            f"{url}: the server sent another piece ({_line(sent) or 'it does not say which'}) than was asked for; run "
            "the same command again to fetch the file anew"
        )
    raise DownloadError(f"{url}: the server answered {response.status} {_line(response.reason)}; {_MIRROR}")


def _opened(part: Path, start: int) -> IO[bytes]:
    """The part, ready for what comes next: no link is followed, and no pipe waited for."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if start else os.O_TRUNC)
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    return os.fdopen(os.open(part, flags, 0o666), "ab" if start else "wb")


def _copy(response: HTTPResponse, file: IO[bytes], done: int, total: int | None, progress: Progress | None) -> int:
    """How many bytes of the file have come; stops when they are too many."""
    while done <= MOST_BYTES and (block := response.read1(BLOCK_BYTES)):  # read() would lose what came before a cut
        file.write(block)
        done += len(block)
        if progress is not None:
            progress(done, total)
    return done


def _verify(part: Path, sha256_prefix: str, url: str) -> None:
    with open(part, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(sha256_prefix):
        part.unlink()
        raise DownloadError(
            f"{url}: what came has sha256 {digest[:8]}…, expected {sha256_prefix}…; it was removed. "
            "Run again to fetch it anew; if it stays so, the server's file is another one"
        )
