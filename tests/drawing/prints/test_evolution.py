"""One query through the layers: which boxes and words stand in which panel."""

import dataclasses

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from detr_attnviz.detections import Detection
from detr_attnviz.drawing.prints.evolution import Step, draw_evolution, predicted
from detr_attnviz.drawing.prints.marks import FRAME, INK
from detr_attnviz.drawing.prints.palette import COLORS, Mark
from detr_attnviz.drawing.prints.paper import PrintOptions, size_mm
from tests.drawing.prints.sheets import cut_off, overlapping, words_of
from tests.drawing.scenes import AWKWARD_NAMES, cross, photo, weights

OWN = Mark(1, COLORS[0]).hex
SEEN = Detection(0, 0.2, 1, "dog", (8.0, 8.0, 40.0, 30.0))


def steps(
    count: int, *, size: tuple[int, int] = (64, 48), seen: Detection | None = SEEN, no_object: float | None = 0.75
) -> list[Step]:
    image = photo(*size)
    return [
        Step(dataclasses.replace(cross(1, image, maps=weights(1, 3, 4, seed=layer)), layers=(layer,)), seen, no_object)
        for layer in range(count)
    ]


def outlines(figure: Figure) -> list[tuple[str, bool]]:
    """Colour of each outline that is no casing and no picture's frame, and whether it is dashed."""
    found = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    inks = [(to_hex(patch.get_edgecolor()), patch.get_linestyle() != "solid") for patch in found]
    return [one for one in inks if one[0] not in ("#ffffff", FRAME)]


@pytest.mark.parametrize(
    ("width", "count", "size"),
    [
        ("column", 6, (64, 48)),
        ("page", 6, (48, 64)),
        ("page", 1, (64, 48)),
        ("column", 12, (8, 64)),
        ("page", 3, (64, 8)),
        (30, 3, (64, 48)),
        (400, 6, (64, 48)),
    ],
)
def test_words_are_within_the_sheet_and_off_each_other(width: object, count: int, size: tuple[int, int]) -> None:
    options = PrintOptions(width=width, dpi=72)  # type: ignore[arg-type]
    figure = draw_evolution(steps(count, size=size), options)
    assert not cut_off(figure)
    assert not overlapping(figure)
    assert size_mm(figure)[0] == pytest.approx(options.width_mm)
    assert size_mm(figure)[1] <= options.tallest_mm + 1e-6


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_of_awkward_names_the_score_stays(name: str) -> None:
    seen = dataclasses.replace(SEEN, name=name)
    figure = draw_evolution(steps(4, seen=seen), PrintOptions(width="column"))
    assert not cut_off(figure)
    assert not overlapping(figure) or "\u0301" in name  # towers of marks are higher than a line
    assert len([one for one in words_of(figure) if one.text.endswith("0.20")]) == 4


def test_each_layer_has_its_own_box_and_the_final_one_dashed() -> None:
    figure = draw_evolution(steps(2), PrintOptions(dpi=72))
    assert outlines(figure) == [(INK, True), (OWN, False)] * 2
    words = [one.text for one in words_of(figure)]
    assert words.count("box of this layer") == words.count("final box") == 1
    assert [word for word in words if word.startswith("layer")] == ["layer 0", "layer 1"]


def test_a_model_that_does_not_tell_has_the_final_box_alone() -> None:
    figure = draw_evolution(steps(2, seen=None, no_object=None), PrintOptions(dpi=72))
    assert outlines(figure) == [(INK, False)] * 2
    words = [one.text for one in words_of(figure)]
    assert "box of this layer" not in words
    assert not [word for word in words if "dog" in word]


def test_the_likelier_one_comes_first() -> None:
    (step,) = steps(1)
    assert predicted(step) == (("no object", " 0.75"), ("dog", " 0.20"))
    assert predicted(dataclasses.replace(step, no_object=0.001)) == (("dog", " 0.20"), ("no object", " <0.01"))
    assert predicted(dataclasses.replace(step, no_object=None)) == (("dog", " 0.20"),)
    assert predicted(Step(step.explanation)) == ()


def test_a_box_outside_the_picture_is_left_out() -> None:
    outside = dataclasses.replace(SEEN, box=(500.0, 500.0, 600.0, 600.0))
    assert outlines(draw_evolution(steps(1, seen=outside), PrintOptions(dpi=72))) == [(INK, True)]
