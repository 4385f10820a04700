import base64
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detr_attnviz.detector import Detector, load
from detr_attnviz.drawing import colormap
from detr_attnviz.explanation import Kind
from detr_attnviz.explorer import document
from detr_attnviz.explorer.arrays import Arrays
from detr_attnviz.explorer.images import LONGEST_PX, image_row
from detr_attnviz.explorer.page import explore
from detr_attnviz.methods.catalogue import METHODS, RAW
from detr_attnviz.methods.definitions import definition, definition_of
from detr_attnviz.methods.explain import explain
from detr_attnviz.methods.select import select
from tests.explorer.reading import ReadPage
from tests.hf import saved
from tests.methods.detectors import without
from tests.methods.sampling import sampling_detector
from tests.tiny import NAMES, drawn_picture, tiny_detector, write_picture


@pytest.fixture
def detector() -> Detector:
    return tiny_detector()


def test_detections_are_all_queries_in_their_order(detector: Detector) -> None:
    trace = detector.trace(drawn_picture())
    rows = ReadPage(explore(trace)).picture["detections"]
    assert [row["query"] for row in rows] == list(range(10))
    for row, detection in zip(rows, trace.detections, strict=True):
        assert (row["score"], row["label"], row["name"]) == (detection.score, detection.label, detection.name)
        assert tuple(row["box"]) == detection.box
        assert row["name"] in NAMES


def test_model_and_picture_say_where_they_come_from(detector: Detector, tmp_path: Path) -> None:
    path = write_picture(tmp_path / "street.png")
    page = ReadPage(explore(detector.trace(path)))
    model, picture = page.document["model"], page.picture
    assert model["name"] == "tiny"
    assert model["provenance"] == detector.provenance
    assert (model["threshold"], model["queries"], model["is_sampled"]) == (detector.threshold, 10, False)
    assert page.document["software"] == detector.provenance["software"]
    assert page.document["title"] == "street.png · tiny"
    assert picture["name"] == "street.png"
    assert str(tmp_path) not in page.text
    assert (picture["width_px"], picture["height_px"]) == (96, 64)


def test_a_threshold_asked_for_is_the_pages(detector: Detector) -> None:
    assert ReadPage(explore(detector.trace(drawn_picture()), threshold=0.25)).document["model"]["threshold"] == 0.25


def embedded(page: ReadPage) -> Image.Image:
    image = page.picture["image"]
    opened = Image.open(BytesIO(page.data[image["id"]]))
    assert opened.get_format_mimetype() == image["mime"]
    assert opened.size == (image["width_px"], image["height_px"])
    return opened


def test_a_drawn_picture_is_embedded_to_the_pixel(detector: Detector) -> None:
    picture = drawn_picture()
    opened = embedded(ReadPage(explore(detector.trace(picture))))
    assert opened.format == "PNG"
    np.testing.assert_array_equal(np.asarray(opened), np.asarray(picture))


def test_a_photograph_is_embedded_as_jpeg_that_keeps_fine_colours() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (160, 128, 3), dtype=np.uint8)
    arrays = Arrays()
    row = image_row(Image.fromarray(noise), arrays)
    assert row["mime"] == "image/jpeg"
    (tag,) = arrays.tags()
    opened = Image.open(BytesIO(base64.b64decode(tag.split(b">")[1].split(b"<")[0])))
    assert np.abs(np.asarray(opened, int) - noise).mean() < 10  # 4:2:0 would be 40 and more off


def test_a_files_name_is_one_line_that_runs_left_to_right(detector: Detector) -> None:
    trace = replace(detector.trace(drawn_picture()), source="photos/a\0b\n\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe")
    assert ReadPage(explore(trace)).picture["name"] == "ab gpj.exe"


@pytest.mark.parametrize(("size", "shown"), [((2000, 500), (1600, 400)), ((300, 3200), (150, 1600))])
def test_a_large_picture_is_embedded_smaller(size: tuple[int, int], shown: tuple[int, int]) -> None:
    row = image_row(Image.new("RGB", size, "navy"), Arrays())
    assert (row["width_px"], row["height_px"]) == shown
    assert max(shown) == LONGEST_PX


def test_colour_maps_are_those_that_pictures_are_drawn_with(detector: Detector) -> None:
    maps = ReadPage(explore(detector.trace(drawn_picture()))).document["colormaps"]
    assert set(maps) == {*colormap.PACKED, "gray"}
    for name, table in maps.items():
        colors = np.frombuffer(base64.b64decode(table), np.uint8).reshape(256, 3)
        # matplotlib's grey is one level below an even ramp in a few places.
        np.testing.assert_allclose(colors, colormap.table(name), atol=1 if name == "gray" else 0)


