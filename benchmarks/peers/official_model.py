"""The official DETR, done again from the paper and the names in its checkpoints, for inference as its users run it.

Nothing is tuned: batch norms stay separate, attention computes its weights (``need_weights`` is left at its default),
every decoder layer's state is normed and predicted from, pictures travel with a padding mask. Post-norm and sine
positions, as in every official checkpoint. Carion et al. 2020, arXiv 2005.12872.
"""

import argparse
import copy
import itertools
import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.ops import FrozenBatchNorm2d


class Backbone(nn.Module):
    """A torchvision ResNet up to its last stage, and the padding mask at that stage's size."""

    def __init__(self, name: str, dilation: bool) -> None:
        super().__init__()
        resnet = getattr(torchvision.models, name)(
            replace_stride_with_dilation=[False, False, dilation], weights=None, norm_layer=FrozenBatchNorm2d
        )
        self.channels = resnet.fc.in_features
        self.body = IntermediateLayerGetter(resnet, return_layers={"layer4": "0"})

    def forward(self, images: Tensor, is_padding: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(images)["0"]
        return features, F.interpolate(is_padding[None].float(), size=features.shape[-2:]).bool()[0]


class SinePositions(nn.Module):
    """Half of the channels tell the row, half the column, by sines and cosines of many periods."""

    def __init__(self, half_width: int) -> None:
        super().__init__()
        self.half_width = half_width

    def forward(self, is_padding: Tensor) -> Tensor:
        inside = ~is_padding
        parts = []
        for axis in (1, 2):
            count = inside.cumsum(axis, dtype=torch.float32)
            angle = count / (count.narrow(axis, -1, 1) + 1e-6) * 2 * math.pi
            channel = torch.arange(self.half_width, dtype=torch.float32, device=is_padding.device)
            phase = angle[:, :, :, None] / 10000 ** (2 * (channel // 2) / self.half_width)
            parts.append(torch.stack((phase[..., 0::2].sin(), phase[..., 1::2].cos()), dim=4).flatten(3))
        return torch.cat(parts, dim=3).permute(0, 3, 1, 2)


class EncoderLayer(nn.Module):
    def __init__(self, width: int, heads: int, feedforward: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, dropout=dropout)
        self.linear1 = nn.Linear(width, feedforward)
        self.dropout = nn.Dropout(dropout)
        self.linear2 = nn.Linear(feedforward, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)

    def forward(self, x: Tensor, is_padding: Tensor, positions: Tensor) -> Tensor:
        q = k = x + positions
        x = self.norm1(x + self.dropout1(self.self_attn(q, k, value=x, key_padding_mask=is_padding)[0]))
        fed = self.linear2(self.dropout(F.relu(self.linear1(x))))
        return self.norm2(x + self.dropout2(fed))  # type: ignore[no-any-return]


class DecoderLayer(nn.Module):
    def __init__(self, width: int, heads: int, feedforward: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, dropout=dropout)
        self.multihead_attn = nn.MultiheadAttention(width, heads, dropout=dropout)
        self.linear1 = nn.Linear(width, feedforward)
        self.dropout = nn.Dropout(dropout)
        self.linear2 = nn.Linear(feedforward, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)
        self.dropout3 = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor, is_padding: Tensor, positions: Tensor, queries: Tensor) -> Tensor:
        q = k = x + queries
        x = self.norm1(x + self.dropout1(self.self_attn(q, k, value=x)[0]))
        seen = self.multihead_attn(
            query=x + queries, key=memory + positions, value=memory, key_padding_mask=is_padding
        )[0]
        x = self.norm2(x + self.dropout2(seen))
        fed = self.linear2(self.dropout(F.relu(self.linear1(x))))
        return self.norm3(x + self.dropout3(fed))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    def __init__(self, layer: EncoderLayer, count: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(copy.deepcopy(layer) for _ in range(count))

    def forward(self, x: Tensor, is_padding: Tensor, positions: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, is_padding, positions)
        return x


class Decoder(nn.Module):
    def __init__(self, layer: DecoderLayer, count: int, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(copy.deepcopy(layer) for _ in range(count))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, memory: Tensor, is_padding: Tensor, positions: Tensor, queries: Tensor) -> Tensor:
        states = []
        for layer in self.layers:
            x = layer(x, memory, is_padding, positions, queries)
            states.append(self.norm(x))
        return torch.stack(states)


class Transformer(nn.Module):
    def __init__(self, width: int, heads: int, feedforward: int, encoder_layers: int, decoder_layers: int) -> None:
        super().__init__()
        self.encoder = Encoder(EncoderLayer(width, heads, feedforward), encoder_layers)
        self.decoder = Decoder(DecoderLayer(width, heads, feedforward), decoder_layers, width)
        for weight in self.parameters():
            if weight.dim() > 1:
                nn.init.xavier_uniform_(weight)

    def forward(self, features: Tensor, is_padding: Tensor, queries: Tensor, positions: Tensor) -> Tensor:
        tokens = features.flatten(2).permute(2, 0, 1)
        positions = positions.flatten(2).permute(2, 0, 1)
        queries = queries[:, None].repeat(1, features.shape[0], 1)
        is_padding = is_padding.flatten(1)
        memory = self.encoder(tokens, is_padding, positions)
        states: Tensor = self.decoder(torch.zeros_like(queries), memory, is_padding, positions, queries)
        return states.transpose(1, 2)


class BoxHead(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = itertools.pairwise((width, width, width, 4))
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in sizes)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)  # type: ignore[no-any-return]


class OfficialDetr(nn.Module):
    """Pictures ``[batch 3 height width]`` in; ``pred_logits``, ``pred_boxes`` (cxcywh in 0–1) of the last layer out."""

    def __init__(self, args: argparse.Namespace, classes: int) -> None:
        super().__init__()
        width = args.hidden_dim
        backbone = Backbone(args.backbone, args.dilation)
        self.transformer = Transformer(width, args.nheads, args.dim_feedforward, args.enc_layers, args.dec_layers)
        self.class_embed = nn.Linear(width, classes + 1)
        self.bbox_embed = BoxHead(width)
        self.query_embed = nn.Embedding(args.num_queries, width)
        self.input_proj = nn.Conv2d(backbone.channels, width, kernel_size=1)
        self.backbone = nn.Sequential(backbone, SinePositions(width // 2))

    def forward(self, pictures: Tensor) -> Mapping[str, Tensor]:
        images, is_padding = with_mask(pictures)
        features, is_padding = self.backbone[0](images, is_padding)
        positions = self.backbone[1](is_padding).to(features.dtype)
        states = self.transformer(self.input_proj(features), is_padding, self.query_embed.weight, positions)
        logits, boxes = self.class_embed(states), self.bbox_embed(states).sigmoid()
        return {"pred_logits": logits[-1], "pred_boxes": boxes[-1]}


def with_mask(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures laid into one batch, as those of several sizes would be, and where it is padding."""
    images = torch.zeros_like(pictures)
    is_padding = torch.ones_like(pictures[:, 0], dtype=torch.bool)
    for picture, image, mask in zip(pictures, images, is_padding, strict=True):
        image[:, : picture.shape[1], : picture.shape[2]].copy_(picture)
        mask[: picture.shape[1], : picture.shape[2]] = False
    return images, is_padding


def load_official(checkpoint: str) -> OfficialDetr:
    """The model that a file of the official training script describes, holding its weights."""
    saved = torch.load(checkpoint, map_location="cpu", weights_only=False)
    classes = saved["model"]["class_embed.bias"].shape[0] - 1
    model = OfficialDetr(saved["args"], classes)
    model.load_state_dict(saved["model"])
    return model.eval()
