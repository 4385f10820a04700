"use strict";

/** The numbers behind the matrix: what queries give to queries, and these as a picture of one pixel a cell. */
attnviz.shares = (() => {
  const OTHERS = -1; // the column of all queries that have none of their own
  let kept = { matrix: null, key: "" };

  /**
   * Shares [rows·columns] of decoder self-attention for these queries, and what they were made of: {shares, peak,
   * sheet}. `sheet` is a canvas of columns × rows pixels in the colours of `cmap`. Kept until one of these is new.
   */
  const of = (site, head, rows, columns, cmap) => {
    const matrix = attnviz.attention.matrix(site, head);
    const key = JSON.stringify([rows, columns, cmap]);
    if (kept.matrix === matrix && kept.key === key) return kept;
    const shares = gathered(matrix, site.tokens, rows, columns);
    const peak = attnviz.shown.peak(shares) || 1;
    kept = { matrix, key, shares, peak, sheet: painted(shares, peak, rows.length, columns.length, cmap) };
    return kept;
  };

  const gathered = (matrix, count, rows, columns) => {
    const others = Array.from({ length: count }, (_, query) => query).filter((query) => !columns.includes(query));
    const found = new Float32Array(rows.length * columns.length);
    let at = 0;
    for (const query of rows) {
      const own = matrix.subarray(query * count, (query + 1) * count);
      for (const column of columns) {
        found[at++] = column === OTHERS ? others.reduce((sum, other) => sum + own[other], 0) : own[column];
      }
    }
    return found;
  };

  /** The colour of a share of the peak, as [red, green, blue]; black for what is no number. */
  const colourOf = (table, share) => {
    const at = 3 * Math.round(255 * Math.min(1, Math.max(0, share)));
    return Number.isFinite(share) ? table.subarray(at, at + 3) : [0, 0, 0];
  };

  const painted = (shares, peak, rows, columns, cmap) => {
    const sheet = attnviz.elements.make("canvas", { width: columns, height: rows });
    const context = sheet.getContext("2d");
    const data = context.createImageData(columns, rows);
    const table = attnviz.colour.table(cmap);
    shares.forEach((share, cell) => {
      data.data.set(colourOf(table, share / peak), 4 * cell);
      data.data[4 * cell + 3] = 255;
    });
    context.putImageData(data, 0, 0);
    return sheet;
  };

  return { of, colourOf, OTHERS };
})();
