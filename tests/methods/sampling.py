"""A detector of deformable attention, small and seeded, called as ``module(images)``."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detr_attnviz.detector import Detector, load
from detr_attnviz.sites import AttentionSite, SampledCall

STRIDES_PX = (8, 16, 32)
POINTS = 2


class Reading(nn.Module):
    """Three heads that read two places on each level around a reference point."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.offsets = nn.Linear(width, 3 * len(STRIDES_PX) * POINTS * 2)
        self.weights = nn.Linear(width, 3 * len(STRIDES_PX) * POINTS)
        nn.init.normal_(self.offsets.weight, std=0.2)
        nn.init.normal_(self.weights.weight)

    def places(self, x: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        offsets = self.offsets(x).unflatten(-1, (3, -1, 2)).transpose(1, 2)
        return reference[:, None, :, None] + offsets, self.weights(x).unflatten(-1, (3, -1)).softmax(-1).transpose(1, 2)

    def forward(self, x: Tensor, reference: Tensor, maps: list[Tensor]) -> Tensor:
        places, weights = self.places(x, reference)
        read = []
        for level, values in enumerate(maps):
            own = slice(level * POINTS, (level + 1) * POINTS)
            taken = F.grid_sample(values, 2 * places[..., own, :].flatten(1, 2) - 1, align_corners=False)
            read.append((taken.unflatten(2, (3, -1)) * weights[:, None, :, :, own]).sum((2, 4)))
        return x + torch.stack(read).sum(0).transpose(1, 2)


class Sampler(nn.Module):
    """Two decoder layers and an encoder layer over all levels' cells; sigmoid scores of four classes."""

    def __init__(self, width: int = 16, queries: int = 5) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 8, 8)
        self.look = Reading(width)
        self.layers = nn.ModuleList(Reading(width) for _ in range(2))
        self.queries = nn.Parameter(torch.randn(1, queries, width))
        self.references = nn.Parameter(torch.rand(1, queries, 2))
        self.classes, self.boxes = nn.Linear(width, 4), nn.Linear(width, 4)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        finest = self.stem(F.pad(images, (0, -images.shape[3] % 8, 0, -images.shape[2] % 8)))
        maps = [finest if stride == 8 else F.avg_pool2d(finest, stride // 8, ceil_mode=True) for stride in STRIDES_PX]
        cells = torch.cat([values.flatten(2).transpose(1, 2) for values in maps], 1)
        self.look(cells, torch.cat([_middles(values) for values in maps], 1), maps)
        x = self.queries
        for layer in self.layers:
            x = layer(x, self.references, maps)
        return {"pred_logits": self.classes(x), "pred_boxes": self.boxes(x).sigmoid()}


def read(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> SampledCall:
    assert isinstance(module, Reading)
    x, reference, maps = args
    levels = tuple(level for level in range(len(maps)) for _ in range(POINTS))
    shapes = tuple((values.shape[2], values.shape[3]) for values in maps)
    return SampledCall(*module.places(x, reference), levels, shapes, reference)


def sampling_detector() -> Detector:
    """Tokens of the encoder are the cells of three levels, one level after the other."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = Sampler().eval()
    sites = [AttentionSite("encoder.0.self", "encoder-self", 0, model.look, read, "sampled")]
    for number, layer in enumerate(model.layers):
        sites.append(AttentionSite(f"decoder.{number}.cross", "decoder-cross", number, layer, read, "sampled"))
    return load(model, sites=sites, score="sigmoid", classes=["a", "b", "c", "d"])


def _middles(values: Tensor) -> Tensor:
    rows, cols = values.shape[2:]
    y, x = torch.meshgrid((torch.arange(rows) + 0.5) / rows, (torch.arange(cols) + 0.5) / cols, indexing="ij")
    return torch.stack((x, y), -1).flatten(0, 1)[None]
