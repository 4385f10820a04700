"""A small Deformable DETR: two levels, attention that samples, a logit for every class and none for no-object."""

import argparse
import math
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDES_PX = (8, 16)


class MSDeformAttn(nn.Module):
    """Names and arguments of the module of the same name that Deformable DETR's descendants share."""

    def __init__(self, d_model: int, n_levels: int, n_heads: int, n_points: int) -> None:
        super().__init__()
        self.n_levels, self.n_heads, self.n_points = n_levels, n_heads, n_points
        self.sampling_offsets = nn.Linear(d_model, n_heads * n_levels * n_points * 2)
        self.attention_weights = nn.Linear(d_model, n_heads * n_levels * n_points)
        self.value_proj = nn.Linear(d_model, d_model)
        self.output_proj = nn.Linear(d_model, d_model)
        angles = torch.arange(n_heads) * 2 * math.pi / n_heads  # every head begins in a direction of its own
        steps = torch.arange(1, n_points + 1)
        star = torch.stack((angles.cos(), angles.sin()), -1)[:, None, None] * steps[:, None]
        nn.init.normal_(self.sampling_offsets.weight, std=0.05)
        self.sampling_offsets.bias.data = star.expand(-1, n_levels, -1, -1).flatten()

    def forward(
        self,
        query: Tensor,
        reference_points: Tensor,
        input_flatten: Tensor,
        input_spatial_shapes: Tensor,
        input_level_start_index: Tensor,
        input_padding_mask: Tensor | None = None,
    ) -> Tensor:
        value = self.value_proj(input_flatten)
        if input_padding_mask is not None:
            value = value.masked_fill(input_padding_mask[..., None], 0)
        sizes = input_spatial_shapes.tolist()
        split = (self.n_heads, self.n_levels, self.n_points)
        offsets = self.sampling_offsets(query).unflatten(-1, (*split, 2))
        places = reference_points[:, :, None, :, None] + offsets / input_spatial_shapes.flip(-1)[:, None]
        weights = self.attention_weights(query).unflatten(-1, (self.n_heads, -1)).softmax(-1).unflatten(-1, split[1:])
        mixed = query.new_zeros(len(query), query.shape[1], self.n_heads, value.shape[-1] // self.n_heads)
        for level, tokens in enumerate(value.split([rows * cols for rows, cols in sizes], dim=1)):
            maps = (
                tokens.unflatten(-1, (self.n_heads, -1)).permute(0, 2, 3, 1).flatten(0, 1).unflatten(-1, sizes[level])
            )
            at = places[:, :, :, level].transpose(1, 2).flatten(0, 1) * 2 - 1
            read = F.grid_sample(maps, at, align_corners=False).unflatten(
                0, (-1, self.n_heads)
            )  # [B heads dim Q points]
            mixed = mixed + torch.einsum("bhdqp,bqhp->bqhd", read, weights[:, :, :, level])
        return self.output_proj(mixed.flatten(2))  # type: ignore[no-any-return]


class EncoderLayer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_attn = MSDeformAttn(width, len(STRIDES_PX), heads, 2)
        self.norm1 = nn.LayerNorm(width)

    def forward(self, x: Tensor, reference: Tensor, shapes: Tensor, padding: Tensor) -> Tensor:
        return self.norm1(x + self.self_attn(x, reference, x, shapes, shapes, padding))  # type: ignore[no-any-return]


class DecoderLayer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.cross_attn = MSDeformAttn(width, len(STRIDES_PX), heads, 2)
        self.norm1 = nn.LayerNorm(width)

    def forward(self, x: Tensor, reference: Tensor, memory: Tensor, shapes: Tensor, padding: Tensor) -> Tensor:
        x = x + self.self_attn(x, x, x)[0]
        return self.norm1(x + self.cross_attn(x, reference, memory, shapes, shapes, padding))  # type: ignore[no-any-return]


class Stack(nn.Module):
    def __init__(self, layers: Iterable[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)


class Transformer(nn.Module):
    def __init__(self, encoder: Stack, decoder: Stack) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder


class DeformableDETR(nn.Module):
    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__()
        width, heads = args.hidden_dim, args.nheads
        self.backbone = nn.ModuleList([nn.Conv2d(3, width, stride, stride) for stride in STRIDES_PX])
        self.transformer = Transformer(
            Stack(EncoderLayer(width, heads) for _ in range(args.enc_layers)),
            Stack(DecoderLayer(width, heads) for _ in range(args.dec_layers)),
        )
        self.query_embed = nn.Embedding(args.num_queries, width)
        self.reference_points = nn.Linear(width, 2)
        self.class_embed = nn.Linear(width, 5)
        self.bbox_embed = nn.Linear(width, 2)

    def forward(self, samples: Any) -> dict[str, Tensor]:
        features = [part(samples.tensors) for part in self.backbone]
        paddings = [F.interpolate(samples.mask[:, None].float(), each.shape[2:])[:, 0].bool() for each in features]
        shapes = torch.tensor([each.shape[2:] for each in features])
        valid = torch.stack([_valid_ratio(each) for each in paddings], 1)  # [B levels 2], (x, y)
        memory = torch.cat([each.flatten(2).mT for each in features], 1)
        padding = torch.cat([each.flatten(1) for each in paddings], 1)
        centers = torch.cat([_centers(each, ratio) for each, ratio in zip(paddings, valid.unbind(1), strict=True)], 1)
        for layer in self.transformer.encoder.layers:
            memory = layer(memory, centers[:, :, None] * valid[:, None], shapes, padding)
        x = self.query_embed.weight[None]
        reference = self.reference_points(x).sigmoid()
        for layer in self.transformer.decoder.layers:
            x = layer(x, reference[:, :, None] * valid[:, None], memory, shapes, padding)
        boxes = torch.cat((reference, self.bbox_embed(x).sigmoid() / 4), -1)
        return {"pred_logits": self.class_embed(x), "pred_boxes": boxes}


def build_model(args: argparse.Namespace) -> tuple[nn.Module, None, dict[str, Any]]:
    return DeformableDETR(args), None, {}


def _valid_ratio(padding: Tensor) -> Tensor:
    """(x, y): the part of the columns and rows that is picture."""
    return torch.stack([(~padding[:, 0, :]).float().mean(1), (~padding[:, :, 0]).float().mean(1)], -1)


def _centers(padding: Tensor, valid: Tensor) -> Tensor:
    """The middle of every cell, (x, y) in 0–1 of the picture without padding: ``[B cells 2]``."""
    rows, cols = padding.shape[1:]
    y, x = torch.meshgrid((torch.arange(rows) + 0.5) / rows, (torch.arange(cols) + 0.5) / cols, indexing="ij")
    return torch.stack((x, y), -1).flatten(0, 1) / valid[:, None]
