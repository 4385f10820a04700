"""Colour tables against matplotlib's own, and what is said of a name that does not exist."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest

from detr_attnviz.drawing.colormap import DEFAULT, PACKED, SIGNED_DEFAULT, color_at, table
from detr_attnviz.errors import ChoiceError


@pytest.mark.parametrize("name", [*PACKED, *(f"{name}_r" for name in PACKED), "PuOr", "hot_r", "Greys", "gray"])
def test_table_equals_matplotlibs(name: str) -> None:
    theirs = matplotlib.colormaps[name](np.linspace(0, 1, 256), bytes=True)[:, :3]
    assert table(name).dtype == np.uint8
    np.testing.assert_array_equal(table(name), theirs)


@pytest.mark.parametrize("name", list(matplotlib.colormaps))
def test_every_name_of_matplotlib_is_accepted(name: str) -> None:
    assert table(name).shape == (256, 3)


def test_default_gets_lighter_all_the_way() -> None:
    luminance = table(DEFAULT) @ np.array([0.2126, 0.7152, 0.0722])
    assert np.all(np.diff(luminance) > -0.75)
    assert luminance[0] < 2
    assert luminance[-1] > 240


def test_signed_default_is_grey_in_its_middle_and_seen_on_black_and_on_white_at_its_ends() -> None:
    colors = table(SIGNED_DEFAULT).astype(int)
    luminance = colors @ np.array([0.2126, 0.7152, 0.0722])
    assert np.ptp(colors[128]) <= 2
    assert all(35 < luminance[level] < 100 for level in (1, 255))
    assert colors[1, 2] > 2 * colors[1, 0]
    assert colors[255, 0] > 2 * colors[255, 2]


def test_table_is_cached_and_read_only() -> None:
    assert table("viridis") is table("viridis")
    with pytest.raises(ValueError, match="read-only"):
        table("viridis")[0, 0] = 1


def test_color_at_is_an_entry_of_the_table() -> None:
    assert color_at("magma", 255) == tuple(table("magma")[255])


def test_unknown_name_lists_close_ones() -> None:
    with pytest.raises(ChoiceError, match=r"'viridi'.*viridis.*matplotlib"):
        table("viridi")


def test_unknown_name_without_close_ones_lists_the_usual() -> None:
    with pytest.raises(ChoiceError, match="inferno"):
        table("§§§")


def test_drawing_does_not_import_matplotlib_or_torch() -> None:
    code = (
        "import sys, detr_attnviz.drawing.render as r; from detr_attnviz.drawing.colormap import table;"
        "table('inferno'); table('coolwarm'); print(sorted({'matplotlib', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
