"""Preprocessing and postprocessing to the pixel."""

import pytest
import torch
from torch.testing import assert_close
from torchvision.transforms import functional as vision

from detr_attnviz.errors import ChoiceError
from detr_attnviz.families.base import Resize
from detr_attnviz.families.native import grid_of, normalised, resized_rule
from detr_attnviz.families.scores import detections_of, softmax_scores
from detr_attnviz.grid import Grid
from tests.tiny import drawn_picture, tiny_detector


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((640, 480), (1066, 800)),  # 1066.67 is truncated
        ((480, 640), (800, 1066)),
        ((1000, 400), (1332, 533)),  # the cap binds: 533.2 is rounded, 1332.5 truncated
        ((400, 1000), (533, 1332)),
        ((401, 1000), (535, 1334)),  # rounding up may pass the cap by a pixel, as it does officially
        ((800, 800), (800, 800)),
        ((800, 1000), (800, 1000)),
        ((1, 10_000), (1, 1333)),
        ((3000, 1), (1333, 1)),
        ((5, 10_000), (1, 2000)),
        ((3, 10_000), (1, 1333)),  # the official rule would ask for no pixels at all
        ((5, 3), (1333, 800)),
    ],
)
def test_official_resizing_rule(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert Resize().size(*size) == expected


def test_vga_has_850_tokens() -> None:
    image = drawn_picture(640, 480)
    grid = grid_of(image, normalised(image, Resize()), 32)
    assert (grid.rows, grid.cols, grid.tokens) == (25, 34, 850)
    assert (grid_of(image, normalised(image, Resize()), 16).rows, 50) == (50, 50)


def test_pixels_are_torchvisions() -> None:
    image, rule = drawn_picture(640, 480), Resize(400, 600)
    expected = vision.normalize(vision.to_tensor(vision.resize(image, [400, 533])), list(rule.mean), list(rule.std))
    assert_close(normalised(image, rule)[0], expected, atol=0, rtol=1e-6)


def test_sizes_that_exclude_each_other() -> None:
    with pytest.raises(ChoiceError, match="shortest side 900 px and longest side 700 px"):
        Resize(900, 700)


def test_a_larger_shortest_side_lifts_the_cap() -> None:
    rule = resized_rule(Resize(), 1600, None)
    assert (rule.shortest_px, rule.longest_px) == (1600, 2666)
    assert resized_rule(Resize(), 400, None).longest_px == 1333
    assert resized_rule(Resize(), None, 900).longest_px == 900


def test_a_smaller_cap_lowers_the_shortest_side() -> None:
    rule = resized_rule(Resize(), None, 640)
    assert (rule.shortest_px, rule.longest_px) == (640, 640)
    with pytest.raises(ChoiceError, match="shortest side 0 px"):
        resized_rule(Resize(), 0, None)


def test_detections_by_hand() -> None:
    logits = torch.tensor([[[0.0, 2.0, 1.0], [1.0, 0.0, 9.0]]])  # two classes, then no-object
    boxes = torch.tensor([[[0.5, 0.5, 0.5, 0.2], [0.1, 0.1, 0.4, 0.4]]])
    grid = Grid(1, 1, 32, height_px=100, width_px=200, input_height_px=32, input_width_px=64)
    first, second = detections_of(softmax_scores(logits[0]), boxes[0], grid, ("cat",))
    e = torch.tensor([0.0, 2.0, 1.0]).exp()
    assert first.score == pytest.approx(float(e[1] / e.sum()))
    assert (first.index, first.label, first.name) == (0, 1, "class 1")
    assert first.box == pytest.approx((50, 40, 150, 60))
    assert (second.label, second.name) == (0, "cat")
    assert second.score < 0.001
    assert second.box == pytest.approx((-20, -10, 60, 30))


def test_sites_are_named_in_the_order_of_the_forward() -> None:
    names = [site.name for site in tiny_detector().sites]
    assert names == ["encoder.0.self", "decoder.0.self", "decoder.0.cross", "decoder.1.self", "decoder.1.cross"]
