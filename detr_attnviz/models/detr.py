"""The inference DETR in one file, but for backbone and positions; attribute names equal to the official keys.

Carion et al. 2020, "End-to-End Object Detection with Transformers" (arXiv 2005.12872). Attention always
runs on PyTorch's fused kernels and never returns its weights: maps are computed later from what went in.
Shapes in trailing comments: B batch, Q queries, T tokens, D width, H W pixels, h w cells.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detr_attnviz.models.positions import LearnedPositions, SinePositions
from detr_attnviz.models.resnet import Backbone, ResNetShape


class Attention(nn.MultiheadAttention):
    """``nn.MultiheadAttention`` on the fused kernel, sequence first, with the query scaled before the product.

    The official code scales first; the fused kernel by itself scales the logits, which moves sharp maps ten
    times as far from the official ones. Asked for weights or given other masks, it is its parent.
    """

    computes_multihead = True

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        if need_weights or attn_mask is not None:
            return super().forward(
                query, key, value, key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal
            )
        q, k, v = (
            self.project(x, part).unflatten(-1, (self.num_heads, -1)).permute(1, 2, 0, 3)  # [B heads T dim]
            for part, x in enumerate((query, key, value))
        )
        mask = None if key_padding_mask is None else ~key_padding_mask[:, None, None]
        mixed = self.mix(q * math.sqrt(1 / self.head_dim), k, v, mask)  # [B heads T dim]
        return self.join(mixed.permute(2, 0, 1, 3).flatten(2)), None

    def project(self, x: Tensor, part: int) -> Tensor:
        """``x [T B D]`` through Wq, Wk or Wv (part 0, 1, 2)."""
        return F.linear(x, self.in_proj_weight.chunk(3)[part], self.in_proj_bias.chunk(3)[part])

    def mix(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """``softmax(q kᵀ) v`` per head; ``mask`` is True where a query may look."""
        return F.scaled_dot_product_attention(q, k, v, mask, scale=1.0)

    def join(self, mixed: Tensor) -> Tensor:
        """The heads' results ``[T B D]``, side by side, through ``out_proj``."""
        return self.out_proj(mixed)  # type: ignore[no-any-return]


class Linear(nn.Linear):
    """``nn.Linear`` that can be asked for its ReLU as well, which a fused kernel gives in the same pass."""

    def relu(self, x: Tensor) -> Tensor:
        return F.relu_(self(x))

    def feed(self, x: Tensor, second: "Linear") -> Tensor:
        """Feed-forward: ``second(relu(self(x)))``."""
        return second(self.relu(x))  # type: ignore[no-any-return]


