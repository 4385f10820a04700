"""Where cells are: the embeddings that DETR adds to queries and keys.

Carion et al. 2020 (arXiv 2005.12872). Shapes in trailing comments: B batch, D width, h w cells.
"""

import math

import torch
from torch import Tensor, nn


class SinePositions(nn.Module):
    """Sine embedding of each cell's normalised (y, x), counted over the cells that are not padding."""

    temperature = 10000
    scale = 2 * math.pi
    eps = 1e-6

    def __init__(self, width: int) -> None:
        super().__init__()
        self.half_width = width // 2

    def forward(self, is_padding: Tensor) -> Tensor:
        inside = ~is_padding  # [B h w]
        y = inside.cumsum(1, dtype=torch.float32)
        x = inside.cumsum(2, dtype=torch.float32)
        y = y / (y[:, -1:, :] + self.eps) * self.scale
        x = x / (x[:, :, -1:] + self.eps) * self.scale
        return torch.cat((self._waves(y), self._waves(x)), dim=3).permute(0, 3, 1, 2)  # [B D h w]

    def _waves(self, angle: Tensor) -> Tensor:
        step = torch.arange(self.half_width, dtype=torch.float32, device=angle.device)
        period = self.temperature ** (2 * (step // 2) / self.half_width)
        phase = angle[..., None] / period  # [B h w D/2]
        return torch.stack((phase[..., 0::2].sin(), phase[..., 1::2].cos()), dim=4).flatten(3)


class LearnedPositions(nn.Module):
    """A learned vector per column and per row, at most ``cells`` of each; x half first."""

    def __init__(self, width: int, cells: int = 50) -> None:
        super().__init__()
        self.row_embed = nn.Embedding(cells, width // 2)
        self.col_embed = nn.Embedding(cells, width // 2)

    def forward(self, is_padding: Tensor) -> Tensor:
        batch, rows, cols = is_padding.shape
        x = self.col_embed.weight[:cols].expand(rows, -1, -1)
        y = self.row_embed.weight[:rows, None].expand(-1, cols, -1)
        return torch.cat((x, y), dim=-1).permute(2, 0, 1).expand(batch, -1, -1, -1)  # [B D h w]
