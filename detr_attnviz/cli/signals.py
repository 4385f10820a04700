"""SIGTERM and SIGHUP stop a command as Ctrl-C does: it tidies up, says so in one line, and can be run again."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_AT_ONCE_S = 1.0


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """The first signal raises KeyboardInterrupt; the block's exit code 130 becomes that of the signal.

    Another one within a second is the same one sent twice, by a terminal and by a launcher. A later one means that
    tidying up takes too long: it ends the process where it is. A signal that is ignored (``nohup``) stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stop = _Stop()
    before = {number: signal.getsignal(number) for number in _numbers()}
    caught = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    for number in caught:
        signal.signal(number, stop)
    try:
        yield
    except SystemExit as end:
        if stop.number is not None and end.code == INTERRUPTED:
            raise SystemExit(128 + stop.number) from None
        raise
    finally:
        if stop.number is None:  # else this process is ending, and a second signal must not disturb that
            for number in caught:
                signal.signal(number, before[number])


class _Stop:
    """Handles all signals that stop; ``number`` is the first that came."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._at = 0.0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number, self._at = number, time.monotonic()
            raise KeyboardInterrupt
        if time.monotonic() - self._at >= _AT_ONCE_S:
            os._exit(128 + self.number)


def _numbers() -> list[signal.Signals]:
    return [signal.Signals[name] for name in _NAMES if hasattr(signal, name)]
