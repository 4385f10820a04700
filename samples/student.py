"""The package's DETR made ready for training: initial values, trainable batch norms, query groups.

The modules are those of `detr_attnviz.models.detr`; only the way through them is written again, so
that all layers answer, several groups of queries share one memory, and attention runs as plain
products (at 16 dimensions a head, the fused kernel's backward pass is slower on a CPU).
Axes: B pictures, G query groups, Q queries, T cells, D width.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from losses import Predictions
from shapes import CLASSES
from torch import Tensor, nn

from detr_attnviz.models.detr import DETR, DecoderLayer, EncoderLayer
from detr_attnviz.models.resnet import FrozenBatchNorm2d, ResNetShape

WIDTH, HEADS, FEEDFORWARD = 128, 8, 512
BACKBONE = ResNetShape(blocks=(1, 2, 1, 1), expansion=1, width_per_group=32, dilation=True)
POINTS = 5  # the queries start on a grid of POINTS x POINTS points
GROUPS = 3
_JITTER = 0.08
_CROSS_GAINS = (2.2, 2.0, 1.6, 1.3, 1.0, 1.0)
_SELF_GAIN = 1.5
_MAP_VALUES = 1_200_000  # of attention maps that are computed together


@dataclass(frozen=True)
class Encoded:
    """What the decoder reads."""

    features: Tensor  # [B T D], before the encoder
    memory: Tensor  # [B T D]
    positions: Tensor  # [B T D]
    rows: int
    cols: int


def build_detr() -> DETR:
    """The architecture that ships, with PyTorch's own initial values."""
    return DETR(
        backbone=BACKBONE,
        width=WIDTH,
        heads=HEADS,
        feedforward=FEEDFORWARD,
        queries=POINTS**2,
        classes=len(CLASSES),
    )


class Student(nn.Module):
    """A DETR under training, with the extra query groups that are dropped in the end."""

    def __init__(self) -> None:
        super().__init__()
        self.detr = build_detr()
        _initialise(self.detr)
        exchange_norms(self.detr, nn.BatchNorm2d)
        grid = _point_grid()
        with torch.no_grad():
            self.detr.query_embed.weight.copy_(_embed_points(grid))
        jittered = [grid + torch.empty_like(grid).uniform_(-_JITTER, _JITTER) for _ in range(GROUPS - 1)]
        self.more_queries = nn.Parameter(torch.stack([_embed_points(points) for points in jittered]))

    def encode(self, images: Tensor) -> Encoded:
        """Backbone and encoder: `[B 3 H W]` → cells."""
        grid = self.detr.input_proj(self.detr.backbone[0](images))
        rows, cols = grid.shape[2:]
        positions = self.detr.backbone[1](torch.zeros(1, rows, cols, dtype=torch.bool))
        positions = positions.flatten(2).transpose(1, 2).to(grid.dtype)
        features = grid.flatten(2).transpose(1, 2).contiguous()
        memory = features
        for layer in self.detr.transformer.encoder.layers:
            assert isinstance(layer, EncoderLayer)
            memory = _encode_once(layer, memory, positions)
        return Encoded(features, memory, positions, rows, cols)

    def decode(self, encoded: Encoded) -> Predictions:
        """All decoder layers' answers for all query groups."""
        groups = torch.cat([self.detr.query_embed.weight[None], self.more_queries])  # [G Q D]
        groups = groups.to(encoded.memory.dtype)[None].expand(len(encoded.memory), -1, -1, -1)
        keys = encoded.memory + encoded.positions
        state = torch.zeros_like(groups)
        states = []
        for layer in self.detr.transformer.decoder.layers:
            assert isinstance(layer, DecoderLayer)
            state = _decode_once(layer, state, groups, encoded.memory, keys)
            states.append(state)
        with torch.autocast("cpu", enabled=False):
            normed = self.detr.transformer.decoder.norm(torch.stack(states).float())
            logits = self.detr.class_embed(normed)
            boxes = self.detr.bbox_embed(normed).sigmoid()
        return Predictions(logits, boxes)

    def freeze_norms(self) -> None:
        """Uses and keeps the batch norms' running statistics from now on."""
        for module in self.detr.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()

    def norm_statistics(self) -> list[Tensor]:
        """The batch norms' running means and variances."""
        return [
            buffer
            for name, buffer in self.detr.backbone.named_buffers()
            if name.endswith(("running_mean", "running_var"))
        ]


