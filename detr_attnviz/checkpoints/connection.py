"""Connections that end: no server keeps one by sending next to nothing or no end, or leads it away from the web."""

import io
import time
import urllib.request
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

WINDOW_S = 60.0
LEAST_BYTES = 1 << 15
"""What has to come while ``WINDOW_S`` are waited, which a connection of 5 kbit/s does."""

MOST_HEAD_BYTES = 1 << 20
MOST_BYTES = 1 << 30
"""Of a file; the known checkpoints are below 300 MB."""

clock = time.monotonic


def answer_of(url: str, headers: dict[str, str], timeout_s: float) -> HTTPResponse:
    """The server's answer, its body still to be read; redirections are followed within the web.

    Raises: TimeoutError, also later on from reading, when next to nothing comes; URLError, HTTPException, OSError or
        ValueError as ``urllib`` raises them.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _Redirections(),
        _Plain(),
        _Secure(),
    ):
        opener.add_handler(handler)
    response: _Response = opener.open(urllib.request.Request(url, headers=headers), timeout=timeout_s)
    response.stream.left = 2 * MOST_BYTES  # a body may come in chunks, whose sizes are sent as well
    return response


def fault_of_address(url: str) -> str:
    """Why ``url`` is no address of the web, or an empty text."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return "it holds a space, a control character or a letter that is not ASCII"
    try:
        parts = urlsplit(url)
        has_port = parts.port != 0
    except ValueError as error:
        return str(error)
    if parts.scheme not in ("http", "https"):
        return f"it begins with {parts.scheme}:" if parts.scheme else "it does not begin with http:// or https://"
    labels = (parts.hostname or "").removesuffix(".").split(".")
    if not has_port or not all(0 < len(label) < 64 for label in labels):
        return "it names no server"
    return "it holds a user name, which is not sent" if "@" in parts.netloc else ""


class _Stream(io.RawIOBase):
    """What a socket receives, counted: ``left`` bytes may still come.

    Only the time spent waiting counts, so that a slow disk is not taken for a slow server.
    """

    def __init__(self, raw: io.RawIOBase) -> None:
        self.left = MOST_HEAD_BYTES
        self._raw = raw
        self._waited_s = 0.0
        self._came = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        begun = clock()
        try:
            count = self._raw.readinto(buffer) or 0
        except TimeoutError:
            raise
        except OSError as error:  # else it would be taken for one of the disk
            raise ConnectionError(str(error)) from error
        self._check(count, clock() - begun)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()

    def _check(self, count: int, waited_s: float) -> None:
        self.left -= count
        self._came += count
        self._waited_s += waited_s
        if self.left < 0:
            raise HTTPException("it does not end")
        if self._waited_s < WINDOW_S:
            return
        if self._came < LEAST_BYTES:
            raise TimeoutError(f"fewer than {LEAST_BYTES:,} bytes came in {WINDOW_S:.0f} s")
        self._waited_s, self._came = 0.0, 0


class _Response(HTTPResponse):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.stream = _Stream(self.fp.detach())
        self.fp = io.BufferedReader(self.stream)


class _PlainConnection(HTTPConnection):
    response_class = _Response


class _SecureConnection(HTTPSConnection):
    response_class = _Response


class _Plain(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_PlainConnection, request)


class _Secure(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_SecureConnection, request)


class _Redirections(urllib.request.HTTPRedirectHandler):
    inf_msg = "and leads in a circle: "

    def http_error_302(self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any) -> Any:
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except ValueError as error:
            raise HTTPError(req.full_url, code, f"and leads to no address: {error}", headers, fp) from None
        except HTTPException:
            fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        fault = fault_of_address(newurl)
        if req.type == "https" and not newurl.startswith("https:"):
            fault = fault or "what it sends could be changed on the way"
        if fault:
            raise HTTPError(req.full_url, code, f"and leads to {newurl[:80]!r}: {fault}", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
