"""The inner end of a worker: reads questions from stdin, answers each on stdout; imports nothing large."""

import ctypes
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Handlers = Mapping[str, Callable[..., Any]]
_PR_SET_PDEATHSIG = 1


def serve(handlers: Handlers) -> None:
    """Answers until stdin ends. A handler's exception is an answer too, and the next question is welcome.

    Whatever else writes to stdout meanwhile goes to stderr.
    """
    _end_with_parent()
    with os.fdopen(os.dup(1), "w", buffering=1) as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            given = json.loads(line)
            try:
                answer = {"answer": handlers[given.pop("do")](**given)}
            except Exception:
                answer = {"error": traceback.format_exc()}
            print(json.dumps(answer), file=answers, flush=True)


def _end_with_parent() -> None:
    """On Linux; elsewhere a worker that is stopped when its parent is killed stays until somebody ends it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def stopwatch(wait: Callable[[], None] = lambda: None) -> Iterator[Callable[[], float]]:
    """The block's seconds, once it has ended; ``wait`` lets a device finish, before and after."""
    wait()
    started = time.perf_counter()
    seconds = 0.0
    yield lambda: seconds
    wait()
    seconds = time.perf_counter() - started


def peak_mb() -> float:
    """The largest that this process has been, in MB."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << (20 if sys.platform == "darwin" else 10))


@dataclass(frozen=True)
class Errand:
    """What a peer does when it is run as a script."""

    checkpoint: str
    place: Path
    out: Path
    device: str

    @classmethod
    def given(cls) -> "Errand | None":
        """CHECKPOINT PICTURES OUT DEVICE from the command line; None when there are none, and it is to serve."""
        if len(sys.argv) == 1:
            return None
        checkpoint, place, out, device = sys.argv[1:]
        return cls(checkpoint, Path(place), Path(out), device)

    @property
    def pictures(self) -> list[Path]:
        """A picture, or the JPEGs of a folder in order."""
        return sorted(self.place.glob("*.jpg")) if self.place.is_dir() else [self.place]


class Peer(Protocol):
    """What a peer can be asked for, and what its script does."""

    def handlers(self) -> Handlers: ...
    def load(self, checkpoint: str, device: str) -> None: ...
    def overlays(self, picture: str, out: str) -> Any: ...


def serve_or_run(peer: Peer) -> None:
    """A peer's script: the errand that the command line gives, or a worker without one."""
    errand = Errand.given()
    if errand is None:
        serve(peer.handlers())
        return
    peer.load(errand.checkpoint, errand.device)
    for picture in errand.pictures:
        peer.overlays(str(picture), str(errand.out / picture.stem))
