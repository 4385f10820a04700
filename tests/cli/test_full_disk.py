"""A disk without room, or a limit on files, in the middle of whatever a command writes: one line, and nothing half."""

import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.cli.forked import (
    PICTURES,
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
from tests.cli.proof import is_proof_on

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks processes, as POSIX systems can")


class Command(NamedTuple):
    """A command that writes into ``out``, and one of its files, of which an older one is there."""

    args: tuple[str, ...]
    older: str = ""


SURE = ("--threshold", "0", "--top-k", "5")
FEW = ("--methods", "raw", "--heads", "cross", "--no-controls", "--top-k", "1", "--threshold", "0")
COMMANDS = {
    "render": Command(("render", "photos/a.png", *SMALL, "-o", "out/a.png", "--arrays"), "a.png"),
    "sheets": Command(("render", "photos", *SMALL, "-o", "out")),
    "batch": Command(("batch", "photos", *SMALL, *SURE, "-o", "out", "--export", "overlay,arrays"), "a.png.npz"),
    "explore": Command(("explore", "photos", *SMALL, "-o", "out/page.html"), "page.html"),
    "pdf": Command(("figure", "objects", "photos/a.png", *SMALL, "-o", "out/a.pdf"), "a.pdf"),
    "svg": Command(("figure", "weights", "tiny.pth", "-o", "out/a.svg"), "a.svg"),
    "evaluate": Command(("evaluate", "photos", *SMALL, *FEW, "-o", "out"), "evaluation.png"),
    "safetensors": Command(("inspect-weights", "tiny.pth", "--export", "out/a.safetensors"), "a.safetensors"),
    "npz": Command(("inspect-weights", "tiny.pth", "--export", "out/a.npz"), "a.npz"),
    "pth": Command(("inspect-weights", "tiny.pth", "--export", "out/a.pth"), "a.pth"),
    "plot": Command(("inspect-weights", "tiny.pth", "--plot", "out/a.png"), "a.png"),
}
GROWING = ("evaluation.results.jsonl", "manifest.jsonl")  # line by line
OLDER = b"older"
PAGE = 4096
SHARES = {"batch": (0.4, 0.97), "evaluate": (0.02,)}  # of the room that a command needs
USUAL = (0.8,)


class Story:
    """What a command left each time that it had no room, held against an undisturbed run's files."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.command = COMMANDS[name]
        self.out.mkdir(exist_ok=True)
        assert attnviz_here(folder, *self.command.args) == 0  # in this process: the others then find all warm
        self.straight = tree(self.out)
        shutil.rmtree(self.out)
        self.faults: list[str] = []
        self.said: list[str] = []
        self.proofs: list[str] = []

    def begin(self) -> None:
        """An older file of one of the names, in a folder that is there already."""
        if older := self.command.older:
            (self.out / older).parent.mkdir(parents=True, exist_ok=True)
            (self.out / older).write_bytes(OLDER)

    def fail(self, ended: Ended) -> None:
        """Notes what the command did wrong."""
        told = ended.lines
        if proven := [name for name in PICTURES if told and is_proof_on(told[0], name)]:
            self.proofs += proven  # said with the first picture that a run gets done, before what went wrong
            told = told[1:]
        self.said += told
        if ended.code != 1 or len(told) != 1 or not told[0].startswith("attnviz: cannot "):
            self.faults.append(f"code {ended.code}: {ended.err[-500:]}")
        left = tree(self.out)
        for name, data in left.items():
            is_old = name == self.command.older and data == OLDER
            if name not in GROWING and data != self.straight.get(name) and not is_old:
                self.faults.append(f"{name} is half-written, or a draft")
        if self.command.older and self.command.older not in left:
            self.faults.append(f"{self.command.older} is gone")

    def end(self, ended: Ended) -> dict[str, Any]:
        """All that was wrong, also with the run that had room at last."""
        left = tree(self.out)
        differ = [name for name in left.keys() | self.straight.keys() if left.get(name) != self.straight.get(name)]
        told = {"faults": self.faults, "said": self.said, "proofs": self.proofs}
        return {**told, "code": ended.code, "differ": differ}


def without_room(folder: Path) -> dict[str, Any]:
    """Every command where files may have half of the size of its largest, where a disk has room for a part, for all."""
    make_scene(folder)
    found = {}
    for name, (args, _) in COMMANDS.items():
        story = Story(folder, name)
        most = max(map(len, story.straight.values())) // 2
        with tmpfs(story.out, "size=64m"):
            story.begin()
            story.fail(attnviz(folder, *args, before=limited("FSIZE", most)))
            for share in SHARES.get(name, USUAL):
                room = max(pages(tree(story.out)), int(share * pages(story.straight)), 1)
                mount("-o", f"remount,size={room * PAGE}", story.out)
                story.fail(attnviz(folder, *args))
            mount("-o", "remount,size=64m", story.out)
            found[name] = story.end(attnviz(folder, *args))
    return found


def pages(files: dict[str, bytes]) -> int:
    return sum(-(-len(data) // PAGE) for data in files.values())


def test_no_room_for_a_file_is_told_and_the_same_command_completes_it(tmp_path: Path) -> None:
    found = scenario(__name__, "without_room", tmp_path, mounts=True)
    assert found.keys() == COMMANDS.keys()
    for name, story in found.items():
        assert story["faults"] == [], name
        assert story["proofs"][:1] == (["a.png"] if name == "batch" else []), name
        large, *full = story["said"]
        assert "file too large" in large.lower(), name
        assert full, name
        assert all("no space left on device" in line.lower() for line in full), (name, full)
        assert (story["code"], story["differ"]) == (0, []), name
