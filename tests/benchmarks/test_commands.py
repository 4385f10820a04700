from pathlib import Path

import pytest

from benchmarks.commands import CommandFailedError, run_python


def test_finished_command_has_its_output_and_time() -> None:
    done = run_python("-c", "import time; time.sleep(0.2); print('written')")
    assert done.output == "written\n"
    assert done.seconds >= 0.2


def test_peak_is_the_commands_own_when_a_small_process_asks() -> None:
    """Asked from here it would be that of this process, which holds torch."""
    ask = "from benchmarks.commands import run_python; print(run_python('-c', {!r}).peak_mb)"
    small, large = (float(run_python("-c", ask.format(code)).output) for code in ("pass", "kept = b'1' * 100_000_000"))
    assert 90 < large - small < 110


def test_whoever_measures_imports_nothing_large() -> None:
    named = "import sys, benchmarks.__main__; print(*{name.partition('.')[0] for name in sys.modules})"
    assert not {"torch", "numpy", "PIL", "detr_attnviz"} & set(run_python("-c", named).output.split())


def test_command_runs_in_the_folder_given_and_this_process_stays(tmp_path: Path) -> None:
    here = Path.cwd()
    assert run_python("-c", "import os; print(os.getcwd())", folder=tmp_path).output.strip() == str(tmp_path.resolve())
    assert Path.cwd() == here


def test_failed_command_says_what_it_said() -> None:
    with pytest.raises(CommandFailedError, match=r"ended with 1: [\s\S]*no such thing"):
        run_python("-c", "raise SystemExit('no such thing')")
