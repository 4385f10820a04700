"""Finding pictures: every kind of input, in order, none twice, lazily."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from detr_attnviz.batch import images
from detr_attnviz.batch.images import find_pictures
from detr_attnviz.errors import ChoiceError
from tests.batch.conftest import PICTURES, make_pictures


def locations(*inputs: str | Path, outside: Path | None = None) -> list[str]:
    return [picture.location for picture in find_pictures(inputs, outside=outside)]


def test_a_folder_is_walked_in_order_with_suffixes_in_any_case(image_folder: Path) -> None:
    (image_folder / "notes.txt").write_text("no picture")
    make_pictures(image_folder, (".hidden.jpg", ".hidden/c.jpg", "sub-1.TIFF", "x.WebP"))
    found = list(find_pictures([image_folder]))
    assert [one.location for one in found] == [
        "a.jpg",
        "a.png",
        "sub/a.jpg",
        "sub/deeper/b.PNG",
        "sub-1.TIFF",
        "x.WebP",
    ]
    assert all(one.path.is_file() and not one.fault for one in found)


def test_a_single_file_needs_no_known_suffix(image_folder: Path) -> None:
    path = (image_folder / "a.jpg").rename(image_folder / "photo.jpe")
    assert locations(path) == ["photo.jpe"]


def test_equal_names_in_different_roots_do_not_collide(tmp_path: Path) -> None:
    make_pictures(tmp_path, ("x/img/a.jpg", "y/img/a.jpg"))
    assert locations(tmp_path / "x/img", tmp_path / "y/img") == ["x/img/a.jpg", "y/img/a.jpg"]
    assert locations(tmp_path / "x/img/a.jpg", tmp_path / "y/img/a.jpg") == ["x/img/a.jpg", "y/img/a.jpg"]


def test_nothing_is_found_twice(image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(image_folder.parent)
    given = ("photos", "photos/a.jpg", "./photos/sub", str(image_folder), "photos/*.jpg", "photos/sub/../a.png")
    assert locations(*given) == list(PICTURES)


def test_links_in_circles_end(image_folder: Path) -> None:
    (image_folder / "sub" / "back").symlink_to(image_folder, target_is_directory=True)
    (image_folder / "self").symlink_to("self")
    (image_folder / "sub" / "self.jpg").symlink_to("self.jpg")
    assert locations(image_folder) == ["a.jpg", "a.png", "sub/a.jpg", "sub/deeper/b.PNG", "sub/self.jpg"]


def test_a_linked_folder_is_followed(image_folder: Path, tmp_path: Path) -> None:
    make_pictures(tmp_path / "elsewhere", ("c.jpg",))
    (image_folder / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert "link/c.jpg" in locations(image_folder)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("photos/*.jpg", ["a.jpg"]),
        ("photos/**/*.jpg", ["a.jpg", "sub/a.jpg"]),
        ("photos/**/b*", ["sub/deeper/b.PNG"]),
        ("photos/*/a.[jp]pg", ["sub/a.jpg"]),
        ("pho*/a.png", ["photos/a.png"]),
        ("./photos/?.png", ["a.png"]),
    ],
)
def test_a_pattern(image_folder: Path, pattern: str, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(image_folder.parent)
    found = list(find_pictures([pattern]))
    assert [one.location for one in found] == expected
    assert all(one.path.is_file() for one in found)


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    make_pictures(tmp_path, ("photo[1].jpg", "photo1.jpg"))
    assert locations(tmp_path / "photo[1].jpg") == ["photo[1].jpg"]


def test_a_list_is_relative_to_its_own_folder(image_folder: Path) -> None:
    text = "\ufeffa.jpg\r\n\n" + str(image_folder / "sub/a.jpg") + "\nsub/../a.jpg\ngone.jpg"
    (image_folder / "list.txt").write_text(text, encoding="utf-8", newline="")
    found = list(find_pictures([f"@{image_folder}/list.txt"]))
    assert [one.location for one in found] == ["a.jpg", "sub/a.jpg", "gone.jpg"]
    assert found[0].path == image_folder / "a.jpg"


def test_a_list_may_hold_names_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"caf\xe9.jpg\n")
    (found,) = find_pictures([f"@{tmp_path}/list.txt"])
    assert os.fsencode(found.path.name) == b"caf\xe9.jpg"
    assert found.location == "caf%E9.jpg"


def test_a_list_of_100_000_lines_starts_at_once(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("".join(f"folder{n % 100}/{n}.jpg\n" for n in range(100_000)))
    started = time.perf_counter()
    first = next(find_pictures([f"@{tmp_path}/list.txt"]))
    assert first.location == "folder0/0.jpg"
    assert time.perf_counter() - started < 5


def test_a_list_in_utf_16_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.jpg\n", encoding="utf-16")
    with pytest.raises(ChoiceError, match="save it as UTF-8"):
        find_pictures([f"@{tmp_path}/list.txt"])


def test_the_output_folder_is_no_input(image_folder: Path) -> None:
    out = image_folder / "out"
    make_pictures(out, ("a.jpg/q1.overlay.png", "z.png"))
    (image_folder / "list.txt").write_text("a.jpg\nout/z.png\n")
    (image_folder / "way_in").symlink_to(out, target_is_directory=True)
    assert locations(image_folder, outside=out) == list(PICTURES)
    assert locations(image_folder / "a.jpg", out / "z.png", outside=out) == ["a.jpg"]
    assert locations(f"@{image_folder}/list.txt", outside=out) == ["a.jpg"]


def test_an_input_inside_the_output_folder_is_refused(image_folder: Path) -> None:
    for given in (image_folder, image_folder / "a.jpg", image_folder / "sub"):
        with pytest.raises(ChoiceError, match=r"lies in the output folder .* own folder"):
            find_pictures([given], outside=image_folder)


def test_nothing_found_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ChoiceError, match=r"no pictures in .*\.bmp, \.jpeg, \.jpg"):
        find_pictures([tmp_path])
    with pytest.raises(ChoiceError, match="no such file or folder"):
        find_pictures([tmp_path / "gone"])
    with pytest.raises(ChoiceError, match="list cannot be read"):
        find_pictures([f"@{tmp_path}/gone.txt"])
    with pytest.raises(ChoiceError, match="there is no folder"):
        find_pictures([f"{tmp_path}/gone/*.jpg"])


def test_a_folder_that_cannot_be_listed_is_a_fault_among_pictures(
    image_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refusing(folder: str) -> Any:
        if os.path.basename(folder) == "deeper":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    found = list(find_pictures([image_folder]))
    assert [one.location for one in found] == ["a.jpg", "a.png", "sub/a.jpg", "sub/deeper"]
    assert found[-1].fault == "the folder cannot be read: permission denied"


def test_a_tree_deeper_than_python_recurses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def entries(folder: str) -> Iterator[tuple[str, str, bool]]:
        is_folder = folder.count("/d") < 3000
        yield f"{folder}/{'d' if is_folder else 'deep.jpg'}", "", is_folder

    monkeypatch.setattr(images, "_entries", entries)
    assert locations(tmp_path) == ["d/" * 3000 + "deep.jpg"]
