"""The page's pixels are those that Python draws of the same map.

Both resample with the same weights, but Pillow rounds to 32 bits between the two directions: where a value lies on the
border between two levels, a pixel may fall on the other side.
"""

import base64
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from detr_attnviz.drawing import overlay
from detr_attnviz.drawing.colormap import PACKED, table
from detr_attnviz.drawing.overlay import Smooth
from detr_attnviz.explorer.grids import grid_row
from detr_attnviz.explorer.page import explore
from detr_attnviz.grid import Grid
from tests.explorer.browser import OpenPage
from tests.tiny import drawn_picture, tiny_detector

if TYPE_CHECKING:
    from playwright.sync_api import Page

SMOOTHS = ("bicubic", "bilinear", "nearest")
CUT = Grid(9, 13, 32, height_px=270, width_px=403, input_height_px=270, input_width_px=403)
"""The picture ends within the last row and column."""
SIZES = ((403, 270), (150, 90), (13, 9), (7, 6), (1, 1))
PAINT = """([values, grid, width, height, options]) => {
    const image = new ImageData(width, height);
    image.data.fill(77);
    attnviz.colour.paint(image, Float32Array.from(values, (value) => value ?? NaN), grid, options);
    return btoa(Array.from(image.data, (part) => String.fromCharCode(part)).join(""));
}"""
Pixels = NDArray[np.uint8]
Maps = NDArray[np.float32]


@pytest.fixture
def page(open_page: OpenPage) -> "Page":
    return open_page(explore(tiny_detector().trace(drawn_picture())).html)


def painted(page: "Page", values: Maps, size: tuple[int, int], **options: Any) -> Pixels:
    """``[height_px width_px 4]`` of a map on ``CUT``."""
    numbers = [float(value) if np.isfinite(value) else None for value in values.ravel()]
    coded = page.evaluate(PAINT, [numbers, grid_row(CUT), *size, options])
    return np.frombuffer(base64.b64decode(coded), np.uint8).reshape(size[1], size[0], 4)


def attention_like(seed: int = 0) -> Maps:
    """A few sharp cells over weak ones, one of them at the edge that is cut."""
    values = np.random.default_rng(seed).random((CUT.rows, CUT.cols), np.float32) ** 6
    values[-1, -1], values[4, 5] = 1.2, 1.5
    return cast(Maps, values / values.sum())


def distance(own: Pixels, true: Any) -> Any:
    return np.abs(own.astype(int) - np.asarray(true).astype(int))


@pytest.mark.parametrize("smooth", SMOOTHS)
def test_levels_are_those_of_python(page: "Page", smooth: Smooth) -> None:
    values = attention_like()
    ceiling = float(values.max())
    for size in SIZES:
        own = painted(page, values, size, cmap="gray", alpha=1, fade=False, smooth=smooth, ceiling=ceiling)
        off = distance(own[..., 0], overlay.levels(values, CUT, size, ceiling, smooth))
        assert off.max() <= 1, size
        assert (off > 0).mean() <= 1e-3, size
        assert (own[..., 3] == 255).all()


@pytest.mark.parametrize("smooth", SMOOTHS)
def test_signed_levels_are_those_of_python(page: "Page", smooth: Smooth) -> None:
    difference = attention_like() - attention_like(1)
    ceiling = overlay.peak(difference, is_signed=True)
    np.maximum(difference, -0.4 * ceiling, out=difference)
    difference[2, 2:4] = -0.4 * ceiling  # between two cells of the lowest value bicubic would swing below both
    options = {"cmap": "gray", "alpha": 1, "fade": False, "isSigned": True, "smooth": smooth, "ceiling": ceiling}
    for values in (difference, -difference):
        for size in SIZES:
            true = overlay.signed_levels(values, CUT, size, ceiling, smooth)
            off = distance(painted(page, values, size, **options)[..., 0], true)
            assert off.max() <= 1, size
            assert (off > 0).mean() <= 1e-3, size


@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize("fade", [False, True])
def test_an_overlay_is_that_of_python(page: "Page", fade: bool, is_signed: bool) -> None:
    values = attention_like() - (attention_like(1) if is_signed else 0)
    picture = Image.effect_noise((403, 270), 90).convert("RGB")
    levels = (overlay.signed_levels if is_signed else overlay.levels)(values, CUT, picture.size, float(values.max()))
    true = overlay.overlay(picture, levels, "inferno", 0.7, fade, is_signed)
    options = {"cmap": "inferno", "alpha": 0.7, "fade": fade, "isSigned": is_signed, "ceiling": float(values.max())}
    own = Image.fromarray(painted(page, values, picture.size, **options), "RGBA")
    blended = Image.composite(own.convert("RGB"), picture, own.getchannel("A"))
    off = distance(np.asarray(blended), true)
    assert (off > 0).mean() <= 2e-3
    assert off.max() <= 6  # of a pixel that falls into the neighbouring level


