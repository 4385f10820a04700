"""Settings of the whole process that make forwards on the CPU faster; for whoever owns the process to make.

The command makes them for itself. Importing the library never does: a library changes nothing of its host.
"""

import ctypes
import math
import os
import sys
from contextlib import suppress
from pathlib import Path

_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8
_LARGEST_INT = 2**31 - 1
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/cpu.max"), Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"))


def tune_process(threads: int | None = None) -> None:
    """Makes this process keep freed memory for the next forward, and use as many threads as it has cores.

    By default glibc gives the large activations of every layer back to the system, which then clears their pages
    anew for the next: a third of the time of the official forward, an eighth of ours. Kept instead, with large pages
    where the system offers them, the process stays as large as its largest moment. ``threads`` is how many PyTorch
    uses, by default all cores, or fewer in a container that may use only a share of them. Variables that are set in
    the environment are respected.

    Call it before torch is imported, which reads its part of the environment once. Elsewhere than on Linux with
    glibc only the number of threads is set.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if sys.platform == "linux":
        _keep_freed_memory()
    wanted = threads or _fewer_cores_than_seen()
    if not wanted or (threads is None and "OMP_NUM_THREADS" in os.environ):
        return
    os.environ["OMP_NUM_THREADS"] = str(wanted)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(wanted)


def give_back_free_memory() -> None:
    """Gives the system what is free now, as after loading: what follows then starts from less."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _keep_freed_memory() -> None:
    with suppress(OSError, AttributeError):  # another C library: its allocator has settings of its own
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT)
        mallopt(_M_ARENA_MAX, 1)  # what one thread frees serves the next; large blocks only fit in the first anyway


def _fewer_cores_than_seen() -> int | None:
    """The cores that the container's share of time amounts to, when that is less than PyTorch sees."""
    share = _share_of_cores()
    seen = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(share)) if share is not None and share < seen else None


def _share_of_cores(limits: tuple[Path, Path] = _CGROUP_LIMITS) -> float | None:
    """Cores by the limit on processor time of the control group (version 2, then 1); None without a limit."""
    with suppress(OSError, ValueError):
        quota, period = limits[0].read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    with suppress(OSError, ValueError):
        quota_us = int(limits[1].read_text())
        return quota_us / int(limits[1].with_name("cpu.cfs_period_us").read_text()) if quota_us > 0 else None
    return None
