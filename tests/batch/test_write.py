"""The output folder: whole files, one writer, nothing left over."""

import os
from pathlib import Path

import pytest

from detr_attnviz.batch.write import OutputFolder, at_work
from detr_attnviz.errors import OutputError
from tests.batch.conftest import tree


def test_files_arrive_and_nothing_else_stays(tmp_path: Path) -> None:
    with OutputFolder(tmp_path / "new" / "out") as folder:
        folder.put("sub/a.jpg/q1.overlay.png", b"one")
        folder.put("sub/a.jpg/q1.overlay.png", b"two")
        assert folder.has("sub/a.jpg/q1.overlay.png", 3)
        assert not folder.has("sub/a.jpg/q1.overlay.png", 4)
        assert not folder.has("sub/b.jpg", 3)
    assert tree(tmp_path) == {"new/out/sub/a.jpg/q1.overlay.png": b"two"}


def test_a_folder_that_stayed_empty_goes_if_it_was_made_here(tmp_path: Path) -> None:
    (tmp_path / "old" / "out").mkdir(parents=True)
    for out in (tmp_path / "new" / "out", tmp_path / "old" / "out", tmp_path / "old" / "new"):
        with pytest.raises(ZeroDivisionError), OutputFolder(out):
            raise ZeroDivisionError
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["old", "out"]
    with OutputFolder(tmp_path / "new" / "out"):
        (tmp_path / "new" / "mine.txt").touch()
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["mine.txt"]


def test_an_interrupted_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with OutputFolder(tmp_path) as folder:
        folder.put("a.npz", b"old")
        monkeypatch.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            folder.put("a.npz", b"new")
    assert tree(tmp_path) == {"a.npz": b"old"}


def test_drafts_of_a_killed_run_are_swept(tmp_path: Path) -> None:
    (tmp_path / ".attnviz").mkdir()
    (tmp_path / ".attnviz" / "7.draft").write_bytes(b"half")
    (tmp_path / ".attnviz" / "lock").touch()
    with OutputFolder(tmp_path):
        assert not list(tmp_path.rglob("*.draft"))
    assert list(tmp_path.iterdir()) == []


def test_a_draft_that_cannot_be_swept_frees_the_lock(tmp_path: Path) -> None:
    (tmp_path / ".attnviz" / "7.draft").mkdir(parents=True)
    for _ in range(2):
        with pytest.raises(OutputError, match=r"cannot remove .*7\.draft"), OutputFolder(tmp_path):
            pass


def test_only_our_files_of_this_picture_are_pruned(tmp_path: Path) -> None:
    ours = ("a.jpg/q1_cat.overlay.png", "a.jpg/p0_1,2.pair.png", "a.jpg.npz", "a.jpg.heatmap.png")
    others = ("a.jpg/notes.txt", "a.jpg/deep/q1.overlay.png", "a.jpg.txt", "b.jpg/q1.overlay.png", "b.jpg.npz")
    with OutputFolder(tmp_path) as folder:
        for name in (*ours, *others):
            folder.put(name, b"x")
        folder.prune("a.jpg", keep={"a.jpg.npz"})
        assert sorted(tree(tmp_path).keys() - {".attnviz/lock"}) == sorted(("a.jpg.npz", *others))
        folder.prune("b.jpg", keep=())
        assert not (tmp_path / "b.jpg").exists()
        folder.prune("never.jpg", keep=())


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"mine")
    with OutputFolder(tmp_path) as folder, pytest.raises(OutputError, match="a file has the name that a folder needs"):
        folder.put("a.jpg/q1.overlay.png", b"x")
    with (
        pytest.raises(OutputError, match=r"cannot write into .* a file has the name"),
        OutputFolder(tmp_path / "a.jpg"),
    ):
        pass
    assert tree(tmp_path) == {"a.jpg": b"mine"}


def test_two_writers_in_one_process(tmp_path: Path) -> None:
    with (
        OutputFolder(tmp_path),
        pytest.raises(OutputError, match="another run is writing into"),
        OutputFolder(tmp_path),
    ):
        pass
    with OutputFolder(tmp_path):
        pass


def test_drafts_that_got_no_name_go_at_the_end(tmp_path: Path) -> None:
    with OutputFolder(tmp_path) as folder:
        first, second = folder.keep("a.npz", b"one"), folder.keep("a.npz", b"two")
        assert not (tmp_path / "a.npz").exists()
        folder.place(first, "a.npz")
        assert second.exists()
    assert tree(tmp_path) == {"a.npz": b"one"}


def test_marks_that_end_alike_may_write_at_once(tmp_path: Path) -> None:
    with OutputFolder(tmp_path, "1-of-2") as one, OutputFolder(tmp_path, "2-of-2") as two:
        drafts = {one.keep("a.npz", b"one"), two.keep("b.npz", b"two")}
        assert len(drafts) == 2
        for other in ("", "1-of-2", "1-of-22", "1-of-1"):
            with pytest.raises(OutputError, match="another run is writing into"), OutputFolder(tmp_path, other):
                pass
        assert at_work(tmp_path) == {"1-of-2", "2-of-2"}
        assert all(draft.exists() for draft in drafts)
    assert not at_work(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_nobody_holds_keeps_nobody_out(tmp_path: Path) -> None:
    (tmp_path / ".attnviz").mkdir()
    (tmp_path / ".attnviz" / "1-of-3.lock").touch()
    with OutputFolder(tmp_path):
        assert at_work(tmp_path)
    assert list(tmp_path.iterdir()) == []
