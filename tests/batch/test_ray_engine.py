"""The work on a local Ray cluster: the same folder as a local run's, also when a worker is killed on the way."""

import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from detr_attnviz.batch import ray_engine
from detr_attnviz.batch.plan import BatchSettings
from detr_attnviz.batch.recipe import Recipe
from detr_attnviz.batch.run import run_batch
from detr_attnviz.detector import Detector, load
from detr_attnviz.errors import CheckpointError, ChoiceError, MissingExtraError, VerificationError
from detr_attnviz.methods.request import Request
from detr_attnviz.recording.records import DenseRecord
from tests.batch.conftest import make_pictures, rows_in, tree
from tests.tiny import tiny_detector, tiny_model

NAMES = tuple(f"{folder}{number:02}.png" for folder in ("", "sub/") for number in range(20))
SETTINGS = BatchSettings(Request(threshold=0.0, top_k=2), exports=("overlay", "arrays"), shortest_px=64, longest_px=96)
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed (the extra ray)")


@pytest.fixture
def opened(tmp_path: Path) -> Detector:
    """A detector from a file."""
    torch.save({"model": tiny_model().state_dict()}, tmp_path / "tiny.pth")
    return load(tmp_path / "tiny.pth", nheads=4, classes=("cat", "dog", "bird", "fish", "cow"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = make_pictures(tmp_path / "photos", NAMES)
    (folder / "bad.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two workers of one core each."""
    ray = import_module("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def test_without_ray_the_message_says_what_to_install(
    opened: Detector, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'--engine ray needs .*pip install "detr-attnviz\[ray\]"'):
        run_batch(opened, [photos], SETTINGS, tmp_path / "out", engine="ray")
    assert not (tmp_path / "out").exists()


def test_a_built_module_cannot_be_sent() -> None:
    with pytest.raises(ChoiceError, match=r"built in Python .* save one and load it by its path"):
        Recipe.of(tiny_detector())


def test_a_recipe_opens_the_same_detector(opened: Detector) -> None:
    again = Recipe.of(opened)()
    assert SETTINGS.hash_for(again) == SETTINGS.hash_for(opened)
    assert again.provenance == opened.provenance


def test_a_recipe_takes_the_limit_of_pictures_along(opened: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5000)
    recipe = pickle.loads(pickle.dumps(Recipe.of(opened)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 7)
    recipe()
    assert Image.MAX_IMAGE_PIXELS == 5000


def test_a_recipe_refuses_another_checkpoint_under_the_same_path(opened: Detector, tmp_path: Path) -> None:
    recipe = Recipe.of(opened)
    torch.save({"model": tiny_model(queries=3).state_dict()}, tmp_path / "tiny.pth")
    with pytest.raises(CheckpointError, match="on a worker of the cluster: .* is another file than it was here"):
        recipe()
    (tmp_path / "tiny.pth").unlink()
    with pytest.raises(CheckpointError, match="on a worker of the cluster: .*no such file"):
        recipe()


def test_a_recipe_refuses_a_checkpoint_that_is_taken_for_another_model(opened: Detector) -> None:
    recipe = Recipe.of(opened)
    with pytest.raises(
        CheckpointError, match=r"tiny.pth works otherwise than it did here: have the same configuration files"
    ):
        replace(recipe, origin=replace(recipe.origin, told={"nheads": 2}))()


@needs_ray
@pytest.mark.filterwarnings("ignore")  # Ray's own
@pytest.mark.skipif(sys.platform == "win32", reason="kills a process, as POSIX systems can")
def test_a_run_with_a_worker_killed_on_the_way_equals_a_local_run(
    cluster: None, opened: Detector, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_batch(opened, [photos], SETTINGS, tmp_path / "straight")
    marker, of_plain = tmp_path / "killed", Recipe.of

    def deadly(detector: Detector) -> Callable[[], Detector]:
        recipe = of_plain(detector)

        def open_detector() -> Detector:
            detector = recipe()
            forward, calls = detector.trace_prepared, []

            def killed_in_the_third(pictures: Any) -> Any:
                calls.append(pictures)
                if len(calls) == 3 and not marker.exists():
                    marker.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                return forward(pictures)

            detector.trace_prepared = killed_in_the_third  # type: ignore[method-assign]
            return detector

        return open_detector

    monkeypatch.setattr(Recipe, "of", deadly)
    report = run_batch(opened, [photos], SETTINGS, tmp_path / "out", engine="ray", workers=2)
    assert marker.exists()
    assert (report.pictures, report.failed) == (len(NAMES) + 1, 1)
    assert tree(tmp_path / "out") == tree(tmp_path / "straight")


@needs_ray
@pytest.mark.filterwarnings("ignore")
def test_what_is_there_is_left_alone_and_the_rest_is_done(
    cluster: None, opened: Detector, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_batch(opened, [photos / "sub"], SETTINGS, out)
    for name in ("00.png", "01.png"):
        (out / f"{name}.npz").unlink()
    report = run_batch(opened, [photos / "sub"], SETTINGS, out, engine="ray")
    assert (report.skipped, report.written) == (18, 6)
    assert run_batch(opened, [photos / "sub"], SETTINGS, out, engine="ray").skipped == 20


@needs_ray
@pytest.mark.filterwarnings("ignore")
def test_a_request_that_no_picture_can_answer_ends_the_run(
    cluster: None, opened: Detector, photos: Path, tmp_path: Path
) -> None:
    wrong = BatchSettings(Request(layer=9), shortest_px=64, longest_px=96)
    with pytest.raises(ChoiceError, match="no layer 9"):
        run_batch(opened, [photos / "sub"], wrong, tmp_path / "out", engine="ray")
    assert not (tmp_path / "out").exists()


@needs_ray
@pytest.mark.filterwarnings("ignore")
def test_pictures_that_share_a_forward_on_a_worker(
    cluster: None, opened: Detector, photos: Path, tmp_path: Path
) -> None:
    report = run_batch(opened, [photos], SETTINGS, tmp_path / "out", engine="ray", batch_size=4)
    assert (report.written, report.failed) == (3 * len(NAMES), 1)
    assert {row["picture"] for row in rows_in(tmp_path / "out")} == {*NAMES, "bad.png"}


@needs_ray
@pytest.mark.filterwarnings("ignore")
def test_the_driver_proves_the_first_picture_that_can_be_read(
    cluster: None, opened: Detector, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "00.png").write_bytes(b"no picture")
    report = run_batch(opened, [photos], SETTINGS, tmp_path / "out", engine="ray")
    assert report.proof is not None
    assert report.proof.picture == "01.png"
    right = DenseRecord.map
    monkeypatch.setattr(DenseRecord, "map", lambda self, *args: right(self, *args).flip(1))
    with pytest.raises(VerificationError, match="on 01.png"):
        run_batch(opened, [photos], SETTINGS, tmp_path / "wrong", engine="ray")
    assert not (tmp_path / "wrong").exists()


@needs_ray
@pytest.mark.filterwarnings("ignore")
def test_what_actors_say_of_their_memory_is_heard(
    cluster: None, opened: Detector, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_plain = Recipe.of

    def scarce(detector: Detector) -> Callable[[], Detector]:
        recipe = of_plain(detector)

        def open_detector() -> Detector:
            detector = recipe()
            forward = detector.forward

            def refusing(inputs: Any) -> Any:
                if len(inputs["images"]) > 1:
                    raise torch.OutOfMemoryError("CUDA out of memory")
                return forward(inputs)

            detector.forward = refusing  # type: ignore[method-assign]
            return detector

        return open_detector

    monkeypatch.setattr(Recipe, "of", scarce)
    (photos / "sub" / "more").mkdir()
    for number in range(8):
        os.link(photos / "sub" / "00.png", photos / "sub" / "more" / f"{number}.png")
    report = run_batch(
        opened, [photos / "sub" / "more"], SETTINGS, tmp_path / "out", engine="ray", batch_size=4, verify=False
    )
    assert (report.written, report.failed) == (24, 0)
    (note,) = report.notes
    assert "not enough memory on cpu for 4 pictures in one forward: they go one at a time from here on" in note
