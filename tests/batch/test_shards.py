"""Shards: equal shares, one folder for all, and the same folder in the end as of a single run."""

import errno
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import pytest

from detr_attnviz.batch.images import Picture
from detr_attnviz.batch.manifest import Manifest
from detr_attnviz.batch.plan import BatchSettings
from detr_attnviz.batch.report import BatchReport
from detr_attnviz.batch.run import run_batch
from detr_attnviz.batch.shards import Shard, opened
from detr_attnviz.batch.write import OutputFolder
from detr_attnviz.detector import Detector
from detr_attnviz.errors import ChoiceError, OutputError
from detr_attnviz.methods.request import Request
from tests.batch.conftest import make_pictures, rows_in, times, tree

NAMES = tuple(f"{folder}{number}.png" for folder in ("", "sub/") for number in range(4))
SETTINGS = BatchSettings(Request(threshold=0.0, top_k=1), exports=("arrays",), shortest_px=32, longest_px=64)
OTHERS = BatchSettings(Request(threshold=0.0, top_k=1, layer=0), exports=("arrays",), shortest_px=32, longest_px=64)
NONE = ("", "2", "2/", "/4", "0/4", "5/4", "1/0", "-1/4", "1.5/4", "a/b", "1/4/2", "²/4")
TOO_MANY = ("1/1000001", "1/99999999999999999999999", f"1/{'9' * 5000}", f"{'9' * 5000}/{'9' * 5000}")
Runner = Callable[..., BatchReport]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def run(detector: Detector, tmp_path: Path, out: Path) -> Runner:
    """Runs all pictures, or the shard "I/N" of them."""
    photos = make_pictures(tmp_path / "photos", NAMES)

    def run(shard: str = "", settings: BatchSettings = SETTINGS, to: Path = out, most: int = 99) -> BatchReport:
        def stop(report: BatchReport, _: int | None) -> None:
            if report.pictures == most:
                raise KeyboardInterrupt

        return run_batch(
            detector, [photos], settings, to, shard=Shard.parse(shard) if shard else None, on_progress=stop
        )

    return run


@pytest.fixture
def straight(run: Runner, tmp_path: Path) -> dict[str, bytes]:
    """What a single run makes."""
    run(to=tmp_path / "straight")
    return tree(tmp_path / "straight")


def test_shares_are_equal_and_leave_nobody_out() -> None:
    pictures = [Picture(Path(str(number)), str(number)) for number in range(10)]
    shares = [list(Shard(number, 4).share(iter(pictures))) for number in (1, 2, 3, 4)]
    assert sorted((one for share in shares for one in share), key=lambda one: int(one.location)) == pictures
    assert [len(share) for share in shares] == [3, 3, 2, 2] == [Shard(number, 4).size(10) for number in (1, 2, 3, 4)]
    assert Shard(4, 4).size(2) == 0


@pytest.mark.parametrize("text", [*NONE, *TOO_MANY], ids=lambda text: text[:9])
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(ChoiceError, match=r"no shard.*such as 2/4") as caught:
        Shard.parse(text)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize("order", [("1/3", "2/3", "3/3"), ("3/3", "1/3", "2/3")])
def test_shards_one_after_the_other_equal_a_single_run(
    run: Runner, out: Path, straight: dict[str, bytes], order: tuple[str, ...]
) -> None:
    assert sum(run(shard).written for shard in order) == len(NAMES)
    assert tree(out) == straight
    assert run().skipped == len(NAMES)


def test_shards_at_the_same_time_equal_a_single_run(run: Runner, out: Path, straight: dict[str, bytes]) -> None:
    with opened(out, Shard(3, 3)):
        run("1/3")
        assert not (out / "manifest.jsonl").exists()
        run("2/3")
        assert len(rows_in(out)) == 3
        assert run("1/3").skipped == 3
    assert len(rows_in(out)) == 6
    run("3/3")
    assert tree(out) == straight


def test_more_shards_than_pictures(run: Runner, out: Path, straight: dict[str, bytes]) -> None:
    reports = [run(f"{number}/10") for number in range(1, 11)]
    assert [report.pictures for report in reports] == [1] * 8 + [0] * 2
    assert tree(out) == straight


