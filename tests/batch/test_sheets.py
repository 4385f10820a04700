"""Sheets: where they go, what they are called, and what they never overwrite."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detr_attnviz.batch.sheets import FailedPicture, RenderedSheet, render_files
from detr_attnviz.detector import Detector
from detr_attnviz.drawing.options import DrawingOptions
from detr_attnviz.errors import ChoiceError, OutputError
from detr_attnviz.methods.request import Request
from tests.batch.conftest import make_pictures, tree
from tests.tiny import write_picture

Draw = Callable[..., list[RenderedSheet]]


@pytest.fixture
def draw(detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Draw:
    """Renders pictures with a folder of its own as the current one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def draw(
        *inputs: str | Path, style: Any = "overlay", output: Path | None = None, **about: Any
    ) -> list[RenderedSheet]:
        arrays = about.pop("arrays", False)
        request = Request(**{"threshold": 0.0, "top_k": 2, **about})
        sheets = render_files(
            detector,
            inputs,
            request,
            DrawingOptions(style=style),
            output=output,
            arrays=arrays,
            shortest_px=64,
            longest_px=96,
        )
        return [sheet for sheet in sheets if isinstance(sheet, RenderedSheet)]

    return draw


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return write_picture(tmp_path / "cat.png")


def test_the_default_name_says_what_is_shown(draw: Draw, picture: Path) -> None:
    (sheet,) = draw(picture)
    assert sheet.files == (Path("cat.decoder.1.cross.overlay.png"),)
    assert set(tree(Path())) == {"cat.decoder.1.cross.overlay.png"}
    assert sheet.remark == ""
    with Image.open(sheet.files[0]) as drawn:
        assert drawn.info["site"] == "decoder.1.cross"
        assert drawn.info["picture"] == str(picture)


def test_the_same_command_draws_over_its_own_sheet(draw: Draw, picture: Path) -> None:
    draw(picture)
    before = tree(Path())
    draw(os.path.relpath(picture))
    assert tree(Path()).keys() == before.keys()


def test_other_commands_get_another_name(draw: Draw, picture: Path, tmp_path: Path) -> None:
    other = make_pictures(tmp_path / "other", ("cat.png",)) / "cat.png"
    names = [
        draw(picture)[0].files[0].name,
        draw(picture, layer=0)[0].files[0].name,
        draw(picture, head=1)[0].files[0].name,
        draw(picture, style="pair")[0].files[0].name,
        draw(picture, top_k=1)[0].files[0].name,
        draw(other)[0].files[0].name,
        draw(picture, top_k=1)[0].files[0].name,
    ]
    assert names == [
        "cat.decoder.1.cross.overlay.png",
        "cat.decoder.0.cross.overlay.png",
        "cat.decoder.1.cross.head1.overlay.png",
        "cat.decoder.1.cross.pair.png",
        "cat.decoder.1.cross.overlay-2.png",
        "cat.decoder.1.cross.overlay-3.png",
        "cat.decoder.1.cross.overlay-2.png",
    ]


@pytest.mark.parametrize(
    ("about", "name"),
    [
        ({"method": "relevance"}, "cat.decoder.all.cross.relevance.overlay.png"),
        ({"method": "rollout"}, "cat.decoder.all.cross.rollout.overlay.png"),
        ({"method": "gradcam"}, "cat.backbone.gradcam.overlay.png"),
        ({"method": "value-norm", "layer": 0, "head": "max"}, "cat.decoder.0.cross.value-norm.max.overlay.png"),
        ({"method": "decompose", "head": 1}, "cat.decoder.1.cross.decompose.head1.overlay.png"),
        ({"layer": "all", "head": "entropy-weighted"}, "cat.decoder.all.cross.entropy-weighted.overlay.png"),
    ],
)
def test_names_say_the_method_and_the_layers(draw: Draw, picture: Path, about: dict[str, Any], name: str) -> None:
    (sheet,) = draw(picture, **about)
    assert sheet.files == (Path(name),)
    with Image.open(name) as drawn:
        assert drawn.info["method"] == about.get("method", "raw")
        assert drawn.info["layer"] == json.dumps(sheet.as_json()["maps"][0]["layer"])


def test_unsure_queries_of_several_terms_are_counted_once(draw: Draw, picture: Path) -> None:
    (sheet,) = draw(picture, method="decompose", threshold=1.0, top_k=None)
    assert len(sheet.explanation) == 12
    assert sheet.remark.endswith("showing the 3 best instead")


def test_somebody_elses_file_of_that_name_stays(draw: Draw, picture: Path) -> None:
    Path("cat.decoder.1.cross.overlay.png").write_bytes(b"mine")
    assert draw(picture)[0].files[0].name == "cat.decoder.1.cross.overlay-2.png"
    assert Path("cat.decoder.1.cross.overlay.png").read_bytes() == b"mine"


def test_equal_stems_in_one_command(draw: Draw, image_folder: Path) -> None:
    sheets = draw(image_folder)
    assert len({sheet.files[0] for sheet in sheets}) == 4
    assert [sheet.picture for sheet in sheets][:2] == [image_folder / "a.jpg", image_folder / "a.png"]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".PDF"])
