"""How cells lie on the picture, as the page has it."""

from dataclasses import asdict

from detr_attnviz.explorer.arrays import Row
from detr_attnviz.grid import Grid


def grid_row(grid: Grid, canvas: tuple[int, int] | None = None) -> Row:
    """The document's entry of a grid; ``canvas`` is (rows, cols) with padding where the grid itself has lost it."""
    row = asdict(grid)
    del row["canvas_px"]
    return {**row, "canvas": list(canvas or grid.canvas), "extent": list(grid.extent)}


def sampled_grid_row(grid: Grid) -> Row:
    """The same of the cells that samples are laid on, which fill the input exactly: see ``Grid.filled``."""
    return grid_row(grid.filled(), grid.canvas)
