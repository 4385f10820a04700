"""Settings and their hash: everything that changes a result changes the hash, and nothing else does."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from detr_attnviz.batch.plan import BatchSettings
from detr_attnviz.detector import Detector
from detr_attnviz.drawing.options import DrawingOptions
from detr_attnviz.errors import ChoiceError
from detr_attnviz.methods.request import Request
from tests.tiny import tiny_detector


@pytest.mark.parametrize(
    "change",
    [
        {"request": Request(layer=0)},
        {"request": Request(head=1)},
        {"request": Request(head="entropy-weighted")},
        {"request": Request(layer=(0, 1))},
        {"request": Request(layer="all")},
        {"request": Request(method="value-norm")},
        {"request": Request(method="relevance")},
        {"request": Request(threshold=0.5)},
        {"request": Request(fallback=0)},
        {"request": Request(labels=("cat",))},
        {"drawing": DrawingOptions(cmap="viridis")},
        {"drawing": DrawingOptions(alpha=0.5)},
        {"drawing": DrawingOptions(style="heatmap")},
        {"exports": ("heatmap",)},
        {"exports": ("overlay", "arrays")},
        {"per": "image"},
        {"shortest_px": 400},
        {"longest_px": 400},
    ],
)
def test_a_change_of_settings_changes_the_hash(change: dict[str, Any], detector: Detector) -> None:
    settings = BatchSettings()
    assert replace(settings, **change).hash_for(detector) != settings.hash_for(detector)


def test_the_same_settings_in_other_words_have_the_same_hash(detector: Detector) -> None:
    one = BatchSettings(Request(kind="encoder", head=1, points=((3, 4),)), exports=("arrays", "overlay"))
    other = BatchSettings(
        Request(kind="encoder", head="1", points=((3.0, 4.0),)),
        DrawingOptions(style="pair"),
        exports=("overlay", "arrays", "overlay"),
    )
    assert one.hash_for(detector) == other.hash_for(detector)
    layers = [BatchSettings(Request(layer=layer)).hash_for(detector) for layer in ((5, 3), [3, 5, 5])]
    assert layers[0] == layers[1]
    assert BatchSettings(Request(layer=[-1])).hash_for(detector) == BatchSettings().hash_for(detector)
    assert BatchSettings().hash_for(detector) == BatchSettings(exports=("overlay",)).hash_for(detector)


def test_another_model_changes_the_hash(detector: Detector) -> None:
    settings = BatchSettings()
    known = settings.hash_for(detector)
    assert settings.hash_for(tiny_detector()) == known
    renamed, trained = tiny_detector(), tiny_detector()
    renamed.family.class_names = ("Katze", *renamed.class_names[1:])
    trained.sites[-1].module.get_parameter("in_proj_weight").data[0, 0] += 1e-6
    assert settings.hash_for(renamed) != known
    assert settings.hash_for(trained) != known


def test_exports_default_to_the_style() -> None:
    assert BatchSettings(drawing=DrawingOptions(style="pair")).styles == ("pair",)
    only_arrays = BatchSettings(exports=("arrays",))
    assert only_arrays.styles == ()
    assert only_arrays.has_arrays


def test_settings_as_plain_data_say_everything() -> None:
    settings = BatchSettings(Request(kind="encoder", head=1, points=((3, 4),)), per="image", longest_px=400)
    row = settings.as_row(settings.drawing)
    assert json.loads(json.dumps(row)) == row
    whole = {"term", "level", "point_level"}  # said only where a part of attention was asked for
    plain = {name: value for name, value in asdict(Request()).items() if name not in whole}
    about = {"kind": "encoder", "head": "1", "points": [[3.0, 4.0]], "queries": [], "labels": []}
    assert row["request"] == plain | about
    part = BatchSettings(Request(term="content")).as_row()
    assert part["request"] == plain | {"points": [], "queries": [], "labels": [], "term": "content"} | {"head": "mean"}
    assert row["drawing"] == asdict(DrawingOptions()) | {"contours": [0.25, 0.5, 0.75], "cmap": "inferno"}
    assert (row["shortest_px"], row["longest_px"], row["per"]) == (None, 400, "image")


@pytest.mark.parametrize(
    ("per", "exports"), [("query", ("heatmap",)), ("query", ("overlay", "pair")), ("image", ("contour",))]
)
def test_styles_that_cannot_show_decoder_self_attention(per: Any, exports: tuple[str, ...]) -> None:
    with pytest.raises(ChoiceError, match=rf"{exports[-1]}.* choose overlay .*, or heatmap .* with --per image"):
        BatchSettings(Request(kind="decoder-self"), exports=exports, per=per)
    with pytest.raises(ChoiceError, match=exports[-1]):
        BatchSettings(Request(kind="decoder-self"), DrawingOptions(style=exports[-1]), per=per)  # type: ignore[arg-type]


def test_styles_that_show_decoder_self_attention() -> None:
    BatchSettings(Request(kind="decoder-self"), exports=("overlay", "arrays"))
    BatchSettings(Request(kind="decoder-self"), exports=("overlay", "heatmap"), per="image")


def test_contours_cannot_show_values_below_zero() -> None:
    with pytest.raises(ChoiceError, match=r"contour cannot show method decompose.*: choose overlay, heatmap or pair"):
        BatchSettings(Request(method="decompose"), exports=("overlay", "contour"))
    BatchSettings(Request(method="decompose"), exports=("overlay", "heatmap", "pair", "arrays"))


@pytest.mark.parametrize("asked", [{"method": "relevance"}, {"head": "max"}, {"kind": "encoder", "direction": "to"}])
def test_points_show_raw_attention_of_heads_from_a_query(asked: dict[str, Any]) -> None:
    with pytest.raises(ChoiceError, match="points shows where sampled attention reads"):
        BatchSettings(Request(**asked), exports=("points",))
    BatchSettings(Request(head=2, level=1), exports=("points", "overlay"))


def test_layers_and_the_colour_map_in_use_are_said() -> None:
    drawing = DrawingOptions()
    assert BatchSettings(Request(layer=[5, 3, 5])).as_row()["request"]["layer"] == [3, 5]
    assert BatchSettings(Request(layer="all")).as_row()["request"]["layer"] == "all"
    row = BatchSettings(Request(method="decompose")).as_row(drawing)
    assert (row["request"]["method"], row["drawing"]["cmap"]) == ("decompose", drawing.colors(is_signed=True))


def test_wrong_settings_name_the_right_ones() -> None:
    with pytest.raises(ChoiceError, match=r"no export 'svg'.*overlay, heatmap, pair, contour, points, arrays"):
        BatchSettings(exports=("overlay", "svg"))
    with pytest.raises(ChoiceError, match="must be 'query'"):
        BatchSettings(per="folder")  # type: ignore[arg-type]