def test_output_may_be_a_file_in_a_new_folder(draw: Draw, picture: Path, suffix: str, tmp_path: Path) -> None:
    goal = tmp_path / "new" / f"figure{suffix}"
    (sheet,) = draw(picture, output=goal, arrays=True)
    assert sheet.files == (goal, goal.with_suffix(".npz"))
    assert all(path.stat().st_size for path in sheet.files)
    with np.load(sheet.files[1], allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["maps"], sheet.explanation.maps)
        assert json.loads(str(arrays["README"]))["origin"]["settings"]["request"]["top_k"] == 2
    draw(picture, output=goal)


def test_output_may_be_a_folder(draw: Draw, picture: Path, image_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "v1.5").mkdir()
    assert draw(picture, output=tmp_path / "sheets")[0].files[0].parent == tmp_path / "sheets"
    assert draw(picture, output=tmp_path / "v1.5")[0].files[0].parent == tmp_path / "v1.5"
    everywhere = {sheet.files[0].parent for sheet in draw(image_folder, output=tmp_path / "all")}
    assert everywhere == {tmp_path / "all", tmp_path / "all" / "sub", tmp_path / "all" / "sub" / "deeper"}


def test_the_picture_itself_is_never_overwritten(draw: Draw, picture: Path, tmp_path: Path) -> None:
    before = picture.read_bytes()
    (tmp_path / "link.png").symlink_to(picture)
    for output in (picture, tmp_path / "link.png"):
        with pytest.raises(ChoiceError, match="is the picture itself"):
            draw(picture, output=output)
    assert picture.read_bytes() == before


def test_outputs_that_cannot_be(draw: Draw, picture: Path, image_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ChoiceError, match=r"is one file, but there are several pictures: give a folder"):
        draw(image_folder, output=tmp_path / "one.png")
    with pytest.raises(ChoiceError, match=r"ends in '.gif': pictures can be written as \.png"):
        draw(picture, output=tmp_path / "figure.gif")
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot make the folder .* a file has the name"):
        draw(picture, output=tmp_path / "taken" / "sheets")


def test_a_bad_picture_is_reported_and_the_rest_is_drawn(
    detector: Detector, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (image_folder / "a.jpeg").write_bytes(b"no picture")
    make_pictures(image_folder / "small", ("b.png",))
    with Image.open(image_folder / "a.png") as large:
        large.resize((30, 20)).save(image_folder / "small" / "b.png")
    request = Request(kind="encoder", points=((40, 10),))
    results = list(render_files(detector, [image_folder], request, DrawingOptions(), output=tmp_path / "out"))
    failed = {one.picture.name: one for one in results if isinstance(one, FailedPicture)}
    assert failed.keys() == {"a.jpeg", "b.png"}
    assert len(results) - len(failed) == len(tree(tmp_path / "out")) == 4
    assert failed["a.jpeg"].error.startswith("not a picture")
    assert "lies outside the picture" in failed["b.png"].error
    assert failed["a.jpeg"].as_json() == {"picture": str(image_folder / "a.jpeg"), "error": failed["a.jpeg"].error}


def test_too_little_memory_is_the_pictures_failure_and_a_bug_is_none(
    detector: Detector, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: object) -> object:
        raise error

    monkeypatch.setattr(detector.family, "forward", failing)
    error: Exception = MemoryError()
    (failed,) = render_files(detector, [picture], Request(), DrawingOptions())
    assert isinstance(failed, FailedPicture)
    assert "not enough memory" in failed.error
    error = RuntimeError("shapes do not fit")
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        list(render_files(detector, [picture], Request(), DrawingOptions()))


def test_a_wrong_choice_ends_it(draw: Draw, image_folder: Path) -> None:
    with pytest.raises(ChoiceError, match="no layer 9"):
        draw(image_folder, layer=9)


def test_sheets_are_drawn_as_they_are_asked_for(detector: Detector, image_folder: Path, tmp_path: Path) -> None:
    sheets = render_files(detector, [image_folder], Request(queries=(1,)), DrawingOptions(), output=tmp_path / "out")
    next(sheets)
    assert len(tree(tmp_path / "out")) == 1


def test_nothing_to_show_writes_nothing_and_says_so(draw: Draw, picture: Path) -> None:
    (sheet,) = draw(picture, threshold=1.0, fallback=0)
    assert sheet.files == ()
    assert sheet.remark
    assert tree(Path()) == {}


def test_a_sheet_as_json(draw: Draw, picture: Path) -> None:
    (sheet,) = draw(picture, threshold=1.0)
    data = json.loads(json.dumps(sheet.as_json()))
    assert data["picture"] == str(picture)
    assert data["files"] == ["cat.decoder.1.cross.overlay.png"]
    assert "threshold 1" in data["remark"]
    assert [row["query"] for row in data["maps"]] == [one.index for one in sheet.explanation.detections]
    settings = data["maps"][0]["settings"]
    assert settings["request"]["threshold"] == 1.0
    assert settings["drawing"]["style"] == "overlay"
    assert (settings["shortest_px"], settings["longest_px"], settings["heads"]) == (64, 96, "4")
    assert settings["software"].startswith("detr_attnviz ")


def test_the_same_bytes_twice(draw: Draw, picture: Path) -> None:
    (sheet,) = draw(picture, arrays=True)
    before = [path.read_bytes() for path in sheet.files]
    assert [path.read_bytes() for path in draw(picture, arrays=True)[0].files] == before