def attend(module: nn.MultiheadAttention, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Multi-head attention from the packed weights: `[B Q D], [B T D], [B T D] → [B Q D]`.

    A few maps at a time: what stays in the processor's cache is three times as fast.
    """
    width, batch = module.embed_dim, len(queries)
    q, k = _queries_and_keys(module, queries, keys)
    v = F.linear(values, module.in_proj_weight[2 * width :], module.in_proj_bias[2 * width :])
    v = _per_head(v, module.num_heads)
    maps = max(1, _MAP_VALUES // (q.shape[1] * k.shape[1]))
    parts = zip(q.split(maps), k.split(maps), v.split(maps), strict=True)
    mixed = torch.cat([(some_q @ some_k.mT).softmax(-1) @ some_v for some_q, some_k, some_v in parts])
    mixed = mixed.view(batch, module.num_heads, *mixed.shape[1:]).transpose(1, 2)
    attended: Tensor = module.out_proj(mixed.flatten(2))
    return attended


def attend_weights(module: nn.MultiheadAttention, queries: Tensor, keys: Tensor) -> Tensor:
    """The attention maps themselves, `[B heads Q T]`; each row sums to 1."""
    q, k = _queries_and_keys(module, queries, keys)
    weights: Tensor = (q @ k.mT).softmax(-1)
    return weights.view(len(queries), module.num_heads, *weights.shape[1:])


def _queries_and_keys(module: nn.MultiheadAttention, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Projected and scaled: `[B·heads Q dim]` and `[B·heads T dim]`."""
    width, heads = module.embed_dim, module.num_heads
    weight, bias = module.in_proj_weight[: 2 * width], module.in_proj_bias[: 2 * width]
    if queries is keys:
        q, k = F.linear(queries, weight, bias).chunk(2, dim=-1)
    else:
        q = F.linear(queries, weight[:width], bias[:width])
        k = F.linear(keys, weight[width:], bias[width:])
    return _per_head(q, heads) * (width // heads) ** -0.5, _per_head(k, heads)


def _per_head(x: Tensor, heads: int) -> Tensor:
    batch, tokens, width = x.shape
    split = x.view(batch, tokens, heads, width // heads).transpose(1, 2)
    return split.reshape(batch * heads, tokens, width // heads)  # [B·heads · dim]


def _encode_once(layer: EncoderLayer, x: Tensor, positions: Tensor) -> Tensor:
    placed = x + positions
    x = layer.norm1(x + attend(layer.self_attn, placed, placed, x))
    return layer.norm2(x + _feed(layer, x))  # type: ignore[no-any-return]


def _decode_once(layer: DecoderLayer, x: Tensor, places: Tensor, memory: Tensor, keys: Tensor) -> Tensor:
    """One decoder layer; queries `[B G Q D]` listen to their own group only."""
    shape = x.shape
    placed = (x + places).flatten(0, 1)
    x = x.flatten(0, 1)
    x = layer.norm1(x + attend(layer.self_attn, placed, placed, x))
    x = x.view(shape).flatten(1, 2)
    x = layer.norm2(x + attend(layer.multihead_attn, x + places.flatten(1, 2), keys, memory))
    return layer.norm3(x + _feed(layer, x)).view(shape)  # type: ignore[no-any-return]


def _feed(layer: EncoderLayer | DecoderLayer, x: Tensor) -> Tensor:
    return layer.linear2(F.relu(layer.linear1(x)))  # type: ignore[no-any-return]


def exchange_norms(detr: DETR, kind: type[nn.Module]) -> None:
    """Puts batch norms of another kind in place of all of the backbone's, with the same values."""
    for parent in list(detr.backbone.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d | FrozenBatchNorm2d):
                fresh = kind(len(child.weight))
                fresh.load_state_dict(child.state_dict(), strict=False)
                setattr(parent, name, fresh)


def _point_grid() -> Tensor:
    steps = (torch.arange(POINTS) + 0.5) / POINTS
    return torch.cartesian_prod(steps, steps)  # [Q 2], y then x


def _embed_points(points: Tensor) -> Tensor:
    """The sine embedding of a cell at each point: `[Q 2] → [Q D]`, y half first."""
    half = WIDTH // 2
    frequencies = 10_000 ** -(torch.arange(0, half, 2) / half)
    phases = 2 * torch.pi * points[..., None] * frequencies
    return torch.stack([phases.sin(), phases.cos()], dim=-1).flatten(1)


def _initialise(detr: DETR) -> None:
    """He values in the backbone, Glorot ones in the transformer; a decoder query first looks for keys like itself."""
    for part in detr.backbone.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
    transformer = detr.transformer
    for parameter in transformer.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
    for layer, cross_gain in zip(transformer.decoder.layers, _CROSS_GAINS, strict=True):
        assert isinstance(layer, DecoderLayer)
        _tie_keys_to_queries(layer.self_attn, _SELF_GAIN)
        _tie_keys_to_queries(layer.multihead_attn, cross_gain)


@torch.no_grad()
def _tie_keys_to_queries(module: nn.MultiheadAttention, gain: float) -> None:
    width = module.embed_dim
    module.in_proj_weight[:width] *= gain
    module.in_proj_weight[width : 2 * width] = module.in_proj_weight[:width]
