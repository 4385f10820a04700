"""Runs one target's cases in a process of its own and tells the parent about each: what it is at, what it found."""

import argparse
import json
import os
import signal
import struct
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

from tests.fuzz.cases import case, fault_of, spare_bytes, target
from tests.fuzz.memory import begin_peak, peak

STATE = struct.Struct("<qd")
"""What stands in the file of the state: the number of the case that runs, -1 for none, and when it began."""

_MORE_ADDRESSES = 8 << 30


def main() -> None:
    """``worker TARGET SEED FIRST LAST STATE_FILE``: a line of JSON on stdout for each finding and at the end."""
    parser = argparse.ArgumentParser()
    for name, kind in {"target": str, "seed": int, "first": int, "last": int, "state": Path}.items():
        parser.add_argument(name, type=kind)
    told = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops its worker
    _prepare(told.target)
    parent, slowest, most = os.getppid(), (0.0, -1), 0
    spare = spare_bytes(told.target)
    with told.state.open("r+b", buffering=0) as state:
        for number in range(told.first, told.last):
            if os.getppid() != parent:
                return  # the watchdog is gone
            data = case(told.target, told.seed, number)
            before, began = begin_peak(), time.monotonic()
            os.pwrite(state.fileno(), STATE.pack(number, began), 0)
            fault = fault_of(told.target, data)
            slowest = max(slowest, (time.monotonic() - began, number))
            os.pwrite(state.fileno(), STATE.pack(-1, 0.0), 0)
            taken = max(peak() - before, 0)
            most = max(most, taken)
            if fault is None and taken > 2 * len(data) + spare:
                _tell(number, f"memory ({taken >> 20} MB)", "", "")
            if fault is not None:
                _tell(number, fault.kind, fault.place, fault.text)
    _say({"slowest_s": slowest[0], "slowest": slowest[1], "memory": most})


def _prepare(name: str) -> None:
    """As far from the rest of the machine as it gets: one thread, no warnings, no terabytes."""
    warnings.simplefilter("ignore")
    for data in target(name).seeds()[:1]:
        fault_of(name, data)  # brings what a first case imports: neither its time nor its memory is the case's
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    with suppress(ImportError, OSError, ValueError):
        import resource

        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + _MORE_ADDRESSES, resource.RLIM_INFINITY))


def _tell(number: int, kind: str, place: str, text: str) -> None:
    _say({"number": number, "kind": kind, "place": place, "text": text})


def _say(what: dict[str, object]) -> None:
    sys.__stdout__.write(json.dumps(what) + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
