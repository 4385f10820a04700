"""The manifest: what counts after any cut, what a second run leaves alone, and its order."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detr_attnviz.batch.manifest import Manifest
from detr_attnviz.errors import OutputError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "manifest.jsonl"


def write(path: Path, pictures: Iterable[tuple[str, int]], *, tidy: bool = True) -> None:
    """Each picture with so many lines."""
    with Manifest(path) as manifest:
        for picture, lines in pictures:
            manifest.put(picture, [{"file": f"{picture}/{number}", "note": "é"} for number in range(lines)])
        if tidy:
            manifest.finish(path.with_name("draft"))


def files(path: Path, *pictures: str) -> list[list[str]]:
    with Manifest(path) as manifest:
        return [[row.get("file", "") for row in manifest.rows(picture)] for picture in pictures]


def test_rows_come_back(path: Path) -> None:
    write(path, [("a.jpg", 2), ("b.jpg", 1)])
    assert files(path, "a.jpg", "b.jpg", "c.jpg") == [["a.jpg/0", "a.jpg/1"], ["b.jpg/0"], []]
    assert path.read_bytes().isascii()


def test_the_order_is_that_of_pictures(path: Path) -> None:
    write(path, [("b.jpg", 2), ("a/b.jpg", 1), ("a-b.jpg", 1), ("a.jpg", 1)])
    order = [json.loads(line)["picture"] for line in path.read_text().splitlines()]
    assert order == ["a/b.jpg", "a-b.jpg", "a.jpg", "b.jpg", "b.jpg"]


def test_the_history_does_not_show(path: Path) -> None:
    write(path, [("a.jpg", 2), ("b.jpg", 1), ("c.jpg", 1)])
    straight = path.read_bytes()
    write(path, [("b.jpg", 3), ("a.jpg", 1), ("b.jpg", 1)], tidy=False)
    write(path, [("a.jpg", 2)])
    assert path.read_bytes() == straight


def test_equal_rows_are_not_written_again(path: Path) -> None:
    write(path, [("a.jpg", 2)])
    before = path.stat()
    write(path, [("a.jpg", 2)])
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_rows_taken_back_do_not_count(path: Path) -> None:
    write(path, [("a.jpg", 2), ("b.jpg", 1)])
    with Manifest(path) as manifest:
        manifest.take_back("a.jpg")
        manifest.take_back("never.jpg")
        assert manifest.rows("a.jpg") == []
    assert files(path, "a.jpg", "b.jpg") == [[], ["b.jpg/0"]]
    write(path, [])
    assert path.read_text().count("\n") == 1


def test_every_cut_leaves_whole_pictures_only(path: Path) -> None:
    write(path, [("a.jpg", 2), ("b.jpg", 3)], tidy=False)
    whole = path.read_bytes()
    first = len(b"".join(whole.splitlines(keepends=True)[:2]))
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert files(path, "b.jpg") == [[]]
        assert bool(files(path, "a.jpg")[0]) == (length >= first)
        write(path, [("a.jpg", 2), ("b.jpg", 3)])
        assert path.read_bytes() == whole


def test_a_damaged_line_in_the_middle_counts_for_nothing(path: Path) -> None:
    write(path, [("a.jpg", 2), ("b.jpg", 2), ("c.jpg", 1)])
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for bad in (b"\n", b"\0\0\0\n", b"{}\n", lines[2][:-9] + b"\n", lines[0], b'{"picture": "b.jpg", "part": 1, x}\n'):
        path.write_bytes(b"".join([*lines[:3], bad, *lines[3:]]))
        assert files(path, "a.jpg", "b.jpg", "c.jpg") == [["a.jpg/0", "a.jpg/1"], [], ["c.jpg/0"]]
        write(path, [("b.jpg", 2)])
        assert path.read_bytes() == whole


def test_a_line_that_is_no_json_inside_counts_for_nothing(path: Path) -> None:
    path.write_bytes(b'{"picture": "a.jpg", "part": 1, "parts": 1, "file": ]}\n')
    with Manifest(path) as manifest:
        assert manifest.rows("a.jpg") == []


def test_somebody_elses_file_is_not_touched(path: Path) -> None:
    for content in (
        '{"audio_filepath": "a.wav"}\n',
        "picture,label\na.jpg,1\n",
        '{"picture": "a.jpg", "caption": "x"}\n',
    ):
        path.write_text(content)
        with pytest.raises(OutputError, match="is not a manifest of attnviz"):
            Manifest(path)
        assert path.read_text() == content


def test_a_folder_in_its_place(path: Path) -> None:
    path.mkdir()
    with pytest.raises(OutputError, match="cannot read"):
        Manifest(path)


def test_what_came_before_counts_where_nothing_newer_is_said(path: Path) -> None:
    write(path, [("a.jpg", 2), ("b.jpg", 1), ("c.jpg", 1)])
    whole, newer = path.read_bytes(), path.with_name("newer")
    with Manifest(path) as before, Manifest(newer, before=before) as manifest:
        manifest.take_back("a.jpg")
        manifest.take_back("never.jpg")
        manifest.put("b.jpg", [{"file": "new"}])
        manifest.put("c.jpg", before.rows("c.jpg"))
        assert [len(manifest.rows(name)) for name in ("a.jpg", "b.jpg", "c.jpg", "never.jpg")] == [0, 1, 1, 0]
        assert manifest.rows("b.jpg")[0]["file"] == "new"
    assert path.read_bytes() == whole
    with Manifest(path) as before, Manifest(newer, before=before) as manifest:
        assert [len(manifest.rows(name)) for name in ("a.jpg", "b.jpg", "c.jpg")] == [0, 1, 1]
        manifest.put("a.jpg", [{"file": "again"}])
        assert [row["file"] for row in manifest.rows("a.jpg")] == ["again"]


def test_a_file_that_takes_its_place_does_not_shift_what_was_read(path: Path) -> None:
    write(path, [("b.jpg", 2)])
    with Manifest(path) as manifest:
        write(path.with_name("newer"), [("a.jpg", 3), ("b.jpg", 1)])
        path.with_name("newer").replace(path)
        assert [row["file"] for row in manifest.rows("b.jpg")] == ["b.jpg/0", "b.jpg/1"]


def test_lines_of_another_picture_are_never_given(path: Path) -> None:
    write(path, [("a.jpg", 1), ("b.jpg", 1)])
    with Manifest(path) as manifest:
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(reversed(lines)))
        assert (manifest.rows("a.jpg"), manifest.lines("b.jpg")) == ([], b"")


def test_a_newer_manifest_is_taken_over(path: Path) -> None:
    newer = path.with_name("newer")
    write(path, [("a.jpg", 2), ("b.jpg", 1), ("c.jpg", 1)])
    with Manifest(path) as before, Manifest(newer, before=before) as manifest:
        manifest.take_back("a.jpg")
        manifest.put("b.jpg", [{"file": "new"}])
        manifest.put("aa.jpg", [{"file": "more"}])
    for _ in range(2):  # cut short, it is done again
        with Manifest(path) as manifest, Manifest(newer) as noted:
            manifest.absorb(noted)
            manifest.finish(path.with_name("draft"))
    assert files(path, "a.jpg", "aa.jpg", "b.jpg", "c.jpg") == [[], ["more"], ["new"], ["c.jpg/0"]]
    assert path.read_text().count("\n") == 3


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=300), st.integers(0, 400), st.booleans())
def test_whatever_the_file_holds_it_is_read_or_refused(path: Path, noise: bytes, where: int, cut: bool) -> None:
    path.unlink(missing_ok=True)
    write(path, [("a.jpg", 2), ("b.jpg", 1)])
    whole = path.read_bytes()
    path.write_bytes(whole[:where] + noise + (b"" if cut else whole[where:]))
    try:
        found = files(path, "a.jpg", "b.jpg")
    except OutputError:
        return
    assert [len(rows) for rows in found] in ([2, 1], [2, 0], [0, 1], [0, 0])
    write(path, [("a.jpg", 2), ("b.jpg", 1)])
    assert files(path, "a.jpg", "b.jpg") == [["a.jpg/0", "a.jpg/1"], ["b.jpg/0"]]


@pytest.mark.parametrize(
    "more", ['"picture": "b.jpg"', '"part": 9', '"parts": 9', pytest.param(f'"x": {"[" * 60_000}', id="deep")]
)
def test_a_line_that_says_two_things_or_nests_too_deep_gives_no_rows(path: Path, more: str) -> None:
    path.write_text(f'{{"picture": "a.jpg", "part": 1, "parts": 1, {more}}}\n')
    assert files(path, "a.jpg", "b.jpg") == [[], []]
    write(path, [("a.jpg", 1)])
    assert files(path, "a.jpg") == [["a.jpg/0"]]


def test_a_damaged_manifest_whose_pictures_are_taken_back_stays_ours(path: Path) -> None:
    write(path, [("a.jpg", 1)])
    path.write_bytes(b"{}\n" + path.read_bytes())
    with Manifest(path) as manifest:
        manifest.take_back("a.jpg")
    assert files(path, "a.jpg") == [[]]
