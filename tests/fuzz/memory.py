"""What a process takes of the machine: memory now and at most, processor time; 0 where the system does not tell."""

import os
from contextlib import suppress
from pathlib import Path

MOST_BYTES = 500 << 20
"""What a case may take beside twice its input."""


def begin_peak() -> int:
    """Starts to look for a new peak; bytes that are taken now."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def peak() -> int:
    """The most bytes taken since ``begin_peak``."""
    return _status("VmHWM")


def resident(process: int) -> int:
    """Bytes that another process takes now."""
    return _status("VmRSS", str(process))


def busy_s(process: int) -> float:
    """Seconds of processor time that another process has had: on a busy machine far fewer than go by."""
    with suppress(OSError, ValueError):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _status(field: str, process: str = "self") -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) << 10
    return 0
