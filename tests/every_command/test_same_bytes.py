"""The same input gives the same bytes, whatever the process, the hour, the folder, and however the work is spread."""

import re
from pathlib import Path

from tests.every_command.conftest import Runs

SECONDS = re.compile(rb'"seconds": [0-9.e+-]+|in [0-9.]+ s, [0-9.]+ images/s')
"""How long a run took is said, and is in no file."""


def files_of(folder: Path) -> dict[str, bytes]:
    """Everything below a folder but what commands said."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.parent.name != "said"}


def said_in(folder: Path) -> dict[str, bytes]:
    """What commands said, but for those whose work is spread otherwise, without times."""
    paths = (path for path in sorted((folder / "said").iterdir()) if not path.name.startswith("batch"))
    return {path.name: SECONDS.sub(b"", path.read_bytes()) for path in paths}


def test_files_are_the_same_to_the_byte(runs: Runs) -> None:
    one, many = files_of(runs.one), files_of(runs.many)
    assert one.keys() == many.keys()
    assert [name for name, data in one.items() if many[name] != data] == []
    suffixes = {Path(name).suffix for name in one}
    assert suffixes >= {
        ".png",
        ".jpg",
        ".webp",
        ".pdf",
        ".svg",
        ".html",
        ".npz",
        ".jsonl",
        ".csv",
        ".json",
        ".txt",
        ".safetensors",
    }


def test_what_commands_say_is_the_same(runs: Runs) -> None:
    one, many = said_in(runs.one), said_in(runs.many)
    assert one.keys() == many.keys()
    assert [name for name, data in one.items() if many[name] != data] == []


def test_no_command_failed(runs: Runs) -> None:
    for folder in runs:
        codes = {path.name: path.read_bytes().partition(b"\n")[0] for path in (folder / "said").glob("*.err")}
        assert {name: code for name, code in codes.items() if code != b"exit code 0"} == {}
