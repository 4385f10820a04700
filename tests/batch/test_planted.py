"""An output folder that others have written into: links, pipes, edited manifests. Nothing outside of it is touched."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from detr_attnviz.batch.plan import BatchSettings
from detr_attnviz.batch.run import run_batch
from detr_attnviz.batch.shards import Shard
from detr_attnviz.batch.write import OutputFolder
from detr_attnviz.detector import Detector
from detr_attnviz.errors import OutputError
from tests.batch.conftest import rows_in, tree

pytestmark = pytest.mark.skipif(os.name == "nt", reason="makes links and pipes as POSIX systems have them")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder of somebody else's, whose files are called as ours are."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for name in ("q1_cat.overlay.png", "p0_1,2.pair.png", "a.jpg.npz", "7.draft", "1-of-2.jsonl", "lock", "manifest"):
        (folder / name).write_bytes(b"not yours")
    return folder


@pytest.mark.parametrize("link", ["a.jpg", "sub", "sub/a.jpg", ".attnviz", "manifest.jsonl"])
@pytest.mark.parametrize("is_dangling", [False, True])
def test_no_link_in_the_output_folder_leads_out_of_it(
    detector: Detector, settings: BatchSettings, image_folder: Path, elsewhere: Path, link: str, is_dangling: bool
) -> None:
    out = image_folder.parent / "out"
    (out / link).parent.mkdir(parents=True)
    goal = elsewhere / "manifest" if link == "manifest.jsonl" else elsewhere
    (out / link).symlink_to(elsewhere / "nothing" if is_dangling else goal)
    before = tree(elsewhere)
    with pytest.raises(OutputError, match=f"{link} is a link"):
        run_batch(detector, [image_folder], settings, out)
    assert tree(elsewhere) == before
    (out / link).unlink()
    assert run_batch(detector, [image_folder], settings, out).failed == 0


def test_a_link_in_a_file_s_place_gives_way_and_its_goal_stays(
    detector: Detector, settings: BatchSettings, image_folder: Path, elsewhere: Path
) -> None:
    run_batch(detector, [image_folder], settings, image_folder.parent / "straight")
    straight = tree(image_folder.parent / "straight")
    out = image_folder.parent / "out"
    for name in (*straight.keys() - {"manifest.jsonl"}, "a.jpg/q99_old.overlay.png"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).symlink_to(elsewhere / "a.jpg.npz")
    before = tree(elsewhere)
    run_batch(detector, [image_folder], settings, out)
    assert tree(out) == straight
    assert not any(path.is_symlink() for path in out.rglob("*"))
    assert tree(elsewhere) == before


@pytest.mark.parametrize("name", ["lock", "gate"])
def test_a_link_in_a_lock_s_place_makes_nothing_elsewhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "out" / ".attnviz").mkdir(parents=True)
    (tmp_path / "out" / ".attnviz" / name).symlink_to(tmp_path / "victim")
    with pytest.raises(OutputError, match="cannot write into"), OutputFolder(tmp_path / "out"):
        pass
    assert not (tmp_path / "victim").exists()


def test_a_link_in_the_place_of_a_shard_s_notes_is_told(
    detector: Detector, settings: BatchSettings, image_folder: Path, elsewhere: Path
) -> None:
    out = image_folder.parent / "out"
    (out / ".attnviz").mkdir(parents=True)
    (out / ".attnviz" / "1-of-2.jsonl").symlink_to(elsewhere / "nothing")
    before = tree(elsewhere)
    for shard in (Shard(1, 2), None):
        with pytest.raises(OutputError, match="1-of-2.jsonl is a link"):
            run_batch(detector, [image_folder], settings, out, shard=shard)
    assert tree(elsewhere) == before


def replaced_by_a_folder(manifest: Path) -> None:
    manifest.unlink()
    manifest.mkdir()


def replaced_by_a_pipe(manifest: Path) -> None:
    manifest.unlink()
    os.mkfifo(manifest)


def filled_with_nothing(manifest: Path) -> None:
    manifest.write_bytes(bytes(manifest.stat().st_size))


def all_foreign(manifest: Path) -> None:
    manifest.write_bytes(b'{"foreign": 1}\n' * 1_000_000)


def one_endless_line(manifest: Path) -> None:
    manifest.write_bytes(b"")
    os.truncate(manifest, 1 << 32)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (replaced_by_a_folder, "is a directory"),
        (replaced_by_a_pipe, "is no file but a pipe"),
        (filled_with_nothing, "is not a manifest"),
        (all_foreign, "is not a manifest"),
        (one_endless_line, "is not a manifest"),
    ],
)
def test_what_is_no_manifest_any_more_is_told_and_stays(
    detector: Detector, settings: BatchSettings, image_folder: Path, harm: Callable[[Path], None], words: str
) -> None:
    out = image_folder.parent / "out"
    run_batch(detector, [image_folder], settings, out)
    harm(out / "manifest.jsonl")
    before = (out / "manifest.jsonl").lstat()
    with pytest.raises(OutputError, match=words):
        run_batch(detector, [image_folder], settings, out)
    after = (out / "manifest.jsonl").lstat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
    assert not (out / ".attnviz").exists()


def deleted(manifest: Path) -> None:
    manifest.unlink()


def emptied(manifest: Path) -> None:
    manifest.write_bytes(b"")


def cut(manifest: Path) -> None:
    os.truncate(manifest, manifest.stat().st_size * 2 // 5)


def with_nothing_at_its_end(manifest: Path) -> None:
    manifest.write_bytes(manifest.read_bytes() + bytes(4096))


def with_foreign_lines(manifest: Path) -> None:
    manifest.write_bytes(b"foreign\n\n[]\n" + manifest.read_bytes() + b'{"picture": "a.jpg", "part": 7}\n\0\n')


def in_another_order(manifest: Path) -> None:
    manifest.write_bytes(b"".join(reversed(manifest.read_bytes().splitlines(keepends=True))))


def too_deep(manifest: Path) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join(line[:-2] + b', "x": ' + deep + b"}\n" for line in lines))


def leading_out(manifest: Path) -> None:
    """Every file it names is one of somebody else, of the size it says."""
    rows = [json.loads(line) for line in manifest.read_bytes().splitlines()]
    for number, row in enumerate(rows):
        row |= {"file": ("../victim", str(manifest.parent.parent / "victim"), "", ".")[number % 4], "bytes": 6}
        row["bytes"] = 6 if row["file"].endswith("victim") else manifest.parent.stat().st_size
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(
    "harm",
    [
        deleted,
        emptied,
        cut,
        with_nothing_at_its_end,
        with_foreign_lines,
        in_another_order,
        too_deep,
        leading_out,
    ],
)
def test_a_manifest_that_somebody_harmed_is_mended(
    detector: Detector, settings: BatchSettings, image_folder: Path, harm: Callable[[Path], None]
) -> None:
    out = image_folder.parent / "out"
    (out.parent / "victim").write_bytes(b"victim")
    run_batch(detector, [image_folder], settings, out)
    straight = tree(out)
    harm(out / "manifest.jsonl")
    assert run_batch(detector, [image_folder], settings, out).failed == 0
    assert tree(out) == straight
    assert (out.parent / "victim").read_bytes() == b"victim"


@pytest.mark.parametrize("harm", [deleted, emptied, replaced_by_a_folder, in_another_order])
def test_a_manifest_harmed_while_a_run_is_at_work_is_told_or_mended(
    detector: Detector, settings: BatchSettings, image_folder: Path, harm: Callable[[Path], None]
) -> None:
    out = image_folder.parent / "out"
    run_batch(detector, [image_folder], settings, out)
    straight = tree(out)
    for before in (lambda: None, lambda: run_batch(detector, [image_folder], settings, out, resume=False)):
        before()
        done: list[int] = []

        def meddle(*_: object, done: list[int] = done) -> None:
            done.append(1)
            if len(done) == 2:
                harm(out / "manifest.jsonl")

        with suppress(OutputError):
            run_batch(detector, [image_folder], settings, out, resume=False, on_progress=meddle)
        if (out / "manifest.jsonl").is_dir():
            (out / "manifest.jsonl").rmdir()
        assert run_batch(detector, [image_folder], settings, out).failed == 0
        assert tree(out) == straight


def test_pictures_that_change_or_go_while_a_run_is_at_work(
    detector: Detector, settings: BatchSettings, image_folder: Path
) -> None:
    out = image_folder.parent / "out"
    other = (image_folder / "sub" / "a.jpg").read_bytes()

    def meddle(report: object, total: object) -> None:
        (image_folder / "sub" / "deeper" / "b.PNG").unlink(missing_ok=True)
        (image_folder / "a.png").write_bytes(other)

    report = run_batch(detector, [image_folder], settings, out, on_progress=meddle, workers=1)
    assert report.failed <= 1
    assert run_batch(detector, [image_folder], settings, out).failed == 0
    run_batch(detector, [image_folder], settings, out.with_name("straight"))
    left = {name: data for name, data in tree(out).items() if not name.startswith("sub/deeper") and "json" not in name}
    assert left == {name: data for name, data in tree(out.with_name("straight")).items() if "json" not in name}
    assert {row["picture"] for row in rows_in(out)} >= {row["picture"] for row in rows_in(out.with_name("straight"))}


def test_clocks_that_go_backwards_change_nothing(
    detector: Detector, settings: BatchSettings, image_folder: Path
) -> None:
    out = image_folder.parent / "out"
    run_batch(detector, [image_folder], settings, out)
    straight = tree(out)
    for path in out.rglob("*"):
        os.utime(path, (4e9, 4e9))  # all of it was written in the future
    assert run_batch(detector, [image_folder], settings, out).skipped == 4
    for number in (2, 1):
        run_batch(detector, [image_folder], settings, out, shard=Shard(number, 2), resume=False)
    assert tree(out) == straight
