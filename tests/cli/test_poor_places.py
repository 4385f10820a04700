"""Places where nothing can be written, a home that is not there, no descriptors, no names left: one line each."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cli.forked import (
    NOBODY,
    SMALL,
    Ended,
    attnviz,
    attnviz_here,
    limited,
    make_scene,
    mount,
    scenario,
    tmpfs,
    tree,
)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks processes, as POSIX systems can")

FEW = ("--methods", "raw", "--heads", "none", "--no-controls", "--top-k", "1", "--threshold", "0")
WRITING = (
    ("render", "photos/a.png", *SMALL),
    ("render", "photos/a.png", *SMALL, "-o", "new/a.png"),
    ("figure", "objects", "photos/a.png", *SMALL),
    ("explore", "photos/a.png", *SMALL),
    ("batch", "photos", *SMALL, "-o", "maps"),
    ("batch", "photos", *SMALL, "-o", "."),
    ("evaluate", "photos", *SMALL, *FEW, "-o", "report.html"),
    ("evaluate", "photos", *SMALL, *FEW, "-o", "reports"),
    ("inspect-weights", "tiny.pth", "--export", "split.npz"),
    ("inspect-weights", "tiny.pth", "--plot", "weights.png"),
)
SOME = (WRITING[1], WRITING[4], WRITING[7], WRITING[8])
EVERYTHING = tuple(command for command in WRITING if command[-1] != ".")


def as_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


@contextmanager
def public_folder() -> Iterator[Path]:
    """A scene that everybody may enter and read, and only its owner may write into."""
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        yield make_scene(folder)
    finally:
        shutil.rmtree(folder)


def warm(folder: Path) -> None:
    """All that commands import lazily is there, which may lie where nobody else may read."""
    other = folder / "warm"
    make_scene(other)
    for command in EVERYTHING:
        assert attnviz_here(other, *command) == 0, command
    shutil.rmtree(other)


def everywhere(folder: Path) -> dict[str, Any]:
    """What became of commands in each of these places."""
    warm(folder)
    places = (on_a_read_only_disk, without_names, without_descriptors, in_a_folder_that_is_gone)
    found = {place.__name__: place(make_scene(folder / place.__name__)) for place in places}
    return found | ({"where_nobody_may_write": where_nobody_may_write()} if can_be_nobody() else {})


def can_be_nobody() -> bool:
    """Whether this is root, and packages lie where everybody may read what commands still need of them."""
    if os.geteuid():
        return False
    import torch

    process = os.fork()
    if not process:
        as_nobody()
        os._exit(0 if os.access(torch.__file__, os.R_OK) else 1)
    return os.waitpid(process, 0)[1] == 0


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """All of that, in one process."""
    return scenario(__name__, "everywhere", tmp_path_factory.mktemp("places"), mounts=True)


def where_nobody_may_write() -> list[Any]:
    with public_folder() as place:
        before = tree(place)
        ends = [attnviz(place, *command, before=as_nobody) for command in WRITING]
        return [ends, tree(place) == before]


def on_a_read_only_disk(folder: Path) -> list[Any]:
    place = folder / "disk"
    with tmpfs(place):
        before = tree(make_scene(place))
        mount("-o", "remount,ro", place)
        ends = [attnviz(place, *command) for command in SOME]
        return [ends, tree(place) == before]


def without_names(folder: Path) -> list[Any]:
    """On a disk whose last inodes go while results are written; then there are more."""
    found = []
    for command in (WRITING[4], WRITING[7]):
        assert attnviz_here(folder, *command) == 0
        straight = tree(folder / command[-1])
        shutil.rmtree(folder / command[-1])
        with tmpfs(folder / command[-1], "nr_inodes=7"):
            short = attnviz(folder, *command)
            mount("-o", "remount,nr_inodes=0", folder / command[-1])
            again = attnviz(folder, *command)
            found.append([short, again, tree(folder / command[-1]) == straight])
    return found


def few_descriptors(more: int) -> None:
    """Leaves a process so many numbers for what it opens, from the lowest free one on."""
    lowest = os.dup(0)
    os.close(lowest)
    limited("NOFILE", lowest + more)()


def without_descriptors(folder: Path) -> list[Any]:
    """With ever more of them; a command ends well or says what is missing, and then it is done again."""
    found = []
    for command in (WRITING[0], WRITING[4], WRITING[7]):
        for more in (0, 1, 2, 4):
            found.append(attnviz(folder, *command, "--json", before=partial(few_descriptors, more)))
    return found


def in_a_folder_that_is_gone(folder: Path) -> list[Any]:
    def leave() -> None:
        os.mkdir("gone")
        os.chdir("gone")
        os.rmdir("../gone")

    commands = (("render", folder / "photos/a.png", *SMALL), ("inspect-weights", folder / "tiny.pth"))
    return [attnviz(folder, *command, before=leave) for command in commands]


def one_line(ended: Ended, words: str) -> bool:
    told = ended.lines
    return ended.code == 1 and len(told) == 1 and told[0].startswith("attnviz: ") and words in told[0]


@pytest.mark.parametrize(
    ("place", "commands", "words"),
    [
        ("where_nobody_may_write", WRITING, "permission denied"),
        ("on_a_read_only_disk", SOME, "read-only file system"),
    ],
)
def test_a_place_that_takes_nothing_is_told_in_one_line(
    places: Any, place: str, commands: tuple[tuple[str, ...], ...], words: str
) -> None:
    if place not in places:
        pytest.skip("needs root, to become somebody who may write nowhere, and packages that everybody may read")
    ends, is_untouched = places[place]
    assert len(ends) == len(commands)
    for command, ended in zip(commands, ends, strict=True):
        refused = words if command[-1] != "." else "lies in the output folder"
        assert one_line(Ended(*ended), refused), (command, ended)
    assert is_untouched


def test_a_disk_without_names_is_told_and_later_completed(places: Any) -> None:
    for short, again, is_same in places["without_names"]:
        assert one_line(Ended(*short), "no space left on device"), short
        assert again[0] == 0, again
        assert is_same


def test_too_few_descriptors_are_told_without_a_traceback(places: Any) -> None:
    ends = [Ended(*ended) for ended in places["without_descriptors"]]
    assert {ended.code for ended in ends} == {0, 1}
    for ended in ends:
        assert "Traceback" not in ended.err
        assert "damaged" not in ended.err + ended.out, "the picture is not what is wrong"
        assert ended.code == 0 or "too many open files" in (ended.err + ended.out).lower(), ended


def test_a_current_folder_that_is_gone_is_told(places: Any) -> None:
    for ended in places["in_a_folder_that_is_gone"]:
        assert one_line(Ended(*ended), "change to another one"), ended