class EncoderLayer(nn.Module):
    """Self-attention over the cells, then feed-forward; positions join q and k only."""

    def __init__(self, width: int, heads: int, feedforward: int, pre_norm: bool) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads)
        self.linear1 = Linear(width, feedforward)
        self.linear2 = Linear(feedforward, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.pre_norm = pre_norm

    def forward(self, x: Tensor, positions: Tensor, padding: Tensor | None) -> Tensor:
        if self.pre_norm:
            x = x + self._attend(self.norm1(x), positions, padding)
            return x + self._feed(self.norm2(x))  # [T B D]
        x = self.norm1(x + self._attend(x, positions, padding))
        return self.norm2(x + self._feed(x))  # type: ignore[no-any-return]  # [T B D]

    def _attend(self, x: Tensor, positions: Tensor, padding: Tensor | None) -> Tensor:
        q = x + positions
        return self.self_attn(q, q, x, key_padding_mask=padding, need_weights=False)[0]  # type: ignore[no-any-return]

    def _feed(self, x: Tensor) -> Tensor:
        return self.linear1.feed(x, self.linear2)


class DecoderLayer(nn.Module):
    """Self-attention among the queries, cross-attention to the cells, then feed-forward."""

    def __init__(self, width: int, heads: int, feedforward: int, pre_norm: bool) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads)
        self.multihead_attn = Attention(width, heads)
        self.linear1 = Linear(width, feedforward)
        self.linear2 = Linear(feedforward, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)
        self.pre_norm = pre_norm

    def forward(
        self, x: Tensor, query_positions: Tensor, memory: Tensor, memory_keys: Tensor, padding: Tensor | None
    ) -> Tensor:
        if self.pre_norm:
            x = x + self._listen(self.norm1(x), query_positions)
            x = x + self._look(self.norm2(x), query_positions, memory, memory_keys, padding)
            return x + self._feed(self.norm3(x))  # [Q B D]
        x = self.norm1(x + self._listen(x, query_positions))
        x = self.norm2(x + self._look(x, query_positions, memory, memory_keys, padding))
        return self.norm3(x + self._feed(x))  # type: ignore[no-any-return]  # [Q B D]

    def _listen(self, x: Tensor, query_positions: Tensor) -> Tensor:
        q = x + query_positions
        return self.self_attn(q, q, x, need_weights=False)[0]  # type: ignore[no-any-return]

    def _look(
        self, x: Tensor, query_positions: Tensor, memory: Tensor, memory_keys: Tensor, padding: Tensor | None
    ) -> Tensor:
        return self.multihead_attn(  # type: ignore[no-any-return]
            x + query_positions, memory_keys, memory, key_padding_mask=padding, need_weights=False
        )[0]

    def _feed(self, x: Tensor) -> Tensor:
        return self.linear1.feed(x, self.linear2)


