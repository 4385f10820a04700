"""The command as a whole."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from detr_attnviz import __version__
from detr_attnviz.cli import app as app_file
from detr_attnviz.cli.messages import one_line
from tests.cli.conftest import Attnviz

README = (Path(__file__).parent.parent.parent / "README.md").read_text()
COMMANDS = ("render", "batch", "inspect-weights", "verify", "checkpoints")


def test_version(attnviz: Attnviz) -> None:
    assert attnviz("--version").out == f"attnviz {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_is_documented(attnviz: Attnviz, command: str) -> None:
    assert attnviz(command, "--help").code == 0
    assert command in attnviz("--help").out
    assert f"attnviz {command}" in README


def test_unknown_command_is_a_usage_error(attnviz: Attnviz) -> None:
    done = attnviz("rendre")
    assert done.code == 2
    assert "rendre" in done.err


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(app_file, "app", broken)
    with pytest.raises(ZeroDivisionError):
        app_file.main()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "not enough memory for this: a smaller --shortest-px needs less, and --device cpu"),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"), "not enough memory"),
        (RuntimeError("can't start new thread"), "no more threads start: it is out of memory, or at its limit"),
    ],
)
def test_what_the_machine_has_too_little_of_is_one_line(
    attnviz: Attnviz, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    def hungry() -> None:
        raise error

    monkeypatch.setattr(app_file, "app", hungry)
    done = attnviz()
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert told in line


def test_another_runtime_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(app_file, "app", broken)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        app_file.main()


def test_interrupt_exits_130(attnviz: Attnviz, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(app_file, "app", interrupted)
    done = attnviz()
    assert (done.code, done.err) == (130, "attnviz: stopped\n")


def test_messages_stay_on_one_line() -> None:
    assert one_line("a\nb\x1b[31m é 猫") == "a\\nb\\x1b[31m é 猫"


@pytest.mark.parametrize("code", ["import detr_attnviz", "from detr_attnviz.cli import app"])
def test_nothing_heavy_is_imported_early(code: str) -> None:
    heavy = "torch numpy PIL matplotlib safetensors torchvision rich.console".split()
    script = f"{code}; import sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_python_dash_m_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "detr_attnviz", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"attnviz {__version__}\n"


def test_letters_that_a_pipe_has_no_code_for_are_escaped(attnviz: Attnviz, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", pipe)
    assert attnviz("inspect-weights", "demo").code == 0
    assert b"\\u2016W\\u2016 Frobenius norm" in pipe.buffer.getvalue()
