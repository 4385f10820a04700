"""Help that reads well on a narrow terminal."""

import re

import pytest

from tests.cli.conftest import Attnviz

FIGURES = ("objects", "points", "grid", "evolution", "methods", "weights")
COMMANDS = (
    *("", "render", "batch", "explore", "figure", "evaluate", "inspect-weights", "verify", "checkpoints"),
    "checkpoints download",
    *(f"figure {kind}" for kind in FIGURES),
)


@pytest.fixture(autouse=True)
def _narrow(attnviz: Attnviz, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_and_names_values_in_words(attnviz: Attnviz, command: str) -> None:
    done = attnviz(*command.split(), "--help")
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    options = [line for line in lines if line.startswith("│") and "--" in line and "--help" not in line]
    assert [line for line in options if re.search("<[a-z]", line)] == []


@pytest.mark.parametrize("command", ["render", "batch"])
def test_help_says_what_may_be_given_and_shows_examples(attnviz: Attnviz, command: str) -> None:
    words = attnviz(command, "--help").out
    assert all(piece in words for piece in ("folders", "quoted patterns", "@LIST", f"\n attnviz {command} "))
