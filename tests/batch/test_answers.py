"""From pictures to maps: one by one or several in a forward, and a fault stays with its picture."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from detr_attnviz.batch.answers import Ready, answer, answers, read
from detr_attnviz.batch.images import Picture
from detr_attnviz.batch.room import Room
from detr_attnviz.batch.spare import Spare
from detr_attnviz.detector import Detector, load
from detr_attnviz.errors import CaptureError, ChoiceError, ImageError
from detr_attnviz.explanation import Explanation
from detr_attnviz.methods.request import Request
from detr_attnviz.models import kernels
from tests.scarce import Scarce
from tests.tiny import drawn_picture, tiny_detector, tiny_model, write_picture

REQUEST = Request(queries=(3, 1))
SIDES = (64, 96)


def ready(detector: Detector, folder: Path, name: str, width_px: int = 96, height_px: int = 64) -> Ready:
    write_picture(folder / name, width_px, height_px)
    return read(detector, Picture(folder / name, name), SIDES, name)


def test_a_picture_is_called_by_its_source(detector: Detector, tmp_path: Path) -> None:
    (found,) = answers(detector, [ready(detector, tmp_path, "a.png")], REQUEST)
    assert isinstance(found, Explanation)
    assert found.provenance["picture"] == "a.png"
    alone = answer(detector, Picture(tmp_path / "a.png", "a.png"), REQUEST, SIDES)
    assert alone.provenance["picture"] == str(tmp_path / "a.png")
    np.testing.assert_array_equal(found.maps, alone.maps)


def test_pictures_of_one_shape_are_told_by_it(detector: Detector, tmp_path: Path) -> None:
    wide, other, tall = (
        ready(detector, tmp_path, f"{width}x{height}.png", width, height)
        for width, height in ((96, 64), (192, 128), (64, 96))
    )
    assert wide.shape == other.shape != tall.shape


def test_several_in_a_forward_give_the_maps_of_each_alone(detector: Detector, tmp_path: Path) -> None:
    group = [ready(detector, tmp_path, f"{width}.png", width, width * 2 // 3) for width in (96, 48, 192)]
    assert len({one.shape for one in group}) == 1
    for one, together in zip(group, answers(detector, group, REQUEST), strict=True):
        (alone,) = answers(detector, [one], REQUEST)
        assert isinstance(alone, Explanation)
        assert isinstance(together, Explanation)
        assert together.image is one.image
        # a batched kernel may add up in another order
        np.testing.assert_allclose(together.maps, alone.maps, rtol=0, atol=1e-5)


def test_several_in_the_forward_of_an_opened_checkpoint_give_the_maps_of_each_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"model": tiny_model().state_dict()}, tmp_path / "tiny.pth")
    opened = load(tmp_path / "tiny.pth", device="cpu", nheads=4)  # its forward is fused
    mixed: list[int] = []
    mix = kernels._mix

    def seen(q: torch.Tensor, *others: Any) -> torch.Tensor:
        mixed.append(len(q))
        return mix(q, *others)

    monkeypatch.setattr(kernels, "_mix", seen)
    group = []
    for number, color in enumerate(("red", "blue", "green")):
        picture = Picture(tmp_path / f"{number}.png", f"{number}.png")
        image = drawn_picture(512, 512)
        image.paste(color, (64 * number, 100, 64 * number + 200, 400))
        image.save(picture.path)
        group.append(read(opened, picture, (512, 512), picture.location))
    for request in (Request(queries=(3, 1)), Request(kind="encoder", points=((300, 200),))):
        mixed.clear()
        for one, together in zip(group, answers(opened, group, request), strict=True):
            (alone,) = answers(opened, [one], request)
            assert isinstance(alone, Explanation)
            assert isinstance(together, Explanation)
            assert (together.grid.rows, together.grid.cols) == (16, 16)
            np.testing.assert_allclose(together.maps, alone.maps, rtol=0, atol=1e-5)
        with torch.no_grad():
            has_kernels = kernels._is_fast(torch.zeros(1), torch.zeros(1))
        assert mixed == ([256] * 4 * 6 if has_kernels else [])  # head by head, three together and three alone


def test_a_point_outside_one_picture_leaves_the_others_alone(detector: Detector, tmp_path: Path) -> None:
    group = [ready(detector, tmp_path, f"{width}.png", width, width * 2 // 3) for width in (96, 48, 192)]
    first, second, third = answers(detector, group, Request(kind="encoder", points=((60, 3),)))
    assert isinstance(first, Explanation)
    assert isinstance(second, ImageError)
    assert isinstance(third, Explanation)


def test_what_no_picture_has_is_raised(detector: Detector, tmp_path: Path) -> None:
    with pytest.raises(ChoiceError, match="no query 99"):
        answers(detector, [ready(detector, tmp_path, "a.png")], Request(queries=(99,)))


def test_a_bug_in_a_forward_of_several_is_raised(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> object:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(detector, "trace_prepared", broken)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        answers(detector, [ready(detector, tmp_path, name) for name in ("a.png", "b.png")], REQUEST)


def test_too_little_memory_for_one_of_several_is_its_fault_alone(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace_prepared = detector.trace_prepared

    def scarce(pictures: list[tuple[object, object, str]]) -> object:
        if any(source == "b.png" for _, _, source in pictures):
            raise torch.cuda.OutOfMemoryError("CUDA")
        return trace_prepared(pictures)  # type: ignore[arg-type]

    monkeypatch.setattr(detector, "trace_prepared", scarce)
    first, second = answers(detector, [ready(detector, tmp_path, name) for name in ("a.png", "b.png")], REQUEST)
    assert isinstance(first, Explanation)
    assert "not enough memory for this picture" in str(second)


def test_a_group_is_halved_and_gives_what_groups_of_that_size_give(tmp_path: Path) -> None:
    scarce, plain = Scarce(tiny_detector().family, most_pictures=3), tiny_detector()
    group = [ready(plain, tmp_path, f"{number}.png", 48 * number, 32 * number) for number in range(1, 7)]
    assert len({one.shape for one in group}) == 1
    room = Room(scarce.device)
    for _ in range(2):
        found = answers(scarce, group, REQUEST, room)
        pairs = [one for start in (0, 3) for one in answers(plain, group[start : start + 3], REQUEST)]
        for one, other in zip(found, pairs, strict=True):
            assert isinstance(one, Explanation)
            assert isinstance(other, Explanation)
            np.testing.assert_array_equal(one.maps, other.maps)
            assert one.provenance == other.provenance
    assert scarce.sizes == [6, 3, 3, 3, 3]


def test_maps_that_need_more_memory_than_their_forward_shrink_the_group_too(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, traces = Request.answer, list[int]()
    trace_prepared = detector.trace_prepared

    def counted(pictures: Any) -> Any:
        traces.append(len(pictures))
        return trace_prepared(pictures)

    def hungry(self: Request, trace: Any) -> Explanation:
        if traces[-1] > 1 and trace.source == "1.png":
            raise RuntimeError("MPS backend out of memory (MPS allocated: 18.00 GB)")
        return right(self, trace)

    monkeypatch.setattr(Request, "answer", hungry)
    monkeypatch.setattr(detector, "trace_prepared", counted)
    group = [ready(detector, tmp_path, f"{number}.png") for number in range(4)]
    found = answers(detector, group, Request(queries=(1,), method="relevance"))
    assert all(isinstance(one, Explanation) for one in found)
    assert traces == [4, 2, 1, 1, 1, 1]


def test_one_that_has_no_room_alone_names_what_helps(tmp_path: Path) -> None:
    scarce = Scarce(tiny_detector().family, most_px=64 * 64)
    group = [ready(scarce, tmp_path, "a.png"), ready(scarce, tmp_path, "b.png")]
    for one in answers(scarce, group, REQUEST):
        assert isinstance(one, ImageError)
        assert str(one) == (
            "not enough memory on mps for this picture: a smaller --shortest-px needs less, "
            "and --allow-cpu has it done on the CPU"
        )


def test_one_that_has_no_room_alone_is_done_by_the_spare_and_says_so(tmp_path: Path) -> None:
    plain = tiny_detector()
    scarce, notes = Scarce(tiny_detector().family, most_px=64 * 64), list[str]()
    spare = Spare(scarce, notes.append)
    large, small = ready(scarce, tmp_path, "a.png"), ready(scarce, tmp_path, "b.png", 64, 64)
    for _ in range(2):
        (found,) = answers(scarce, [large], REQUEST, spare=spare)
        (expected,) = answers(plain, [large], REQUEST)
        assert isinstance(found, Explanation)
        assert isinstance(expected, Explanation)
        np.testing.assert_array_equal(found.maps, expected.maps)
        assert found.provenance == {**expected.provenance, "device": "cpu"}
    (here,) = answers(scarce, [small], REQUEST, spare=spare)
    assert isinstance(here, Explanation)
    assert "device" not in here.provenance
    (note,) = notes
    assert "not enough memory on mps even for one picture: a copy of the model does it on the CPU" in note


def test_a_spare_that_cannot_be_made_is_the_pictures_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(detector: Detector) -> Detector:
        raise CaptureError("Fork cannot be copied")

    monkeypatch.setattr("detr_attnviz.batch.spare.on_cpu", refusing)
    scarce = Scarce(tiny_detector().family, most_px=0)
    (found,) = answers(scarce, [ready(scarce, tmp_path, "a.png")], REQUEST, spare=Spare(scarce))
    assert "it cannot be done on the CPU: Fork cannot be copied" in str(found)


def test_no_memory_on_the_cpu_either_is_the_pictures_fault(tmp_path: Path) -> None:
    scarce = Scarce(tiny_detector().family, most_px=0)
    spare = Spare(scarce)
    assert isinstance(spare.found, Detector)
    spare.__dict__["found"] = tiny_detector()

    def hungry(_: object) -> object:
        raise MemoryError

    spare.found.family.forward = hungry  # type: ignore[method-assign, assignment]
    (found,) = answers(scarce, [ready(scarce, tmp_path, "a.png")], REQUEST, spare=spare)
    assert str(found) == "not enough memory for this picture: a smaller --shortest-px needs less"


def test_inputs_wait_on_the_host_where_a_gpu_has_no_memory_left(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensor: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(type(detector), "device", torch.device("cuda"))
    monkeypatch.setattr(torch.Tensor, "pin_memory", full)
    assert ready(detector, tmp_path, "a.png").prepared.inputs["images"].device.type == "cpu"


def test_a_fault_that_was_found_already_is_the_pictures(detector: Detector, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be read"):
        read(detector, Picture(tmp_path, "x", fault="the folder cannot be read"), SIDES, "x")
