"""A Hugging Face Hub of one model on this machine, which can misbehave."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What it has and does; ``fetched`` collects the files that were sent.

    ``status`` is the answer to every question about the model, ``code`` the Hub's name for what is wrong;
    ``cut_after`` breaks the connection after so many bytes of an answer, which are announced with ``too_many`` more;
    ``location`` is where a ``status`` that redirects leads; ``listed`` are names of files that a model with a strange
    owner has besides; ``sha`` is the commit that it is at.
    """

    name: str
    folder: Path
    status: int = 200
    code: str = ""
    cut_after: int | None = None
    too_many: int = 0
    location: str = ""
    listed: tuple[object, ...] = ()
    sha: object = COMMIT
    fetched: list[str] = field(default_factory=list)

    def files(self) -> dict[str, Path]:
        """Every file by its path in the model."""
        found = {str(path.relative_to(self.folder)): path for path in self.folder.rglob("*") if path.is_file()}
        strange = {name: self.folder / "config.json" for name in self.listed if isinstance(name, str)}
        return found | strange

    def about(self, path: str) -> object | None:
        """What the Hub's interface says about the model, or its tree of files."""
        start = f"/api/models/{self.name}"
        if not path.startswith(start):
            return None
        sizes = {name: file.stat().st_size for name, file in self.files().items()}
        if path.startswith(f"{start}/tree/"):
            return [{"type": "file", "path": name, "size": size, "oid": "0" * 40} for name, size in sizes.items()]
        names = [*sizes, *(name for name in self.listed if not isinstance(name, str))]
        return {"id": self.name, "sha": self.sha, "siblings": [{"rfilename": name} for name in names]}


@contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """The address of the Hub."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def _answer(self) -> None:
            path = unquote(self.path.partition("?")[0])
            if hub.status != 200:
                headers = {"X-Error-Code": hub.code, "X-Error-Message": "as told"}
                self._send(hub.status, b"{}", headers | ({"Location": hub.location} if hub.location else {}))
            elif (about := hub.about(path)) is not None:
                self._send(200, json.dumps(about).encode(), {"Content-Type": "application/json"})
            elif (file := hub.files().get(path.removeprefix(f"/{hub.name}/resolve/").partition("/")[2])) is not None:
                self._send_file(path, file.read_bytes())
            else:
                self._send(404, b"", {"X-Error-Code": "EntryNotFound"})

        def _send_file(self, path: str, content: bytes) -> None:
            headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
            start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            if self.command == "GET":
                hub.fetched.append(path.rpartition("/")[2])
            self._send(206 if start else 200, content[start:], headers)

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body) + hub.too_many)}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body if hub.cut_after is None else body[: hub.cut_after])

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
