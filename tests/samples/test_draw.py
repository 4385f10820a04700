"""The drawings that the demo weights are trained and measured on, and how they are measured."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from draw import MAX_OBJECTS, SAMPLES, SUPERSAMPLING, draw, draw_sample, write_folder
from evaluate import Answers, average_precision
from outlines import cell_targets
from PIL import Image
from shapes import CLASSES, outline

SAMPLES_FOLDER = Path(__file__).parents[2] / "samples"


@pytest.mark.parametrize("name", CLASSES)
def test_outline_reaches_the_unit_circle_and_stays_inside(name: str) -> None:
    distances = np.linalg.norm(outline(name).points, axis=1)
    assert distances.max() == pytest.approx(1)


def test_same_seed_draws_the_same_picture() -> None:
    first, second = draw((3, 1), 96, 64), draw((3, 1), 96, 64)
    assert first.image.size == (96, 64)
    np.testing.assert_array_equal(np.asarray(first.image), np.asarray(second.image))
    np.testing.assert_array_equal(first.boxes, second.boxes)


def test_other_seed_draws_another_picture() -> None:
    first, second = draw((3, 1), 64, 64), draw((3, 2), 64, 64)
    assert not np.array_equal(np.asarray(first.image), np.asarray(second.image))


@pytest.mark.parametrize("seed", range(5))
def test_boxes_are_tight_around_what_is_visible(seed: int) -> None:
    drawing = draw(seed, 80, 120)
    assert 1 <= len(drawing.labels) <= MAX_OBJECTS
    for number, (left, top, right, bottom) in enumerate(drawing.boxes * SUPERSAMPLING, start=1):
        rows, cols = np.nonzero(drawing.owners == number)
        assert (cols.min(), rows.min()) == (left, top)
        assert (cols.max() + 1, rows.max() + 1) == (right, bottom)


def test_folder_has_pictures_and_coco_annotations(tmp_path: Path) -> None:
    drawing = draw(1, 64, 48)
    write_folder(tmp_path, [("one.png", drawing)])
    content = json.loads((tmp_path / "annotations.json").read_text())
    assert content["images"] == [{"id": 0, "file_name": "one.png", "width": 64, "height": 48}]
    assert [category["name"] for category in content["categories"]] == list(CLASSES)
    left, top, right, bottom = drawing.boxes[0]
    assert content["annotations"][0]["bbox"] == [left, top, right - left, bottom - top]
    assert (tmp_path / "one.png").exists()


def test_cells_know_the_outline_and_the_extremities_of_their_object() -> None:
    owners = torch.zeros(1, 16, 16, dtype=torch.uint8)
    owners[0, 2:14, 2:14] = 1  # a square that fills the four middle cells of 4 x 4 and more
    targets = cell_targets(owners, 4, 4)
    assert (targets.owner[0] == 0).sum() == 12  # all cells but the inner four
    assert (targets.owner[0, 1:3, 1:3] == -1).all()
    left, top, _, _ = targets.extremes[0]
    assert left[:, 0].all()
    assert not left[:, 1:].any()
    assert top[0].all()


def _answers(scores: list[float], lefts: list[float], true_lefts: list[float]) -> Answers:
    """Boxes 0.2 wide and high at the given left edges, all of class 0."""

    def boxes(edges: list[float]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        return np.array([[left, 0, left + 0.2, 0.2] for left in edges])

    labels = np.zeros(len(scores), dtype=np.int64)
    truth = np.zeros(len(true_lefts), dtype=np.int64)
    return Answers(np.array(scores), labels, boxes(lefts), truth, boxes(true_lefts))


def test_precision_of_exact_boxes_is_1() -> None:
    precision = average_precision([_answers([0.9, 0.8], [0.0, 0.5], [0.5, 0.0])])
    assert (precision.ap, precision.ap50, precision.ap75) == pytest.approx((1, 1, 1))


def test_precision_by_hand_with_a_false_alarm_between_two_hits() -> None:
    # hit, miss, hit: precision 1 up to recall 0.5 (51 of 101 levels), then 2/3 (50 levels)
    precision = average_precision([_answers([0.9, 0.8, 0.7], [0.0, 0.25, 0.5], [0.0, 0.5])])
    assert precision.ap50 == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_second_box_on_the_same_object_is_a_false_alarm() -> None:
    # one of two objects is found: precision 1 up to recall 0.5 (51 of 101 levels), then nothing
    precision = average_precision([_answers([0.9, 0.8], [0.0, 0.0], [0.0, 0.5])])
    assert precision.ap50 == pytest.approx(51 / 101)


def test_precision_counts_only_thresholds_that_the_overlap_reaches() -> None:
    # IoU = 0.1499 / 0.2501, a little less than 0.6: right at 0.5 and 0.55 only
    precision = average_precision([_answers([0.9], [0.0501], [0.0])])
    assert precision.ap50 == pytest.approx(1)
    assert precision.ap75 == 0
    assert precision.ap == pytest.approx(0.2)


@pytest.mark.parametrize("name", SAMPLES)
def test_shipped_sample_is_drawn_again(name: str) -> None:
    # another version of Pillow may place single edge pixels differently, so not bit for bit
    shipped = np.asarray(Image.open(SAMPLES_FOLDER / name).convert("RGB"), dtype=float)
    drawn = np.asarray(draw_sample(name).image, dtype=float)
    assert shipped.shape == drawn.shape
    assert np.abs(shipped - drawn).mean() < 0.5
