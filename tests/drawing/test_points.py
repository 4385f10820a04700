"""Style points: dots where the samples are, as large as they weigh, in colours that can be told apart."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from detr_attnviz.drawing.annotate import Color
from detr_attnviz.drawing.options import DrawingOptions
from detr_attnviz.drawing.panels import draw_one, panel_picture
from detr_attnviz.drawing.points import draw_reference, largest_radius, level_colors, muted, points_legend
from detr_attnviz.errors import ChoiceError
from detr_attnviz.explanation import Explanation, Samples
from tests.drawing.scenes import cross, decoder_self, encoder, sampled, sampled_encoder

BLACK = Image.new("RGB", (400, 300))
# Machado, Oliveira and Fernandes 2009, table 1: full protanopia, deuteranopia, tritanopia, on linear RGB.
VISIONS = {
    "all cones": np.eye(3),
    "protanopia": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "deuteranopia": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "tritanopia": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}


def with_points(
    places: list[tuple[float, float]], weights: list[float], levels: tuple[int, ...], image: Image.Image = BLACK
) -> Explanation:
    found = Samples(
        np.array([places], dtype=np.float32),
        np.array([weights], dtype=np.float32),
        levels,
        (8, 16, 32, 64),
        np.array([[-50, -50]], dtype=np.float32),
    )
    return dataclasses.replace(cross(1, image), samples=found)


def drawn(explanation: Explanation, **options: Any) -> NDArray[np.int64]:
    return np.asarray(draw_one(explanation, 0, style="points", box=False, **options)).astype(int)


def ink_of(pixels: NDArray[np.int64], color: Color) -> NDArray[np.float64]:
    """How much of each pixel is of this colour, for one dot on black."""
    channel = int(np.argmax(color))
    return np.asarray(np.clip((pixels[..., channel] - 20) / (color[channel] - 20), 0, 1))


def test_a_dots_middle_is_at_its_place() -> None:
    color = level_colors(DrawingOptions(), 4)[1]
    ink = ink_of(drawn(with_points([(120.25, 80.75)], [1.0], (1,))), color)
    rows, cols = np.indices(ink.shape) + 0.5
    assert float((ink * cols).sum() / ink.sum()) == pytest.approx(120.25, abs=0.1)
    assert float((ink * rows).sum() / ink.sum()) == pytest.approx(80.75, abs=0.1)


def test_places_are_scaled_with_the_panel() -> None:
    explanation = with_points([(100, 60)], [1.0], (0,))
    half = panel_picture(explanation, 0, DrawingOptions(style="points", box=False), BLACK.resize((200, 150)), 1.0)
    rows, cols = np.nonzero(np.asarray(half).any(axis=2))
    assert (cols.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((50, 30), abs=0.1)


def test_the_heaviest_dot_is_as_large_as_the_legends() -> None:
    ink = ink_of(drawn(with_points([(100, 100), (300, 100)], [0.6, 0.4], (0, 1))), level_colors(DrawingOptions(), 4)[0])
    radius = largest_radius(2) * np.sqrt(400 * 300)
    assert float(ink[:, :200].sum()) == pytest.approx(np.pi * radius**2, rel=0.03)


@pytest.mark.parametrize("share", [0.5, 0.25, 0.1])
def test_area_is_weight(share: float) -> None:
    weight = 1 / (1 + share)
    ink = ink_of(
        drawn(with_points([(100, 100), (300, 100)], [weight, 1 - weight], (0, 0))), level_colors(DrawingOptions(), 4)[0]
    )
    assert float(ink[:, 200:].sum() / ink[:, :200].sum()) == pytest.approx(share, rel=0.06)


def test_shared_scale_gives_equal_weights_equal_areas() -> None:
    two = sampled(2, BLACK)
    assert two.samples is not None
    weights = np.zeros_like(two.samples.weights)
    weights[0, 0], weights[1, 0] = 0.2, 0.8
    places = np.full_like(two.samples.places, 100)
    explanation = dataclasses.replace(two, samples=dataclasses.replace(two.samples, weights=weights, places=places))
    color = level_colors(DrawingOptions(), 4)[0]
    own, shared = (
        [
            ink_of(np.asarray(draw_one(explanation, index, style="points", box=False, scale=scale)).astype(int), color)[
                90:110, 90:110
            ].sum()
            for index in (0, 1)
        ]
        for scale in ("each", "shared")
    )
    assert own[0] == pytest.approx(own[1], rel=0.01)
    assert shared[0] / shared[1] == pytest.approx(0.25, rel=0.06)


def test_light_points_lie_on_heavy_ones() -> None:
    explanation = with_points([(100, 100), (100, 100)], [0.1, 0.9], (2, 0))
    assert tuple(drawn(explanation)[100, 100]) == level_colors(DrawingOptions(), 4)[2]


def test_nothing_is_drawn_of_points_outside() -> None:
    outside = with_points([(-0.5, 100), (401, 20), (50, 300.5)], [0.5, 0.3, 0.2], (0, 1, 2))
    assert not drawn(outside).any()
    assert drawn(with_points([(-0.5, 100), (0.5, 100)], [0.5, 0.5], (0, 1))).any()


def test_points_without_weight_or_number_are_not_drawn() -> None:
    assert not drawn(with_points([(50, 50), (60, 60), (np.nan, 3)], [0.0, np.nan, 0.5], (0, 1, 2))).any()


def test_of_a_chosen_level_nothing_else_is_drawn() -> None:
    both = with_points([(100, 100), (200, 200)], [0.5, 0.5], (0, 1))
    pixels = drawn(dataclasses.replace(both, level=1))
    assert tuple(pixels[200, 200]) == level_colors(DrawingOptions(), 4)[1]
    assert not pixels[:150, :150].any()


def test_the_reference_is_crossed() -> None:
    picture = BLACK.copy()
    explanation = sampled(1, BLACK)
    assert explanation.samples is not None
    x, y = explanation.samples.references[0]
    draw_reference(picture, explanation, 0)
    is_white = (np.asarray(picture) > 128).all(axis=2)
    assert (drawn(explanation)[is_white] > 128).all()  # on top of all dots
    rows, cols = np.nonzero(is_white)
    assert (cols.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((x, y), abs=0.6)
    np.testing.assert_allclose(abs(cols + 0.5 - x), abs(rows + 0.5 - y), atol=2)


def test_a_reference_that_is_nowhere_is_not_drawn() -> None:
    explanation = sampled(1, BLACK)
    assert explanation.samples is not None
    lost = dataclasses.replace(explanation.samples, references=np.array([[np.nan, 1]], dtype=np.float32))
    picture = BLACK.copy()
    draw_reference(picture, dataclasses.replace(explanation, samples=lost), 0)
    assert picture.tobytes() == BLACK.tobytes()


@pytest.mark.parametrize("explanation", [sampled(1), sampled_encoder()], ids=["cross", "encoder"])
def test_the_box_or_the_point_is_marked(explanation: Explanation) -> None:
    marked, plain = (draw_one(explanation, 0, style="points", box=box).tobytes() for box in (True, False))
    assert marked != plain


def test_a_query_looks_the_same_alone_and_among_others() -> None:
    several = sampled(3)
    assert several.samples is not None
    found = several.samples
    alone = dataclasses.replace(
        several,
        maps=several.maps[1:2],
        detections=several.detections[1:2],
        samples=dataclasses.replace(
            found, places=found.places[1:2], weights=found.weights[1:2], references=found.references[1:2]
        ),
    )
    assert draw_one(several, 1, style="points").tobytes() == draw_one(alone, 0, style="points").tobytes()


def test_more_points_are_smaller_and_few_are_not_huge() -> None:
    radii = [largest_radius(count) for count in (1, 16, 64, 128, 768)]
    assert radii == sorted(radii, reverse=True)
    assert radii[0] == radii[1] < 0.03
    assert radii[-1] * np.sqrt(240 * 180) > 1.5


def test_the_picture_is_quiet_and_left_as_it_was() -> None:
    explanation = sampled(1)
    before = explanation.image.tobytes()
    draw_one(explanation, 0, style="points")
    assert explanation.image.tobytes() == before
    vivid, quiet = (np.asarray(one).astype(int) for one in (explanation.image, muted(explanation.image)))
    assert np.ptp(quiet, axis=2).mean() < 0.5 * np.ptp(vivid, axis=2).mean()
    assert quiet.mean() < vivid.mean()


@pytest.mark.parametrize("count", [2, 3, 4, 5])
@pytest.mark.parametrize("vision", VISIONS)
def test_level_colours_are_far_apart_for_any_vision(count: int, vision: str) -> None:
    seen = [_lab(VISIONS[vision] @ _linear(color)) for color in level_colors(DrawingOptions(), count)]
    distances = [float(np.linalg.norm(one - other)) for one, other in itertools.combinations(seen, 2)]
    assert min(distances) > (45 if count < 5 else 30)
    assert min(lightness for lightness, _, _ in seen) > 40  # against the dark rim


@pytest.mark.parametrize("count", [1, 6, 9])
def test_any_number_of_levels_and_a_chosen_map_have_colours(count: int) -> None:
    assert len(set(level_colors(DrawingOptions(), count))) == count
    assert len(set(level_colors(DrawingOptions(cmap="viridis"), count))) == count
    assert level_colors(DrawingOptions(cmap="viridis"), 3) != level_colors(DrawingOptions(), 3)


def test_legend_names_levels_with_strides_and_weights_of_one_panel() -> None:
    explanation = with_points([(10, 10), (20, 20)], [0.8, 0.2], (0, 3))
    levels, sizes = points_legend(explanation, DrawingOptions(style="points"), 0.8).dots
    assert [key.name for key in levels] == ["level 0 · stride 8", "level 3 · stride 64"]
    colors = level_colors(DrawingOptions(), 4)
    assert [key.color for key in levels] == [colors[0], colors[3]]
    assert [key.name.replace("\N{NO-BREAK SPACE}", " ") for key in sizes] == ["80 %", "20 %", "5.0 %"]
    assert sizes[0].radius == largest_radius(2)
    areas = [(key.radius or 0) ** 2 for key in sizes]
    assert [area / areas[0] for area in areas] == pytest.approx([1, 1 / 4, 1 / 16])


def test_legend_of_several_panels_is_relative_until_the_scale_is_shared() -> None:
    own = points_legend(sampled(2), DrawingOptions(style="points"), 0.5)
    assert [key.name for key in own.dots[1]] == ["the panel's heaviest point", "1/4", "1/16"]
    shared = points_legend(sampled(2), DrawingOptions(style="points", scale="shared"), 0.5)
    assert shared.dots[1][0].name.startswith("50")
    assert shared.words.startswith("of its attention")


def test_legend_of_a_chosen_level_names_that_level() -> None:
    chosen = dataclasses.replace(sampled(1), level=2)
    assert [key.name for key in points_legend(chosen, DrawingOptions(), 0.5).dots[0]] == ["level 2 · stride 32"]


@pytest.mark.parametrize(
    ("explanation", "words"),
    [
        (cross(1), "for decoder.5.cross: it shows where sampled"),
        (encoder("to"), "for encoder.3.self by direction to: it"),
        (cross(1, method="relevance"), "by method relevance: it"),
        (dataclasses.replace(cross(1), head="max"), "by head max: it"),
    ],
)
def test_maps_without_samples_have_no_points(explanation: Explanation, words: str) -> None:
    with pytest.raises(ChoiceError, match=r"style points has no samples to draw .*choose overlay") as raised:
        draw_one(explanation, 0, style="points")
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_decoder_self_attention_has_no_points() -> None:
    with pytest.raises(ChoiceError, match=r"style points has no form for decoder self-attention"):
        draw_one(decoder_self(), 0, style="points")


def _linear(color: Color) -> NDArray[np.float64]:
    values = np.array(color) / 255
    return np.asarray(np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4))


def _lab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratios = to_xyz @ np.clip(linear, 0, 1) / np.array([0.9505, 1, 1.089])
    x, y, z = np.where(ratios > 0.008856, np.cbrt(ratios), 7.787 * ratios + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
