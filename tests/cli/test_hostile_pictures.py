"""The commands among pictures of strangers: each is shown or told of in one line, and the rest goes on."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests import gallery
from tests.cli.conftest import Attnviz
from tests.cli.proof import is_proof_on
from tests.rights import without_root
from tests.tiny import NAMES, write_picture

SMALL = ("--shortest-px", 64, "--longest-px", 96, "--nheads", 4, "--no-dilation")
TAKERS: dict[str, tuple[object, ...]] = {
    "render": ("-o", "out.png", "--query", 1),
    "batch": ("-o", "out", "--query", 1),
    "explore": ("-o", "out.html"),
    "figure objects": ("-o", "out.png", "--dpi", 72),
    "evaluate": ("--methods", "raw", "--heads", "none", "--no-controls", "--shares", 50, "--threshold", 0),
    "verify": (),
}
"""Every command that takes pictures, quickly."""


def in_a_process(*args: object, before: tuple[str, ...] = (), **environment: str) -> "subprocess.CompletedProcess[str]":
    """A command as a shell runs it, so that what libraries print shows, too."""
    return _run([*before, sys.executable, "-m", "detr_attnviz", *map(str, args)], environment)


def in_python(script: str, *args: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """A script in a process of its own."""
    return _run([sys.executable, "-c", script, *args], environment)


def _run(command: list[str], environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=variables)


def fill(folder: Path) -> tuple[set[str], set[str]]:
    """The whole gallery, and what is no file at all: the names of pictures that can be read, and of those that cannot.

    Without their bulk, bombs are in ``tests/test_hostile_pictures.py``.
    """
    good = gallery.sound() | gallery.damaged_exif()
    bad = {
        **gallery.broken(),
        **gallery.giants(),
        **{name: data for name, (data, _) in gallery.other_kinds().items()},
    }
    folder.mkdir()
    for name, data in {**good, **bad}.items():
        assert not (folder / name).exists()
        (folder / name).write_bytes(data)
    (folder / "folder.jpg").mkdir()
    (folder / "circle.jpg").symlink_to("circle.jpg")
    (folder / "dangling.png").symlink_to("gone.png")
    odd = {"folder.jpg", "circle.jpg", "dangling.png"}
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.jpg")
        (folder / "endless.png").symlink_to("/dev/zero")
        odd |= {"pipe.jpg", "endless.png"}
    return set(good), set(bad) | odd


def test_batch_reports_what_it_cannot_read_and_does_the_rest(attnviz: Attnviz, tiny_checkpoint: Path) -> None:
    good, bad = fill(Path("photos"))
    Path("list.txt").write_text("".join(f"photos/{name}\n" for name in sorted(good | bad)))
    options = ("-c", tiny_checkpoint, *SMALL, "--query", 1, "-o", "maps", "--json")
    done = in_a_process("batch", "@list.txt", *options, PYTHONWARNINGS="always")
    report = json.loads(done.stdout)
    assert report["proof"]["picture"] in good
    assert done.stderr.count("\n") == 1
    assert is_proof_on(done.stderr.removesuffix("\n"), report["proof"]["picture"])
    assert done.returncode == 1
    assert {one["picture"] for one in report["failures"]} == bad
    assert all("\n" not in one["error"] and "; " in one["error"] for one in report["failures"])
    assert report["written"] == len(good)
    rows = [json.loads(line) for line in Path("maps/manifest.jsonl").read_text().splitlines()]
    assert {row["picture"] for row in rows if row["file"]} == good
    assert {row["picture"] for row in rows if row["file"] is None and row["error"]} >= bad - {"circle.jpg"}
    for row in rows:
        if row["file"]:
            with Image.open(Path("maps") / row["file"]) as drawn:
                drawn.load()
    again = attnviz("batch", "@list.txt", *options)
    assert (again.code, again.data["skipped"], again.data["failed"]) == (1, len(good), len(bad))
    assert not [path for path in Path("maps").rglob("*") if path.name.endswith(".draft")]


def test_render_tells_of_each_in_a_line(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    good, bad = fill(Path("photos"))
    some = sorted(bad)
    Path("list.txt").write_text("".join(f"photos/{name}\n" for name in [*some, "plain.jpg"]))
    done = in_a_process(
        "render", "@list.txt", "-c", tiny_checkpoint, *SMALL, "--query", 1, "-o", "out", PYTHONWARNINGS="always"
    )
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == len(some)
    for name, line in zip(some, lines, strict=True):
        assert line.startswith(f"attnviz: photos/{name}: ")
        assert "; " in line
    assert [path.name for path in Path("out").iterdir()] == ["plain.decoder.1.cross.overlay.png"]
    assert "plain.jpg" in good


@pytest.mark.parametrize("command", TAKERS)
@pytest.mark.parametrize("name", ["half.jpg", "giant.png", "postscript.jpg", "pipe.jpg", "folder"])
def test_every_command_refuses_in_one_line(attnviz: Attnviz, tiny_checkpoint: Path, command: str, name: str) -> None:
    if name == "pipe.jpg":
        if not hasattr(os, "mkfifo"):
            pytest.skip("no pipes with names here")
        os.mkfifo(name)
    elif name == "folder":
        Path(name).mkdir()
    else:
        others = {other: data for other, (data, _) in gallery.other_kinds().items()}
        Path(name).write_bytes((gallery.broken() | gallery.giants() | others)[name])
    done = attnviz(*command.split(), name, "-c", tiny_checkpoint, *SMALL, *TAKERS[command])
    assert done.code == 1
    assert sum(name in line for line in (done.err + done.out).splitlines()) == 1
    told = " ".join((done.err + done.out).split())  # tables fold long words
    words = {
        "half.jpg": "damaged or cut off",
        "giant.png": "--max-megapixels 3600",
        "postscript.jpg": "(EPS)",
        "pipe.jpg": "is a pipe, not a file",
        "folder": "is a folder" if command in ("verify", "figure objects") else "no pictures in folder",
    }
    assert words[name] in told
    assert not list(Path().glob("out*.*"))


@pytest.mark.parametrize("command", TAKERS)
def test_a_larger_limit_lets_every_command_read_a_larger_picture(
    attnviz: Attnviz, tiny_checkpoint: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    write_picture(Path("street.png"))
    args = (*command.split(), "street.png", "-c", tiny_checkpoint, *SMALL, *TAKERS[command])
    done = attnviz(*args)
    assert done.code == 1
    text = done.err + done.out
    assert "0.006144 megapixels, where 0.002 are the limit" in text
    assert "--max-megapixels 1 " in text
    assert attnviz(*args, "--max-megapixels", 1).code == 0
    assert Image.MAX_IMAGE_PIXELS == 500_000


def test_a_smaller_limit_refuses_more(attnviz: Attnviz, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", usual)
    Image.new("L", (1001, 1000)).save("street.png")
    args = ("render", "street.png", "-c", tiny_checkpoint, *SMALL, "--query", 1, "-o", "out.png")
    done = attnviz(*args, "--max-megapixels", 1)
    assert (done.code, "1.001 megapixels, where 1 are the limit" in done.err) == (1, True)
    assert "--max-megapixels 2 " in done.err
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", usual)  # as in a process of its own
    assert attnviz(*args).code == 0
    assert attnviz(*args, "--max-megapixels", 0).code == 2


def test_a_picture_over_half_of_the_limit_brings_no_warning(
    attnviz: Attnviz, tiny_checkpoint: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 96 * 64 - 1)
    done = attnviz("render", picture, "-c", tiny_checkpoint, *SMALL, "--query", 1, "-o", "out.png")
    assert (done.code, done.err) == (0, "")


@pytest.mark.skipif(os.name != "posix", reason="the mark is left by a shell script")
def test_no_command_starts_ghostscript(tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("programs").mkdir()
    Path("programs/gs").write_text(f"#!/bin/sh\necho ran >> {tmp_path}/mark\n")
    Path("programs/gs").chmod(0o755)
    Path("street.jpg").write_bytes(gallery.POSTSCRIPT)
    done = in_a_process(
        "batch", "street.jpg", "-c", tiny_checkpoint, "-o", "out", PATH=f"{tmp_path}/programs:{os.environ['PATH']}"
    )
    assert done.returncode == 1
    assert "not read (EPS)" in done.stdout
    assert not Path("mark").exists()


def test_what_may_not_be_read_is_reported_and_the_rest_done(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tuple(without_root())
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "secret.png", "hidden/b.png", "z.png"):
        Path("photos", name).parent.mkdir(parents=True, exist_ok=True)
        write_picture(Path("photos", name))
    Path("photos/secret.png").chmod(0)
    Path("photos/hidden").chmod(0)
    try:
        done = in_a_process(
            "batch", "photos", "-c", tiny_checkpoint, *SMALL, "--query", 1, "-o", "out", "--json", before=before
        )
    finally:
        Path("photos/hidden").chmod(0o700)
    report = json.loads(done.stdout)
    assert (done.returncode, done.stderr.count("\n"), report["written"]) == (1, 1, 2)
    assert is_proof_on(done.stderr.removesuffix("\n"), "a.png")
    errors = {one["picture"]: one["error"] for one in report["failures"]}
    assert errors["secret.png"].startswith("cannot be read: permission denied; see to it")
    assert errors["hidden"] == "the folder cannot be read: permission denied"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize("what", ["pipe", "socket", "device"])
def test_lists_and_class_files_that_are_no_files(
    attnviz: Attnviz, tiny_checkpoint: Path, picture: Path, what: str
) -> None:
    if what == "pipe":
        os.mkfifo("odd")
    elif what == "device":
        Path("odd").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        if what == "socket":
            server.bind("odd")
        kind = "is a pipe, not a file" if what == "pipe" else "is a device or socket, not a file"
        why = "is a pipe from which nothing came" if what == "pipe" else kind  # --classes <(…) is a pipe, too
        done = attnviz("render", "@odd", "-c", tiny_checkpoint)
        assert (done.code, done.err.count("\n")) == (1, 1)
        assert f"@odd: the list cannot be read: it {kind}; give a text file with one picture a line" in done.err
        done = attnviz("render", picture, "-c", tiny_checkpoint, "--classes", "odd")
        assert (done.code, done.err.splitlines()[-1].startswith("attnviz: odd: class names cannot be read")) == (
            1,
            True,
        )
        assert f"it {why}; give a text file with one name a line" in done.err


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="pipes have no names here")
def test_class_names_from_another_command(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, "\n".join(f"kind {number}" for number in range(len(NAMES))).encode())
    os.close(writing)
    options = ("-c", tiny_checkpoint, *SMALL, "--query", 1, "-o", "out.png", "--json")
    done = attnviz("render", picture, *options, "--classes", f"/dev/fd/{reading}")
    os.close(reading)
    assert done.code == 0, done.err
    (one,) = done.data["pictures"][0]["maps"]
    assert one["name"] == f"kind {one['label']}"


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems may not make files with holes")
def test_a_list_of_a_gigabyte_without_a_line_is_refused(attnviz: Attnviz, picture: Path) -> None:
    Path("list.txt").write_text(f"{picture}\n")
    os.truncate("list.txt", 2**30)
    done = attnviz("render", "@list.txt")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "@list.txt: line 2 of the list has more than 100000 bytes, which is no path; give" in done.err


def in_the_way(what: str, path: Path) -> None:
    """Something that has the name of a sheet."""
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.write_bytes((gallery.giants() | gallery.broken())[what])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize("what", ["pipe", "folder", "giant.png", "wrong-sum.png"])
def test_what_has_a_sheets_name_is_left_alone(
    attnviz: Attnviz, tiny_checkpoint: Path, picture: Path, what: str
) -> None:
    name = Path("street.decoder.1.cross.overlay.png")
    in_the_way(what, name)
    before = facts(name)
    done = attnviz("render", picture, "-c", tiny_checkpoint, *SMALL, "--query", 1)
    assert (done.code, "wrote street.decoder.1.cross.overlay-2.png" in done.out) == (0, True)
    assert facts(name) == before


def facts(path: Path) -> tuple[int, ...]:
    found = path.lstat()
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns


@pytest.mark.parametrize("name", ["wide.png", "tall.jpg"])
@pytest.mark.parametrize("style", ["overlay", "heatmap", "pair", "contour"])
def test_a_line_of_pixels_in_every_style(attnviz: Attnviz, tiny_checkpoint: Path, name: str, style: str) -> None:
    Path(name).write_bytes(gallery.sound()[name])
    options = ("-c", tiny_checkpoint, "--nheads", 4, "--style", style, "--query", 1)
    done = attnviz("render", name, *options, "-o", "out.png")
    assert done.code == 0, done.err
    width_px, height_px = size_of(Path("out.png"))
    assert (width_px > 1000) == (name == "wide.png")
    assert (height_px > 1000) == (name == "tall.jpg")
    assert max(width_px, height_px) < 3000
    done = attnviz("batch", name, *options, "-o", "out")
    assert done.code == 0, done.err
    (drawn,) = Path("out", name).iterdir()
    across, along = sorted(size_of(drawn))
    assert across <= 2 * 8
    assert 1000 < along <= 10_000


@pytest.mark.parametrize("name", ["wide.png", "tall.jpg"])
def test_a_line_of_pixels_on_a_page_and_on_paper(attnviz: Attnviz, tiny_checkpoint: Path, name: str) -> None:
    Path(name).write_bytes(gallery.sound()[name])
    for command in ("explore", "figure objects", "figure grid", "figure evolution", "figure points --point 0,0"):
        output = "out.html" if command == "explore" else "out.png"
        more = ("--dpi", 72) if command != "explore" else ()
        done = attnviz(*command.split(), name, "-c", tiny_checkpoint, "--nheads", 4, *more, "-o", output)
        assert done.code == 0, done.err
        if output == "out.png":
            assert max(size_of(Path(output))) < 1000  # a page at 72 dpi: 496 × 652


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        image.load()
        return image.size


def test_a_picture_that_goes_away_in_the_middle(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path) -> None:
    Path("list.txt").write_text("pictures/street.png\npictures/gone.png\n")
    done = attnviz("batch", "@list.txt", "-c", tiny_checkpoint, *SMALL, "--query", 1, "-o", "out", "--json")
    failures: list[dict[str, Any]] = done.data["failures"]
    assert [one["error"].split(";")[0] for one in failures] == ["does not exist"]
    shutil.rmtree("out")
