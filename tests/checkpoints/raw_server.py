"""A server on this machine that sends whatever bytes it is told to, HTTP or not."""

import contextlib
import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

Script = Callable[[str], Iterable[bytes]]
"""From the server's own address to what it sends, bit by bit, until the client has had enough."""


@contextmanager
def answering(script: bytes | Script) -> Iterator[str]:
    """The address of a server that answers every request alike, and then closes the connection."""

    class Handler(socketserver.StreamRequestHandler):
        timeout = 10

        def handle(self) -> None:
            with contextlib.suppress(OSError):
                while self.rfile.readline().strip():
                    pass
                for sent in (script,) if isinstance(script, bytes) else script(address):
                    self.wfile.write(sent)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that hangs up is what is tested

    with Server(("127.0.0.1", 0), Handler) as server:
        address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield address
        finally:
            server.shutdown()
            thread.join()


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An answer with these headers and no other."""
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *headers, "")).encode("latin-1") + body


def chunked(*chunks: bytes) -> bytes:
    """A body in chunks, whole."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))
