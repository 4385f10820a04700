"""The work on a picture: nothing is written, and faults are facts."""

from pathlib import Path

from detr_attnviz.batch.answers import Ready
from detr_attnviz.batch.exports import MadeFile
from detr_attnviz.batch.images import Picture
from detr_attnviz.batch.plan import BatchSettings
from detr_attnviz.batch.work import Made, Work
from detr_attnviz.detector import Detector
from detr_attnviz.errors import ImageError
from detr_attnviz.methods.request import Request
from tests.batch.conftest import tree
from tests.tiny import write_picture


def test_from_a_picture_to_its_files_without_writing(
    detector: Detector, settings: BatchSettings, tmp_path: Path
) -> None:
    write_picture(tmp_path / "a.png")
    before = tree(tmp_path)
    kept: list[MadeFile] = []

    def keep(made: MadeFile) -> str:
        kept.append(made)
        return made.name

    work = Work(detector, settings, keep)
    picture = Picture(tmp_path / "a.png", "sub/a.png")
    ready = work.read(picture)
    assert isinstance(ready, Ready)
    (found,) = work.answers([ready])
    made = work.draw(picture, found)
    assert made.files == tuple(one.name for one in kept)
    assert [name.partition("/q")[0] for name in made.files] == ["sub/a.png", "sub/a.png", "sub/a.png.npz"]
    assert (made.remark, made.fault) == ("", "")
    assert tree(tmp_path) == before


def test_a_fault_does_not_say_where_the_inputs_lie(detector: Detector, settings: BatchSettings, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    work = Work(detector, settings, keep=lambda made: made)
    read = work.read(Picture(tmp_path / "a.png", "a.png"))
    assert isinstance(read, Made)
    assert read.fault.startswith("not a picture")
    drawn = work.draw(Picture(tmp_path / "a.png", "a.png"), ImageError(f"{tmp_path}/a.png: too dark"))
    assert drawn.fault == "too dark"


def test_too_little_memory_to_draw_is_the_pictures_fault(
    detector: Detector, settings: BatchSettings, tmp_path: Path
) -> None:
    write_picture(tmp_path / "a.png")

    def full(made: MadeFile) -> MadeFile:
        raise MemoryError

    work = Work(detector, settings, full)
    picture = Picture(tmp_path / "a.png", "a.png")
    ready = work.read(picture)
    assert isinstance(ready, Ready)
    assert "not enough memory to draw this picture's maps" in work.draw(picture, *work.answers([ready])).fault


def test_a_note_is_kept_once(detector: Detector, settings: BatchSettings) -> None:
    work = Work(detector, settings, keep=lambda made: made)
    for sentence in ("one", "two", "one"):
        work.note(sentence)
    assert work.notes == ["one", "two"]


def test_queries_that_are_not_sure_are_remarked_upon(detector: Detector, tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    settings = BatchSettings(Request(threshold=1.0, fallback=1), shortest_px=64, longest_px=96)
    work = Work(detector, settings, keep=lambda made: made.name)
    picture = Picture(tmp_path / "a.png", "a.png")
    ready = work.read(picture)
    assert isinstance(ready, Ready)
    assert "no detection reaches" in work.draw(picture, *work.answers([ready])).remark
