"""Pictures with cells removed."""

import numpy as np
import pytest
import torch

from detr_attnviz.evaluation.disturbed import baselines, disturbed, in_pixels
from detr_attnviz.grid import Grid

CPU = torch.device("cpu")


def test_mean_colour_channel_by_channel() -> None:
    pixels = torch.rand(1, 3, 8, 6)
    mean = baselines(pixels)["mean-filled"]
    torch.testing.assert_close(mean[0, :, 7, 5], pixels.mean((0, 2, 3)))
    assert (mean == mean[:, :, :1, :1]).all()


def test_blur_leaves_a_plain_picture_alone_up_to_its_edges() -> None:
    pixels = torch.full((1, 3, 20, 30), 0.7)
    torch.testing.assert_close(baselines(pixels)["blurred"], pixels)


def test_blur_spreads_a_point_as_a_gaussian_would() -> None:
    pixels = torch.zeros(1, 3, 101, 121)
    pixels[0, 1, 50, 60] = 1
    blurred = baselines(pixels)["blurred"][0]
    assert not blurred[0].any()
    deviation = 0.1 * 101
    peak = 1 / (2 * np.pi * deviation**2)
    assert blurred[1, 50, 60].item() == pytest.approx(peak, rel=1e-3)
    assert blurred[1, 50, 70].item() == pytest.approx(peak * np.exp(-((10 / deviation) ** 2) / 2), rel=1e-3)
    assert blurred[1, 40, 60].item() == pytest.approx(peak * np.exp(-((10 / deviation) ** 2) / 2), rel=1e-3)


def test_kept_cells_show_the_picture_and_the_others_what_is_given_instead() -> None:
    pixels, instead = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    kept = torch.tensor([[[True, False], [True, True]], [[False, False], [False, True]]])
    images = disturbed(pixels, instead, kept)
    assert images.shape == (2, 3, 2, 2)
    assert images[:, 2].tolist() == [[[0, 1], [0, 0]], [[1, 1], [1, 0]]]


def test_cells_cover_the_pixels_of_their_stride_and_are_cut_at_the_edge() -> None:
    grid = Grid(rows=2, cols=2, stride_px=3, height_px=9, width_px=9, input_height_px=5, input_width_px=4)
    cells = np.array([[[True, False], [False, True]]])
    assert in_pixels(cells, grid, CPU)[0].int().tolist() == [
        [1, 1, 1, 0],
        [1, 1, 1, 0],
        [1, 1, 1, 0],
        [0, 0, 0, 1],
        [0, 0, 0, 1],
    ]


def test_what_a_model_drops_goes_with_the_last_cell() -> None:
    grid = Grid(rows=1, cols=2, stride_px=2, height_px=2, width_px=5, input_height_px=2, input_width_px=5)
    assert in_pixels(np.array([[[False, True]]]), grid, CPU)[0, 0].int().tolist() == [0, 0, 1, 1, 1]


def test_padding_is_never_removed() -> None:
    grid = Grid(1, 2, 2, height_px=2, width_px=4, input_height_px=2, input_width_px=4, canvas_px=(3, 6))
    kept = in_pixels(np.array([[[False, True]]]), grid, CPU)[0]
    assert kept.int().tolist() == [[0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]]
