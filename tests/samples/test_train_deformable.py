"""The small Deformable DETR: what it starts from, that it learns, and what the shipped one finds."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from draw import MAX_OBJECTS, draw
from drawings import Batch, normalise
from PIL import Image
from shapes import CLASSES
from torch import Tensor

pytest.importorskip("transformers", reason="transformers is not installed")

from deformable_model import (
    DEMO,
    POINTS,
    build_model,
    loss_of,
    make_config,
    read_model,
    write_folder,
)
from evaluate import overlaps
from losses import to_corners
from train_deformable import make_optimiser, rate, take_step
from transformers import DeformableDetrForObjectDetection
from weights import read_demo

SAMPLES_FOLDER = Path(__file__).parents[2] / "samples"
SHIPPED = SAMPLES_FOLDER / "deformable"


def drawn_batch(pictures: int, side_px: int) -> Batch:
    drawings = [draw((9, index), side_px, side_px) for index in range(pictures)]
    images = torch.from_numpy(np.stack([np.asarray(drawing.image) for drawing in drawings]))
    boxes = torch.zeros(pictures, MAX_OBJECTS, 4)
    labels = torch.full((pictures, MAX_OBJECTS), -1)
    for index, drawing in enumerate(drawings):
        corners = torch.from_numpy(drawing.boxes).float() / side_px
        boxes[index, : len(corners)] = torch.cat(
            [(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], dim=1
        )
        labels[index, : len(corners)] = torch.from_numpy(drawing.labels)
    ready = normalise(images.permute(0, 3, 1, 2).float() / 255)
    return Batch(ready, torch.zeros(pictures, 1, 1, dtype=torch.uint8), boxes, labels)


def start() -> DeformableDetrForObjectDetection:
    torch.manual_seed(0)
    config = make_config()
    config.auxiliary_loss = True
    return build_model(config)


@torch.no_grad()
def test_new_model_computes_the_features_of_the_demo() -> None:
    picture = drawn_batch(1, 96).images
    features = start().model.backbone(picture, torch.ones(1, 96, 96))
    demo, _ = read_demo(DEMO)
    expected: Tensor = demo.backbone[0](picture)[:, :, ::2, ::2]  # the demo's last stage keeps stride 16
    torch.testing.assert_close(features[-1][0][:, : expected.shape[1]], expected, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_queries_of_a_new_model_start_on_a_grid() -> None:
    batch = drawn_batch(1, 64)
    starts = start().eval()(batch.images).init_reference_points[0]
    steps = (torch.arange(POINTS) + 0.5) / POINTS
    torch.testing.assert_close(starts, torch.cartesian_prod(steps, steps))


def test_loss_falls_on_one_batch() -> None:
    pytest.importorskip("scipy", reason="the loss of transformers matches with scipy, which is not installed")
    model, batch = start(), drawn_batch(2, 96)
    optimiser = make_optimiser(model)
    before, _ = loss_of(model, batch)
    for _ in range(12):
        take_step(model, optimiser, batch)
    after, _ = loss_of(model, batch)
    assert after < 0.9 * before


def test_steps_grow_at_first_and_shrink_to_a_hundredth() -> None:
    assert rate(0, 0) < rate(0, 50) < rate(0, 100) == 1
    assert rate(0.5, 1000) == pytest.approx(0.505)
    assert rate(1, 1000) == pytest.approx(0.01)


def test_written_folder_reads_back_to_the_same_answers(tmp_path: Path) -> None:
    model, batch = start().eval(), drawn_batch(1, 64)
    write_folder(tmp_path, model, 224, 374)
    with torch.no_grad():
        written, read = model(batch.images), read_model(tmp_path)(batch.images)
    torch.testing.assert_close(read.logits, written.logits, rtol=0.01, atol=0.05)
    torch.testing.assert_close(read.pred_boxes, written.pred_boxes, rtol=0.01, atol=0.01)
    assert json.loads((tmp_path / "preprocessor_config.json").read_text())["size"]["shortest_edge"] == 224


@torch.no_grad()
def test_shipped_model_finds_the_shapes_of_the_sample_pictures() -> None:
    annotations = json.loads((SAMPLES_FOLDER / "annotations.json").read_text())
    names = {entry["id"]: entry["name"] for entry in annotations["categories"]}
    model, found, shapes = read_model(SHIPPED), 0, 0
    assert list(model.config.id2label.values()) == list(CLASSES)
    for entry in annotations["images"]:
        scores, labels, boxes = answers(model, Image.open(SAMPLES_FOLDER / entry["file_name"]))
        for shape in annotations["annotations"]:
            if shape["image_id"] == entry["id"]:
                x, y, width, height = shape["bbox"]
                truth = np.array([[x, y, x + width, y + height]]) / ([entry["width"], entry["height"]] * 2)
                is_named = np.array([CLASSES[label] == names[shape["category_id"]] for label in labels])
                shapes += 1
                found += bool(((overlaps(boxes, truth)[:, 0] > 0.75) & (scores > 0.5) & is_named).any())
    assert found >= 0.8 * shapes


def answers(model: DeformableDetrForObjectDetection, image: Image.Image) -> tuple[np.ndarray, list[int], np.ndarray]:
    side = json.loads((SHIPPED / "preprocessor_config.json").read_text())["size"]["shortest_edge"]
    scale = side / min(image.size)
    small = image.convert("RGB").resize(
        (int(image.width * scale), int(image.height * scale)), Image.Resampling.BILINEAR
    )
    pixels = torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1)[None].float() / 255
    output = model(normalise(pixels))
    scores, labels = output.logits[0].sigmoid().max(-1)
    return scores.numpy(), labels.tolist(), to_corners(output.pred_boxes[0]).double().numpy()