class Encoder(nn.Module):
    """The encoder's layers; ``norm`` exists only with pre-norm and in the notebook's model."""

    def __init__(self, layers: Sequence[EncoderLayer], norm: nn.LayerNorm | None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = norm

    def forward(self, x: Tensor, positions: Tensor, padding: Tensor | None) -> Tensor:
        for layer in self.layers:
            x = layer(x, positions, padding)
        return x if self.norm is None else self.norm(x)  # [T B D]


class Decoder(nn.Module):
    """The decoder's layers; the shared ``norm`` shapes each layer's own prediction only."""

    def __init__(self, layers: Sequence[DecoderLayer], width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, x: Tensor, query_positions: Tensor, memory: Tensor, positions: Tensor, padding: Tensor | None
    ) -> list[Tensor]:
        memory_keys = memory + positions
        states = []
        for layer in self.layers:
            x = layer(x, query_positions, memory, memory_keys, padding)
            states.append(x)
        return states  # layers × [Q B D], before the norm


class Transformer(nn.Module):
    """Encoder and decoder under the official names."""

    def __init__(
        self,
        width: int,
        heads: int,
        feedforward: int,
        encoder_layers: int,
        decoder_layers: int,
        pre_norm: bool,
        encoder_norm: bool,
    ) -> None:
        super().__init__()
        sizes = (width, heads, feedforward, pre_norm)
        self.encoder = Encoder(
            [EncoderLayer(*sizes) for _ in range(encoder_layers)],
            nn.LayerNorm(width) if encoder_norm else None,
        )
        self.decoder = Decoder([DecoderLayer(*sizes) for _ in range(decoder_layers)], width)


class MLP(nn.Module):
    """``layers`` linear layers with ReLU between them: the box head."""

    def __init__(self, width: int, outputs: int, layers: int) -> None:
        super().__init__()
        sizes = [width] * layers + [outputs]
        self.layers = nn.ModuleList([Linear(size, after) for size, after in itertools.pairwise(sizes)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = layer.relu(x)  # type: ignore[operator]
        return self.layers[-1](x)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class DetrOutput:
    """Raw predictions: logits ``[B Q classes+1]``, boxes ``[B Q 4]`` cxcywh in 0-1 of the unpadded image.

    ``layer_logits`` and ``layer_boxes`` hold one such tensor per decoder layer when they were asked for.
    """

    logits: Tensor
    boxes: Tensor
    layer_logits: tuple[Tensor, ...] = ()
    layer_boxes: tuple[Tensor, ...] = ()


class DETR(nn.Module):
    """DETR for inference: images in, class logits and boxes out.

    ``classes`` counts the class rows without the no-object row. ``notebook`` is the 50-line model of the
    official demo notebook: positions join the encoder's input, queries are the decoder's input, the encoder
    has a final norm. ``forward`` takes normalised images ``[B 3 H W]`` and, if some of them are padded,
    ``is_padding [B H W]`` (True = padding); ``features [B D h w]`` are what an earlier forward's ``input_proj`` gave
    for the same images, so that the backbone need not run again.
    """

    def __init__(
        self,
        *,
        backbone: ResNetShape | None = None,
        width: int = 256,
        heads: int = 8,
        feedforward: int = 2048,
        encoder_layers: int = 6,
        decoder_layers: int = 6,
        queries: int = 100,
        classes: int = 91,
        positions: str = "sine",
        position_cells: int = 50,
        pre_norm: bool = False,
        box_layers: int = 3,
        notebook: bool = False,
    ) -> None:
        super().__init__()
        backbone = backbone or ResNetShape()
        learned = positions == "learned"
        self.notebook = notebook
        self.transformer = Transformer(
            width,
            heads,
            feedforward,
            encoder_layers,
            decoder_layers,
            pre_norm,
            encoder_norm=pre_norm or notebook,
        )
        self.class_embed = nn.Linear(width, classes + 1)
        self.bbox_embed = MLP(width, 4, box_layers)
        self.query_embed = nn.Embedding(queries, width)
        self.input_proj = nn.Conv2d(backbone.channels, width, kernel_size=1)
        self.backbone = nn.Sequential(
            Backbone(backbone), LearnedPositions(width, position_cells) if learned else SinePositions(width)
        )
        self.stride_px = backbone.stride_px

    def forward(
        self,
        images: Tensor,
        is_padding: Tensor | None = None,
        *,
        features: Tensor | None = None,
        all_layers: bool = False,
    ) -> DetrOutput:
        if features is None:
            features = self.input_proj(self.backbone[0](images))  # [B D h w]
        batch, _, rows, cols = features.shape
        if is_padding is None:
            is_padding_cell = torch.zeros((batch, rows, cols), dtype=torch.bool, device=images.device)
        else:
            is_padding_cell = self.cell_padding(is_padding, rows, cols)
        positions = self.backbone[1](is_padding_cell).to(features.dtype)
        states = self._transform(features, positions, None if is_padding is None else is_padding_cell.flatten(1))
        states = states if all_layers else states[-1:]
        predictions = [self._predict(self.transformer.decoder.norm(state)) for state in states]
        logits, boxes = predictions[-1]
        if not all_layers:
            return DetrOutput(logits, boxes)
        return DetrOutput(logits, boxes, *(tuple(part) for part in zip(*predictions, strict=True)))

    @staticmethod
    def cell_padding(is_padding: Tensor, rows: int, cols: int) -> Tensor:
        """The padding mask at the cells ``[B h w]``: nearest pixel, as the official backbone resizes it."""
        return F.interpolate(is_padding[:, None].float(), size=(rows, cols))[:, 0].bool()

    def _transform(self, features: Tensor, positions: Tensor, padding: Tensor | None) -> list[Tensor]:
        tokens = features.flatten(2).permute(2, 0, 1)  # [T B D]
        positions = positions.flatten(2).permute(2, 0, 1)  # [T B D]
        queries = self.query_embed.weight[:, None].expand(-1, features.shape[0], -1)  # [Q B D]
        start = torch.zeros_like(queries)
        if self.notebook:
            tokens = positions + 0.1 * tokens
            positions, queries, start = torch.zeros_like(positions), start, queries
        memory = self.transformer.encoder(tokens, positions, padding)
        return self.transformer.decoder(start, queries, memory, positions, padding)  # type: ignore[no-any-return]

    def _predict(self, state: Tensor) -> tuple[Tensor, Tensor]:
        state = state.transpose(0, 1)  # [B Q D]
        return self.class_embed(state), self.bbox_embed(state).sigmoid()
