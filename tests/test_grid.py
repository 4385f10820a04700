"""Token ↔ original pixel."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detr_attnviz.errors import ChoiceError
from detr_attnviz.grid import Grid

VGA = Grid(rows=25, cols=34, stride_px=32, height_px=480, width_px=640, input_height_px=800, input_width_px=1066)


def test_point_by_hand() -> None:
    # 320 · 1066/640 = 533 → column 16 of 32 px; 240 · 800/480 = 400 → row 12
    assert VGA.token_at(320, 240) == 12 * 34 + 16


def test_corners() -> None:
    assert VGA.token_at(0, 0) == 0
    assert VGA.token_at(639, 479) == VGA.tokens - 1


def test_cell_box_is_cut_at_the_pictures_edge() -> None:
    left, top, right, bottom = VGA.cell_box(VGA.tokens - 1)
    assert (right, bottom) == pytest.approx((640, 480))
    assert right - left < 32 * 640 / 1066
    assert bottom - top == pytest.approx(32 * 480 / 800)


@given(token=st.integers(0, VGA.tokens - 1))
def test_middle_of_a_cell_is_in_the_cell(token: int) -> None:
    assert VGA.token_at(*VGA.center_of(token)) == token


@pytest.mark.parametrize("point", [(-1, 0), (640, 0), (0, 480), (float("nan"), 3)])
def test_point_outside_names_the_ranges(point: tuple[float, float]) -> None:
    with pytest.raises(ChoiceError, match=r"outside the picture: x must be in 0–639 and y in 0–479"):
        VGA.token_at(*point)


def test_token_outside() -> None:
    with pytest.raises(ChoiceError, match="tokens are 0–849"):
        VGA.cell_box(850)


def test_extent_in_cells() -> None:
    assert VGA.extent == (25.0, 1066 / 32)