def test_words_leave_layer_and_heads_to_the_page(detector: Detector) -> None:
    words = ReadPage(explore(detector.trace(drawn_picture()))).document["words"]
    assert words["cross"] == {"from": definition()}
    assert words["encoder"] == {
        "from": definition(kind="encoder"),
        "to": definition(kind="encoder", direction="to"),
    }
    assert words["decoder-self"] == {"from": definition(kind="decoder-self")}
    assert words["heads"]["one"] == "head {head} alone"
    assert set(words["heads"]) == {"mean", "max", "entropy-weighted", "one"}
    assert words["terms"] == {}


def test_words_of_sampled_attention_have_no_direction_to() -> None:
    words = ReadPage(explore(sampling_detector().trace(drawn_picture(150, 110)))).document["words"]
    assert words["encoder"] == {"from": definition(kind="encoder", form="sampled")}
    assert words["cross"] == {"from": definition(form="sampled")}


@pytest.mark.parametrize("kind", ["cross", "encoder", "decoder-self"])
def test_a_kind_that_is_not_there_is_an_empty_list(
    detector: Detector, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    site_kind = {"cross": "decoder-cross", "encoder": "encoder-self"}.get(kind, kind)
    lacking = without(detector, site_kind, monkeypatch)  # type: ignore[arg-type]
    page = ReadPage(explore(lacking.trace(drawn_picture())))
    assert page.sites(kind) == []
    assert page.document["words"][kind]["from"]


def test_maps_of_methods_are_those_of_explain(detector: Detector) -> None:
    trace = detector.trace(drawn_picture())
    page = ReadPage(explore(trace, methods=("relevance", "decompose")))
    relevance, decompose = page.picture["methods"]
    queries = select(trace, fallback=3)
    for found, explanation in (
        (relevance, explain(trace, method="relevance", queries=queries)),
        (decompose, explain(trace, method="decompose", queries=queries)),
    ):
        assert found["queries"] == list(queries)
        np.testing.assert_array_equal(page.array(found["maps"]), explanation.maps)
        assert found["definition"] == definition_of(explanation)
        assert "{" not in found["definition"]
        assert found["quantity"] == explanation.quantity
    assert (relevance["title"], relevance["terms"], relevance["is_signed"]) == ("Relevance", [""], False)
    assert decompose["is_signed"]
    assert len(decompose["terms"]) == 4
    assert len(page.array(decompose["maps"])) == len(decompose["shares"]) == 4 * len(queries)


def test_methods_take_the_queries_that_pass_the_threshold(detector: Detector) -> None:
    trace = detector.trace(drawn_picture())
    (found,) = ReadPage(explore(trace, methods=("rollout",), threshold=0.0)).picture["methods"]
    assert sorted(found["queries"]) == list(range(10))


def test_every_method_has_a_title() -> None:
    assert set(document._TITLES) == set(METHODS) - {RAW}


def test_a_site_whose_tokens_are_not_the_pictures_cells_is_left_out_and_told(detector: Detector) -> None:
    trace = detector.trace(drawn_picture())
    found = explore(replace(trace, grid=replace(trace.grid, rows=2, cols=2)))
    page = ReadPage(found)
    assert page.sites("cross") == page.sites("encoder") == []
    assert len(page.sites("decoder-self")) == 2
    assert any("encoder.0.self is left out: it has 24 tokens" in note for note in found.notes)
    assert page.picture["notes"]


@pytest.mark.filterwarnings("ignore:Deprecated in 0.9.0:DeprecationWarning")
@pytest.mark.parametrize("model_type", ["yolos", "conditional_detr", "rt_detr", "rf_detr"])
def test_families_of_every_kind_of_attention_are_kept(tmp_path: Path, model_type: str) -> None:
    trace = load(saved.save_folder(model_type, tmp_path)).trace(drawn_picture(192, 160))
    found = explore(trace)
    page = ReadPage(found)
    assert found.largest_error <= 1e-3
    assert found.notes == trace.notes
    kinds = {site["name"]: kind for kind, sites in page.picture["kinds"].items() for site in sites}
    assert set(kinds) == set(trace.sites)


def test_three_views_of_one_attention_share_their_keys(tmp_path: Path) -> None:
    page = ReadPage(explore(load(saved.save_folder("yolos", tmp_path)).trace(drawn_picture(192, 160))))
    views = [page.sites(kind)[0] for kind in ("cross", "encoder", "decoder-self")]
    assert len({site["key"]["values"]["id"] for site in views}) == 1
    assert all(site["is_part"] for site in views)
    assert [site["shown"] for site in views] == [[1, 17], [1, 17], [17, 23]]
    assert "over cells and other tokens together" in page.document["words"]["cross"]["from"]
    assert page.document["words"]["sums"]["cross"]["whole"] == "all cells add up to less than 1"


def test_terms_of_the_logits_have_words(tmp_path: Path) -> None:
    page = ReadPage(explore(load(saved.save_folder("conditional_detr", tmp_path)).trace(drawn_picture(192, 160))))
    assert "the content term" in page.document["words"]["terms"]["content"]["cross"]
    assert set(page.sites("cross")[0]["terms"]) == set(page.document["words"]["terms"]) == {"content", "spatial"}
