"""Standard output and stderr that are full, closed or left by their reader."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.forked import ROOT

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a disk that is always full")

FULL = "cannot write to standard output: no space left on device"


def shell(line: str, *, unbuffered: str = "") -> subprocess.CompletedProcess[str]:
    """``attnviz`` in a line of bash."""
    command = f"attnviz() {{ '{sys.executable}' -m detr_attnviz \"$@\"; }}; set -o pipefail; {line}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": unbuffered}
    return subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("args", ["--help", "--version", "checkpoints --json", "checkpoints"])
def test_a_full_standard_output_is_told_in_one_line(args: str, unbuffered: str) -> None:
    done = shell(f"attnviz {args} > /dev/full", unbuffered=unbuffered)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"attnviz: {FULL}")


def test_tables_and_data_of_a_model_on_a_full_standard_output() -> None:
    for args in ("inspect-weights demo", "inspect-weights demo --json"):
        done = shell(f"attnviz {args} > /dev/full")
        assert (done.returncode, "Traceback" in done.stderr, "ignored" in done.stderr) == (1, False, False)
        assert FULL in done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_gone_is_met_with_silence(unbuffered: str) -> None:
    done = shell("attnviz render --help | (exec <&-; sleep 2)", unbuffered=unbuffered)
    assert (done.returncode, done.stderr) == (1, "")
    done = shell("attnviz checkpoints --json | head -1", unbuffered=unbuffered)
    assert done.stdout == "[\n"
    assert (done.returncode in (0, 1), done.stderr) == (True, "")


def test_closed_streams_take_nothing_from_the_result(tmp_path: Path) -> None:
    done = shell(f"attnviz inspect-weights demo --export '{tmp_path}/a.npz' >&- 2>&-")
    assert done.returncode == 0
    done = shell(f"attnviz inspect-weights demo --export '{tmp_path}/b.npz' > /dev/null 2> /dev/full")
    assert done.returncode == 0
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
