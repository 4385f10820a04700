"""Pictures come to models as transformers' own processors make them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from detr_attnviz.errors import CheckpointError, ChoiceError
from detr_attnviz.families import hf_processing
from detr_attnviz.families.hf_processing import processing_of, real_size, resized
from detr_attnviz.families.hf_table import KNOWN
from detr_attnviz.families.open import open_family
from tests.hf.saved import save_folder, write

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (97, 131, 3), dtype=np.uint8))
EDGES = {"shortest_edge": 800, "longest_edge": 1333}
DETR = KNOWN["detr"]


@pytest.mark.parametrize(
    ("size", "shortest_px", "longest_px", "expected"),
    [
        (EDGES, None, None, EDGES),
        (EDGES, 400, None, {"shortest_edge": 400, "longest_edge": 1333}),
        (EDGES, 1600, None, {"shortest_edge": 1600, "longest_edge": 2666}),
        (EDGES, None, 640, {"shortest_edge": 640, "longest_edge": 640}),
        ({"height": 640, "width": 640}, None, None, {"height": 640, "width": 640}),
        ({"height": 640, "width": 640}, 320, None, {"height": 320, "width": 320}),
        ({"height": 640, "width": 640}, 1280, None, {"height": 1280, "width": 1280}),
        ({"height": 640, "width": 640}, None, 320, {"height": 320, "width": 320}),
        ({"height": 320, "width": 640}, 160, None, {"height": 160, "width": 320}),
    ],
)
def test_sizes_by_what_a_caller_overrides(
    size: dict[str, int], shortest_px: int | None, longest_px: int | None, expected: dict[str, int]
) -> None:
    assert resized(size, shortest_px, longest_px) == expected


def test_a_size_of_nothing() -> None:
    with pytest.raises(ChoiceError, match="shortest side 0 px"):
        resized({"height": 640, "width": 640}, 0, None)


@pytest.mark.parametrize("name", ["DetrImageProcessor", "DetrImageProcessorFast", "DetrFeatureExtractor"])
def test_pillow_resizes_whatever_the_processor_is_called(name: str) -> None:
    kind = "feature_extractor_type" if name.endswith("Extractor") else "image_processor_type"
    processing = processing_of(DETR, {kind: name, "size": 64, "max_size": 100}, 1)
    assert type(processing.processor).__name__ == "DetrImageProcessorPil"
    assert processing.size == {"shortest_edge": 64, "longest_edge": 100}
    assert processing.inputs(IMAGE)["images"].shape == (1, 3, 64, 86)
    assert processing.notes == ()


@pytest.mark.parametrize(("width_px", "height_px"), [(10_000, 1), (1, 10_000), (2667, 1), (2666, 1), (1, 1)])
@pytest.mark.parametrize("kind", ["detr", "deformable_detr", "lw_detr", "rf_detr"])
def test_no_picture_is_so_narrow_that_nothing_is_left(kind: str, width_px: int, height_px: int) -> None:
    processing = processing_of(KNOWN[kind], {"size": EDGES}, 1)
    images = processing.inputs(Image.new("RGB", (width_px, height_px)))["images"]
    assert (
        images.shape[-2:]
        == {
            (10_000, 1): (1, 1333),
            (1, 10_000): (1333, 1),
            (2667, 1): (1, 1333),
            (2666, 1): (1, 1333),
            (1, 1): (800, 800),
        }[width_px, height_px]
    )


def test_one_side_alone_is_noted() -> None:
    processing = processing_of(KNOWN["table-transformer"], {"size": {"longest_edge": 80}}, 1)
    assert processing.inputs(IMAGE)["images"].shape == (1, 3, 59, 80)
    assert "size={'longest_edge': 80} in preprocessor_config.json has one side only" in processing.notes[0]
    shortest = processing_of(DETR, {"size": {"shortest_edge": 60}}, 1)
    assert shortest.size == {"shortest_edge": 60, "longest_edge": 100}


def test_without_a_file_the_familys_usual_processor_is_noted() -> None:
    processing = processing_of(KNOWN["lw_detr"], None, 32)
    assert processing.notes == ("no preprocessor_config.json: pictures are prepared as usual for LW-DETR, 640 × 640",)
    assert processing_of(DETR, None, 1).size == EDGES


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (
            {"image_processor_type": "OwnImageProcessor"},
            "'OwnImageProcessor' .*no DETR .*known are .*RTDetrImageProcessor",
        ),
        ({"image_processor_type": "DetrConfig"}, "'DetrConfig' .*correct it, or remove the file"),
        (
            {"image_processor_type": "OneFormerImageProcessorFast", "repo_path": "evil/files"},
            "OneFormerImageProcessor'",
        ),
        ({"feature_extractor_type": "ViTFeatureExtractor"}, "'ViTImageProcessor' .*prepares pictures for no DETR"),
        ({"size": {"depth": 3}}, "preprocessor_config.json"),
    ],
)
def test_a_description_that_means_nothing(saved: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        processing_of(DETR, saved, 1)


def test_a_processor_that_misses_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        @classmethod
        def from_dict(cls, saved: object) -> None:
            raise ImportError("RfDetrImageProcessor requires the Torchvision library\nbut it was not found")

    monkeypatch.setattr(hf_processing, "_class_of", lambda name: Missing)
    with pytest.raises(CheckpointError, match="RF-DETR, needs torchvision.*pip install torchvision"):
        processing_of(KNOWN["rf_detr"], None, 1)


def test_what_a_whole_processor_says_of_pictures_is_read(tmp_path: Path) -> None:
    folder = save_folder("conditional_detr", tmp_path)
    (folder / "preprocessor_config.json").unlink()
    write(folder / "processor_config.json", image_processor={"size": {"height": 64, "width": 96}})
    prepared = open_family(folder).prepare(IMAGE)
    assert prepared.inputs["images"].shape == (1, 3, 64, 96)
    assert (prepared.grid.rows, prepared.grid.cols) == (2, 3)


def test_padding_of_the_processor_is_no_part_of_the_picture(tmp_path: Path) -> None:
    folder = save_folder("deformable_detr", tmp_path)
    write(folder / "preprocessor_config.json", pad_size={"height": 128, "width": 128})
    prepared = open_family(folder).prepare(IMAGE)
    assert real_size(prepared.inputs) == (64, 86)
    assert prepared.inputs["images"].shape == (1, 3, 128, 128)
    assert [(level.rows, level.cols) for level in prepared.levels] == [(8, 11), (4, 6), (2, 3), (1, 2)]
    assert {level.canvas_px for level in prepared.levels} == {(128, 128)}
    assert [level.canvas for level in prepared.levels] == [(16, 16), (8, 8), (4, 4), (2, 2)]


@pytest.mark.parametrize("model_type", [name for name, known in KNOWN.items() if not known.has_mask])
def test_nothing_is_padded_for_a_model_without_a_mask(model_type: str) -> None:
    known = KNOWN[model_type]
    if not hasattr(transformers, known.processor):
        pytest.skip(f"transformers {transformers.__version__} has no {known.processor}")
    size = {"shortest_edge": 64, "longest_edge": 128} if model_type == "yolos" else {"height": 64, "width": 96}
    plain = processing_of(known, {"image_processor_type": known.processor, "size": size}, 1)
    padding = {"do_pad": True, "pad_size": {"height": 128, "width": 160}}
    padded = processing_of(known, {"image_processor_type": known.processor, "size": size, **padding}, 1)
    assert plain.notes == ()
    assert padded.notes == (
        f"pad_size in preprocessor_config.json is left out: {known.title} cannot be told what is padding",
    )
    expected, found = plain.inputs(IMAGE), padded.inputs(IMAGE)
    assert expected.keys() == found.keys() == {"images"}
    assert torch.equal(expected["images"], found["images"])
    assert min(found["images"].shape[-2:]) == 64


def test_sides_that_fit_no_window_are_padded(tmp_path: Path) -> None:
    folder = save_folder("lw_detr", tmp_path)
    write(folder / "preprocessor_config.json", size={"shortest_edge": 64, "longest_edge": 128})
    prepared = open_family(folder).prepare(IMAGE)
    assert prepared.inputs["images"].shape == (1, 3, 64, 96)
    assert real_size(prepared.inputs) == (64, 86)
    assert not prepared.inputs["is_real"][..., 86:].any()
    assert (prepared.grid.rows, prepared.grid.cols) == (8, 11)


def test_sides_that_a_model_without_a_mask_cannot_take(tmp_path: Path) -> None:
    family = open_family(save_folder("rt_detr", tmp_path))
    with pytest.raises(ChoiceError, match="multiples of 32 px; the picture came to 80 × 80: try shortest_px 64"):
        family.prepare(IMAGE, shortest_px=80)
    prepared = family.prepare(IMAGE, shortest_px=96)
    assert prepared.inputs["images"].shape == (1, 3, 96, 96)
    assert [(level.rows, level.stride_px) for level in prepared.levels] == [(12, 8), (6, 16), (3, 32)]
    assert prepared.levels[0].cell_box(0) == pytest.approx((0, 0, 8 * 131 / 96, 8 * 97 / 96))


@pytest.mark.parametrize("height", [33, 64, 97])
@pytest.mark.parametrize("width", [32, 65, 95, 127])
def test_grids_of_any_size_are_the_models_own(height: int, width: int, tmp_path: Path) -> None:
    family = open_family(save_folder("conditional_detr", tmp_path))
    image = Image.new("RGB", (width, height))
    write(tmp_path / "preprocessor_config.json", do_resize=False)
    prepared = open_family(tmp_path).prepare(image)
    sizes: list[tuple[int, ...]] = []
    projection = family.projection()
    assert projection is not None
    projection.register_forward_pre_hook(lambda module, args: sizes.append(tuple(args[0].shape[-2:])))
    with torch.inference_mode():
        family.forward(prepared.inputs)
    assert sizes == [(prepared.grid.rows, prepared.grid.cols)]
