"""How tokens lie on an image: token ↔ original pixel and back.

Axes used everywhere: ``batch heads queries tokens layers levels points width dim rows cols``, and
``height_px width_px`` for image pixels. Cell (row, col) covers the input pixels
``[col·stride, (col+1)·stride) × [row·stride, (row+1)·stride)``: the last row and column reach past the
picture's edge when its size is no multiple of the stride, and are cut there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, log2

from detr_attnviz.errors import ChoiceError


@dataclass(frozen=True, slots=True)
class Grid:
    """The feature map of one picture, without its padding.

    ``height_px width_px`` are the original picture's, ``input_height_px input_width_px`` those of the
    resized picture that went into the model, and ``stride_px`` is in input pixels. ``canvas_px`` is (height, width)
    of the input with its padding to the right and below, None where nothing is padded.
    """

    rows: int
    cols: int
    stride_px: float
    height_px: int
    width_px: int
    input_height_px: int
    input_width_px: int
    canvas_px: tuple[int, int] | None = None

    @property
    def tokens(self) -> int:
        """Number of cells."""
        return self.rows * self.cols

    @property
    def canvas(self) -> tuple[int, int]:
        """(rows, cols) of all cells, padding included."""
        if self.canvas_px is None:
            return self.rows, self.cols
        height_px, width_px = self.canvas_px
        return max(self.rows, ceil(height_px / self.stride_px)), max(self.cols, ceil(width_px / self.stride_px))

    @property
    def extent(self) -> tuple[float, float]:
        """The picture's (height, width) in cells, at most ``(rows, cols)``.

        Where a model drops what is left of a cell at the edge, the last row and column stand for it.
        """
        return min(self.input_height_px / self.stride_px, self.rows), min(
            self.input_width_px / self.stride_px, self.cols
        )

    def token_at(self, x: float, y: float) -> int:
        """The token whose cell holds the original pixel (x, y).

        Raises: ChoiceError when the point lies outside the picture.
        """
        if not (0 <= x < self.width_px and 0 <= y < self.height_px):
            raise ChoiceError(
                f"point {x:g},{y:g} lies outside the picture: x must be in 0–{self.width_px - 1} "
                f"and y in 0–{self.height_px - 1} (original pixels)"
            )
        row = int(y * self.input_height_px / self.height_px / self.stride_px)
        col = int(x * self.input_width_px / self.width_px / self.stride_px)
        return min(row, self.rows - 1) * self.cols + min(col, self.cols - 1)

    def on_canvas(self, token: int) -> int:
        """The number of the same cell among all cells, padding included."""
        row, col = divmod(token, self.cols)
        return row * self.canvas[1] + col

    def filled(self) -> "Grid":
        """The same cells as sampled attention takes them: its places are parts of the feature map, whose last row and
        column reach past the input, and mean parts of the input, as boxes do. So the cells fill the input exactly.
        """
        height_px, width_px = self.canvas_px or (self.input_height_px, self.input_width_px)
        rows, cols = self.canvas
        return replace(
            self,
            input_height_px=round(self.input_height_px * rows * self.stride_px / height_px),
            input_width_px=round(self.input_width_px * cols * self.stride_px / width_px),
            canvas_px=None,
        )

    def cell_box(self, token: int) -> tuple[float, float, float, float]:
        """The token's cell as (left, top, right, bottom) in original pixels, cut at the picture's edge."""
        if not 0 <= token < self.tokens:
            raise ChoiceError(f"token {token} is not on the grid: tokens are 0–{self.tokens - 1}")
        row, col = divmod(token, self.cols)
        step_x = self.stride_px * self.width_px / self.input_width_px
        step_y = self.stride_px * self.height_px / self.input_height_px
        left, top = col * step_x, row * step_y
        return left, top, min(left + step_x, self.width_px), min(top + step_y, self.height_px)

    def center_of(self, token: int) -> tuple[float, float]:
        """The middle (x, y) of the token's cell in original pixels."""
        left, top, right, bottom = self.cell_box(token)
        return (left + right) / 2, (top + bottom) / 2


_COMMON_STRIDE_PX = 16
"""A map of this stride still looks like one: with finer cells a sample becomes a dot, with coarser ones places blur."""


def common_grid(levels: Sequence[Grid]) -> Grid:
    """The grid that samples of all ``levels`` are laid on together: that of the level nearest to 16 px a cell."""
    return min(levels, key=lambda grid: abs(log2(grid.stride_px / _COMMON_STRIDE_PX)))
