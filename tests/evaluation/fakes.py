"""A detector whose answers are known functions of the pixels, and evaluations made of numbers written by hand."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from detr_attnviz.detections import Detection
from detr_attnviz.detector import Detector
from detr_attnviz.evaluation.answers import Targets
from detr_attnviz.evaluation.choice import parse_methods
from detr_attnviz.evaluation.curves import Disturbances
from detr_attnviz.evaluation.results import PLACES, Evaluation, MapResult, PictureResult, QueryResult
from detr_attnviz.evaluation.settings import BASELINES, DIRECTIONS, QUANTITIES, EvaluationSettings
from detr_attnviz.families.base import Origin, Prediction, Prepared
from detr_attnviz.families.scores import softmax_scores
from detr_attnviz.grid import Grid
from detr_attnviz.models.fuse import Precision
from detr_attnviz.sites import AttentionSite

CELL_PX = 4


class PixelFamily:
    """Two classes and no-object. Query ``q`` looks at cell ``q`` alone: its brightness is the logit of class 1.

    Its box is half as wide in a picture where that cell is dark as where it is white.
    """

    holds_still = True
    threshold = 0.7
    takes_batches = True
    origin = Origin("pixels")
    class_names: tuple[str, ...] = ("nothing", "light")

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.attention = nn.MultiheadAttention(2, 1)

    def prepare(self, image: Image.Image, *, shortest_px: int | None = None, longest_px: int | None = None) -> Prepared:
        pixels = torch.from_numpy(np.asarray(image, np.float32) / 255).permute(2, 0, 1)[None]
        height, width = pixels.shape[2:]
        rows, cols = -(-height // CELL_PX), -(-width // CELL_PX)
        return Prepared({"images": pixels}, Grid(rows, cols, CELL_PX, height, width, height, width))

    def padded(self, inputs: Mapping[str, Tensor]) -> None:
        return None

    def forward(self, inputs: Mapping[str, Tensor]) -> Prediction:
        images = inputs["images"]
        self.batches.append(len(images))
        cells = nn.functional.avg_pool2d(images, CELL_PX, ceil_mode=True).mean(1).flatten(1)  # [batch queries]
        logits = torch.stack((torch.zeros_like(cells), cells, torch.full_like(cells, -9.0)), dim=-1)
        half = torch.full_like(cells, 0.5)
        return Prediction(logits, torch.stack((half, half, 0.2 * (1 + cells), half), dim=-1))

    def layer_predictions(self, inputs: Mapping[str, Tensor]) -> tuple[Prediction, ...]:
        return (self.forward(inputs),)

    def sites(self) -> tuple[AttentionSite, ...]:
        return (AttentionSite("decoder.0.cross", "decoder-cross", 0, self.attention),)

    def projection(self) -> None:
        return None

    def resumed(self, inputs: Mapping[str, Tensor], projected: Tensor) -> Mapping[str, Tensor]:
        return inputs

    def scores(self, logits: Tensor) -> Tensor:
        return softmax_scores(logits)

    def detections(self, prediction: Prediction, grid: Grid) -> tuple[Detection, ...]:
        count = prediction.logits.shape[1]
        return tuple(Detection(query, 0.9, 1, "light", (0.0, 0.0, 4.0, 4.0)) for query in range(count))

    def settle(self, device: torch.device | None, precision: Precision) -> None:
        pass


def picture_of(cells: Sequence[Sequence[float]]) -> Image.Image:
    """Grey cells of ``CELL_PX`` pixels, 0 black to 1 white."""
    grey = np.kron(np.array(cells) * 255, np.ones((CELL_PX, CELL_PX))).round().astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def disturbances_of(image: Image.Image, queries: Sequence[int]) -> tuple[Disturbances, PixelFamily]:
    """What ``curves`` works on, for chosen queries of the pixel detector."""
    family = PixelFamily()
    prepared = family.prepare(image)
    whole = family.forward(prepared.inputs)
    detections = family.detections(whole, prepared.grid)
    targets = Targets(tuple(detections[query] for query in queries), whole.boxes[0, list(queries)], family.scores)
    family.batches.clear()
    return Disturbances(Detector(family), prepared, targets, targets.answers(whole)[0]), family


def query_result(
    curves: Mapping[str, Sequence[float]],
    *,
    energy: float = 0.5,
    sanity: float | None = 0.1,
    heads: Sequence[float] = (),
    query: int = 0,
) -> QueryResult:
    """A query whose every curve of a map (logit, IoU and score; both directions and baselines) is the one given."""
    maps = {
        name: MapResult(
            is_empty=False,
            places=dict.fromkeys(PLACES, energy),
            sanity=None if name in ("random", "shuffled weights") else sanity,
            curves=np.broadcast_to(
                np.array(values, float)[:, None], (len(BASELINES), len(DIRECTIONS), len(values), len(QUANTITIES))
            ).copy(),
        )
        for name, values in curves.items()
    }
    effects = {"decoder.0.cross": np.array([[effect, effect / 10, 0.0] for effect in heads])} if heads else {}
    return QueryResult(
        query=query,
        label=1,
        name="light",
        score=0.9,
        box=(0.0, 0.0, 4.0, 4.0),
        chance=dict.fromkeys(PLACES, 0.25),
        maps=maps,
        heads=effects,
    )


def evaluation_of(
    pictures: Sequence[Sequence[QueryResult]],
    *,
    methods: str = "raw,raw:max",
    shares: tuple[float, ...] = (0.0, 0.5, 1.0),
    has_controls: bool = False,
    failures: tuple[tuple[str, str], ...] = (),
) -> Evaluation:
    """An evaluation with these queries in each picture."""
    settings = EvaluationSettings(parse_methods(methods), has_controls, (), shares)
    results = tuple(
        PictureResult(f"{number}.png", f"{number:064}", tuple(queries), 7) for number, queries in enumerate(pictures)
    )
    return Evaluation(settings, {"checkpoint": "<pixels>"}, results, failures)