def test_a_shard_cut_short_goes_on(run: Runner, out: Path, straight: dict[str, bytes]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run("1/2", most=2)
    run("2/2")
    assert len(rows_in(out)) == 6
    assert run("1/2").skipped == 2
    assert tree(out) == straight


def test_a_single_run_takes_over_what_shards_left(run: Runner, out: Path, straight: dict[str, bytes]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run("1/2", most=2)
    assert run().skipped == 2
    assert tree(out) == straight


def test_another_number_of_shards_takes_over_too(run: Runner, out: Path, straight: dict[str, bytes]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run("1/2", most=2)
    assert [run(f"{number}/4").skipped for number in (1, 2, 3, 4)] == [1, 0, 1, 0]
    assert tree(out) == straight


def test_a_shard_under_other_settings_replaces_its_share(run: Runner, out: Path, tmp_path: Path) -> None:
    run()
    with pytest.raises(KeyboardInterrupt):
        run("2/2", OTHERS, most=1)
    run("1/2", OTHERS)
    assert run("2/2", OTHERS).skipped == 1
    run(to=tmp_path / "others", settings=OTHERS)
    assert tree(out) == tree(tmp_path / "others")


@pytest.mark.parametrize("kin_at_work", [False, True])
def test_lines_of_a_picture_that_went_into_another_share_do_not_come_back(
    run: Runner, out: Path, tmp_path: Path, kin_at_work: bool
) -> None:
    with opened(out, Shard(3, 3)) if kin_at_work else nullcontext():
        with pytest.raises(KeyboardInterrupt):
            run("2/3", most=1)  # has noted 1.png
        make_pictures(tmp_path / "photos", ("0.bmp", "0.jpg"))  # puts 1.png into the share of 1/3
        run("1/3", OTHERS)
        run("2/3", OTHERS)
    run("3/3", OTHERS)
    run(to=tmp_path / "straight", settings=OTHERS)
    assert tree(out) == tree(tmp_path / "straight")


def test_of_two_notes_on_a_picture_the_newer_counts(out: Path) -> None:
    for order in (("1-of-3", "2-of-3"), ("2-of-3", "1-of-3")):
        with ExitStack() as stack:
            stack.enter_context(opened(out, Shard(3, 3)))
            for time_ns, mark in enumerate(order):
                notes = out / ".attnviz" / f"{mark}.jsonl"
                with Manifest(notes) as manifest:
                    manifest.put("a.png", [{"file": mark}])
                os.utime(notes, ns=(time_ns, time_ns))
        assert [row["file"] for row in rows_in(out)] == [order[1]]


def test_notes_of_shards_at_work_are_left_to_them(run: Runner, out: Path, straight: dict[str, bytes]) -> None:
    with opened(out, Shard(1, 2)) as (_, manifest):
        manifest.put("zzz.png", [{"file": None}])
        run("2/2")
        run("2/2")
        assert (out / ".attnviz" / "1-of-2.jsonl").exists()
        manifest.take_back("zzz.png")
    run("1/2")
    assert tree(out) == straight


def test_drafts_of_a_killed_shard_go_also_when_the_number_changes(out: Path) -> None:
    (out / ".attnviz").mkdir(parents=True)
    for name in ("1-of-3.4.draft", "7.draft", "taken_over.draft", "2-of-2.1.draft"):
        (out / ".attnviz" / name).write_bytes(b"half")
    with opened(out, Shard(1, 2)):
        assert not list(out.rglob("*.draft"))


@pytest.mark.parametrize("step", ["absorb", "finish", "unlink"])
def test_taking_over_can_be_cut_at_any_moment(
    step: str, run: Runner, out: Path, straight: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = Path if step == "unlink" else Manifest
    plain = getattr(owner, step)

    def cut(self: Any, *args: Any, **options: Any) -> None:
        if step != "unlink" or self.suffix == ".jsonl":
            raise KeyboardInterrupt
        plain(self, *args, **options)

    run("1/2")
    with monkeypatch.context() as patch:
        patch.setattr(owner, step, cut)
        with pytest.raises(KeyboardInterrupt):
            run("2/2")
    assert (out / ".attnviz" / "2-of-2.jsonl").exists()
    assert run("2/2").skipped == 4
    assert tree(out) == straight


def test_a_second_shard_of_the_same_number_is_refused(run: Runner, out: Path) -> None:
    with opened(out, Shard(1, 2)), pytest.raises(OutputError, match="another run is writing into"):
        run("1/2")


def test_runs_that_do_not_fit_together_are_refused(run: Runner, out: Path) -> None:
    with opened(out, Shard(1, 2)):
        for other in ("", "1/3"):
            with pytest.raises(OutputError, match="another run is writing into"):
                run(other)
    with OutputFolder(out), pytest.raises(OutputError, match="another run is writing into"):
        run("1/2")
    assert not out.exists()


def test_only_its_own_drafts_are_swept_by_a_shard(out: Path) -> None:
    with ExitStack() as stack:
        first, _ = stack.enter_context(opened(out, Shard(1, 12)))
        draft = first.keep("a.npz", b"x")
        with opened(out, Shard(2, 12)), pytest.raises(OutputError), opened(out, Shard(1, 1)):
            pass
        assert draft.exists()


def test_a_shard_counts_its_own_pictures(run: Runner, detector: Detector, tmp_path: Path, out: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    run_batch(
        detector,
        [tmp_path / "photos"],
        SETTINGS,
        out,
        shard=Shard(3, 3),
        on_progress=lambda report, total: seen.append((report.pictures, total)),
    )
    assert [done for done, _ in seen] == [1, 2]
    assert {total for _, total in seen} <= {None, 2}


def test_a_finished_shard_changes_nothing_when_run_again(run: Runner, out: Path) -> None:
    run("1/2")
    run("2/2")
    before = times(out)
    assert run("1/2").skipped == 4
    assert times(out) == before


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that has none."""

    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refused)


@pytest.mark.skipif(sys.platform == "win32", reason="takes the locks of POSIX systems away")
def test_without_locks_notes_and_drafts_wait_for_a_run_without_shards(
    run: Runner, out: Path, straight: dict[str, bytes], no_locks: None
) -> None:
    with opened(out, Shard(1, 3)) as (folder, manifest):
        draft = folder.keep("a.npz", b"x")
        manifest.put("zzz.png", [{"file": None}])
        run("2/3")
        run("3/3")
        assert draft.exists()
        manifest.take_back("zzz.png")
    run("1/3")
    assert not (out / "manifest.jsonl").exists()
    assert run().skipped == len(NAMES)
    assert tree(out) == straight
