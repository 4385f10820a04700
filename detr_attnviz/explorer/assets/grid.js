"use strict";

/** How cells lie on a picture: the twin of detr_attnviz/grid.py. Places and boxes are in original pixels. */
attnviz.grid = (() => {
  /** The cell that holds (x, y), counted without padding; -1 outside the picture. */
  const cellAt = (grid, x, y) => {
    if (!(x >= 0 && x < grid.width_px && y >= 0 && y < grid.height_px)) return -1;
    const row = Math.floor(((y * grid.input_height_px) / grid.height_px) / grid.stride_px);
    const col = Math.floor(((x * grid.input_width_px) / grid.width_px) / grid.stride_px);
    return Math.min(row, grid.rows - 1) * grid.cols + Math.min(col, grid.cols - 1);
  };

  /** The cell's [left, top, right, bottom], cut at the picture's edge. */
  const cellBox = (grid, cell) => {
    const stepX = (grid.stride_px * grid.width_px) / grid.input_width_px;
    const stepY = (grid.stride_px * grid.height_px) / grid.input_height_px;
    const left = (cell % grid.cols) * stepX;
    const top = Math.floor(cell / grid.cols) * stepY;
    return [left, top, Math.min(left + stepX, grid.width_px), Math.min(top + stepY, grid.height_px)];
  };

  /** The middle [x, y] of the cell. */
  const center = (grid, cell) => {
    const [left, top, right, bottom] = cellBox(grid, cell);
    return [(left + right) / 2, (top + bottom) / 2];
  };

  /** The number of the same cell among all cells, padding included. */
  const onCanvas = (grid, cell) => Math.floor(cell / grid.cols) * grid.canvas[1] + (cell % grid.cols);

  return { cellAt, cellBox, center, onCanvas };
})();
