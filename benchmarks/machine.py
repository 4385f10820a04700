"""The machine that figures were measured on, as far as it matters for them."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.commands import run_python

_PACKAGES = ("detr-attnviz", "torch", "torchvision", "transformers", "matplotlib", "numpy", "pillow")
_TELLING = ("OMP_", "MKL_", "KMP_", "GOMP_", "MALLOC_", "GLIBC_TUNABLES", "THP_", "LD_PRELOAD", "DNNL_", "ONEDNN_")


def machine_facts(device: str) -> dict[str, Any]:
    """Plain data; ``environment`` holds the variables that change how fast numerics run."""
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpu": _gpu_name() if device.startswith("cuda") else "",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version_of(name))},
        "environment": {name: value for name, value in os.environ.items() if name.startswith(_TELLING)},
    }


def one_line(facts: dict[str, Any]) -> str:
    """The same in a line for a table's foot."""
    packages = ", ".join(f"{name} {found}" for name, found in facts["packages"].items() if name in _PACKAGES[1:4])
    processor = facts["gpu"] or f"{facts['cores']} cores of {facts['cpu']}"
    return f"{processor}, {facts['memory_gb']:g} GB, {facts['system']}, Python {facts['python']}, {packages}"


def has_package(name: str) -> bool:
    """Whether it is installed; nothing is imported."""
    return bool(_version_of(name))


def _version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _gpu_name() -> str:
    return run_python("-c", "import torch; print(torch.cuda.get_device_name())").output.strip()