def test_what_the_browser_shows_is_the_overlay(page: "Page") -> None:
    """Canvas stores colours times opacity in 8 bits, so weak attention's own colours are rough, the blend is not."""
    values, picture = attention_like(), drawn_picture(403, 270)
    script = """([values, grid, options, ground]) => {
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [403, 270];
        const over = document.createElement("canvas");
        [over.width, over.height] = [403, 270];
        const image = new ImageData(403, 270);
        attnviz.colour.paint(image, Float32Array.from(values), grid, options);
        over.getContext("2d").putImageData(image, 0, 0);
        const under = new ImageData(Uint8ClampedArray.from(atob(ground), (letter) => letter.charCodeAt(0)), 403);
        canvas.getContext("2d").putImageData(under, 0, 0);
        canvas.getContext("2d").drawImage(over, 0, 0);
        const shown = canvas.getContext("2d").getImageData(0, 0, 403, 270).data;
        return btoa(Array.from(shown, (part) => String.fromCharCode(part)).join(""));
    }"""
    ground = base64.b64encode(picture.convert("RGBA").tobytes()).decode()
    options = {"cmap": "inferno", "ceiling": float(values.max())}
    coded = page.evaluate(script, [values.ravel().tolist(), grid_row(CUT), options, ground])
    own = np.frombuffer(base64.b64decode(coded), np.uint8).reshape(270, 403, 4)[..., :3]
    true = overlay.overlay(picture, overlay.levels(values, CUT, (403, 270), float(values.max())), "inferno")
    off = distance(own, true)
    assert (off > 2).mean() <= 2e-3
    assert off.max() <= 6


@pytest.mark.parametrize("size", [(403, 270), (40, 30)])
def test_cells_without_numbers_are_hatched(page: "Page", size: tuple[int, int]) -> None:
    values = attention_like()
    values[2, 3:6], values[-1, 0], values[0, 0] = np.nan, np.inf, -np.inf
    ceiling = overlay.peak(values)
    own = painted(page, values, size, cmap="inferno", alpha=1, fade=False, ceiling=ceiling)
    true = overlay.hatch_missing(overlay.heatmap(overlay.levels(values, CUT, size, ceiling), "inferno"), values, CUT)
    off = distance(own[..., :3], true)
    assert off.max() <= 6
    assert (off > 0).mean() <= 2e-3


def test_what_has_no_number_at_all_is_only_hatched(page: "Page") -> None:
    own = painted(page, np.full((CUT.rows, CUT.cols), np.nan, np.float32), (60, 40), cmap="inferno")
    assert {tuple(color) for color in own.reshape(-1, 4).tolist()} == {(150, 150, 150, 255), (205, 205, 205, 255)}


def test_a_range_beyond_the_peak_leaves_the_highest_colours_to_others(page: "Page") -> None:
    values = attention_like()
    ceiling = 2 * float(values.max())
    own = painted(page, values, (403, 270), cmap="gray", alpha=1, fade=False, ceiling=ceiling)
    off = distance(own[..., 0], overlay.levels(values, CUT, (403, 270), ceiling))
    assert off.max() <= 1
    assert own[..., 0].max() == 128


def test_a_range_of_its_own_cuts_what_lies_above(page: "Page") -> None:
    values = attention_like()
    ceiling = float(values.max()) / 3
    own = painted(page, values, (403, 270), cmap="gray", alpha=1, fade=False, ceiling=ceiling)
    off = distance(own[..., 0], overlay.levels(values, CUT, (403, 270), ceiling))
    assert off.max() <= 1
    assert own[..., 0].max() == 255


def test_without_a_range_the_peak_is_the_highest_colour(page: "Page") -> None:
    given = painted(page, attention_like(), (80, 60), cmap="inferno", ceiling=float(attention_like().max()))
    assert (painted(page, attention_like(), (80, 60), cmap="inferno") == given).all()


def test_nothing_is_drawn_of_a_map_of_zeros(page: "Page") -> None:
    own = painted(page, np.zeros((CUT.rows, CUT.cols), np.float32), (80, 60), cmap="inferno", ceiling=0)
    assert (own[..., 3] == 0).all()


def test_opacity_is_that_of_python(page: "Page") -> None:
    for alpha in (0, 0.35, 0.8, 1):
        for fade in (False, True):
            for is_signed in (False, True):
                own = page.evaluate("(given) => Array.from(attnviz.colour.opacity(...given))", [alpha, fade, is_signed])
                assert own == list(overlay.opacity(alpha, fade, is_signed))


def test_colours_are_those_of_python(page: "Page") -> None:
    names = page.evaluate("Object.keys(attnviz.arrays.document().colormaps)")
    assert {*PACKED, "gray"} <= set(names)
    for name in PACKED:
        assert page.evaluate("(name) => Array.from(attnviz.colour.table(name))", name) == table(name).ravel().tolist()
