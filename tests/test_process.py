"""Settings of the process: made when asked, and never by an import."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from detr_attnviz import process


def run(code: str, **environment: str) -> list[str]:
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**{name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout.split()


def test_importing_the_library_changes_nothing() -> None:
    code = (
        "import os; before = dict(os.environ)\n"
        "import torch; threads = torch.get_num_threads()\n"
        "import detr_attnviz as av; av.load, av.render, av.explain, av.tune_process\n"
        "print(before == dict(os.environ), threads == torch.get_num_threads())"
    )
    assert run(code) == ["True", "True"]


def test_threads_before_torch_is_imported() -> None:
    code = "import detr_attnviz as av; av.tune_process(1); import torch; print(torch.get_num_threads())"
    assert run(code) == ["1"]


def test_threads_after_torch_was_imported() -> None:
    code = "import torch, detr_attnviz as av; av.tune_process(1); print(torch.get_num_threads())"
    assert run(code) == ["1"]


def test_the_environment_is_respected() -> None:
    code = (
        "import os, detr_attnviz.process as process\n"
        "process._share_of_cores = lambda: 0.5\n"
        "process.tune_process(); print(os.environ['OMP_NUM_THREADS'], os.environ['THP_MEM_ALLOC_ENABLE'])"
    )
    assert run(code, OMP_NUM_THREADS="3", THP_MEM_ALLOC_ENABLE="0") == ["3", "0"]
    assert run(code, THP_MEM_ALLOC_ENABLE="0") == ["1", "0"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_freed_memory_is_kept() -> None:
    code = (
        "import sys, detr_attnviz as av\n"
        "if sys.argv[1:] == ['tuned']: av.tune_process()\n"
        "def pages(): return int(open('/proc/self/statm').read().split()[1])\n"
        "before = pages(); block = bytearray(64 << 20); held = pages(); del block\n"
        "print(2 * (pages() - before) > held - before)"
    )
    assert run(code) == ["False"]
    found = subprocess.run([sys.executable, "-c", code, "tuned"], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True"]


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.cfs_quota_us": "400000\n", "cpu.cfs_period_us": "100000\n"}, 4.0),
        ({"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": "what\n"}, None),
        ({}, None),
    ],
)
def test_share_of_cores(tmp_path: Path, files: dict[str, str], cores: float | None) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert process._share_of_cores((tmp_path / "cpu.max", tmp_path / "cpu.cfs_quota_us")) == cores
