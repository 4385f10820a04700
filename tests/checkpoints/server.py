"""A file server on this machine that can misbehave in the ways that matter to a download."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Behaviour:
    """What the server does; ``ranges`` collects the Range headers that were asked for.

    ``cut_after`` breaks the connection after so many bytes of an answer; ``gate`` holds every answer back until set.
    """

    content: bytes
    status: int = 200
    knows_ranges: bool = True
    cut_after: int | None = None
    tells_length: bool = True
    gate: threading.Event | None = None
    ranges: list[str | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed, or has had enough, is no news."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[str]:
    """The address of a folder whose every file is ``behaviour.content``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            behaviour.ranges.append(wanted)
            behaviour.paths.append(self.path)
            if behaviour.gate is not None:
                behaviour.gate.wait(10)
            if behaviour.status != 200:
                self.send_error(behaviour.status)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and behaviour.knows_ranges else 0
            if start and start >= len(behaviour.content):
                self.send_error(416)
                return
            self._answer(start)

        def _answer(self, start: int) -> None:
            body = behaviour.content[start:]
            self.send_response(206 if start else 200)
            if behaviour.tells_length:
                self.send_header("Content-Length", str(len(body)))
            if start:
                last = len(behaviour.content) - 1
                self.send_header("Content-Range", f"bytes {start}-{last}/{len(behaviour.content)}")
            self.end_headers()
            self.wfile.write(body if behaviour.cut_after is None else body[: behaviour.cut_after])

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/detr"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
