"use strict";

/** Attention that reads a few places a query: twins of detr_attnviz/recording/sampled.py and methods/samples.py. */
attnviz.sampled = (() => {
  const { values } = attnviz.arrays;

  /** The embedded row of the cell of level `pointLevel` that holds (x, y); -1 where there is none. */
  const rowAt = (site, x, y, pointLevel) => {
    const own = site.rows ? site.rows.find(({ level }) => level === pointLevel) : undefined;
    const cell = own ? attnviz.grid.cellAt(own.grid, x, y) : -1;
    return cell < 0 ? -1 : own.first + attnviz.grid.onCanvas(own.grid, cell);
  };

  /**
   * FOUND (see attention.js) of a row, on the cells of one level or, with null, of all together; `elsewhere` [heads] is
   * what other levels have.
   */
  const maps = (site, row, level) => {
    const grid = level === null ? site.grid : site.level_grids[level];
    const cells = grid.rows * grid.cols;
    const all = new Float32Array(site.heads * cells);
    const [outside, elsewhere] = [new Float32Array(site.heads), new Float32Array(site.heads)];
    eachSample(site, row, (head, x, y, weight, own) => {
      if (level !== null && own !== level) elsewhere[head] += weight;
      else outside[head] += weight - splat(all, head * cells, grid, x, y, weight);
    });
    return { maps: all, heads: site.heads, outside, elsewhere, focus: () => focusOf(site, row) };
  };

  /** Calls use(head, x, y, weight, level) for each sample of a row; (x, y) in 0–1 of the padded input. */
  const eachSample = (site, row, use) => {
    const { heads, samples, queries, levels } = site;
    const [places, reference, weightAt] = [placesOf(site), values(site.reference), weightsOf(site)];
    for (let head = 0; head < heads; head++) {
      for (let sample = 0; sample < samples; sample++) {
        const at = (head * queries + row) * samples + sample;
        const [x, y] = places(head, at, sample);
        use(head, x + reference[2 * row], y + reference[2 * row + 1], weightAt(head, at), levels[sample]);
      }
    }
  };

  /** Reads offsets from the reference: (head, place in the array, sample) → [x, y]. */
  const placesOf = ({ locations, samples }) => {
    const offsets = values(locations.values);
    if (!locations.scale) return (_, at) => [offsets[2 * at], offsets[2 * at + 1]];
    const scales = values(locations.scale);
    return (head, at, sample) => {
      const scale = 2 * (head * samples + sample);
      return [offsets[2 * at] * scales[scale], offsets[2 * at + 1] * scales[scale + 1]];
    };
  };

  const weightsOf = ({ weights }) => {
    const shares = values(weights.values);
    const scales = weights.scale ? values(weights.scale) : null;
    return scales ? (head, at) => shares[at] * scales[head] : (_, at) => shares[at];
  };

  /** Adds a sample to the four cells around it as bilinear interpolation read them; returns what of it they got. */
  const splat = (all, base, grid, x, y, weight) => {
    const [across, down] = [x * grid.canvas[1] - 0.5, y * grid.canvas[0] - 0.5];
    const [left, top] = [Math.floor(across), Math.floor(down)];
    let added = 0;
    for (let row = top; row <= top + 1; row++) {
      for (let col = left; col <= left + 1; col++) {
        if (!(row >= 0 && row < grid.rows && col >= 0 && col < grid.cols)) continue;
        const share = weight * (1 - Math.abs(across - col)) * (1 - Math.abs(down - row));
        all[base + row * grid.cols + col] += share;
        added += share;
      }
    }
    return added;
  };

  const focusOf = (site, row) => {
    const shares = weightsIn(site, row);
    const { asFocus, entropy } = attnviz.attention;
    const most = Math.log(site.samples);
    return asFocus(shares.map((own) => most - entropy(own, 0, own.length, 1)));
  };

  const weightsIn = (site, row) => {
    const shares = Array.from({ length: site.heads }, () => []);
    eachSample(site, row, (head, x, y, weight) => shares[head].push(weight));
    return shares;
  };

  /**
   * A row's samples [{x, y, weight, level, head}] in original pixels, heaviest first: a head's own, or all with what
   * they count in the map of joined heads. None for "max", which no sum of samples can give.
   */
  const samples = (site, row, head) => {
    if (head === "max") return [];
    const shares = head === "entropy-weighted" ? focusOf(site, row) : null;
    const share = (own) => (shares ? shares[own] : typeof head === "number" ? Number(own === head) : 1 / site.heads);
    const found = [];
    eachSample(site, row, (own, x, y, weight, level) => {
      const [left, top] = inPixels(site.grid, x, y);
      if (typeof head !== "number" || own === head) {
        found.push({ x: left, y: top, weight: weight * share(own), level, head: own });
      }
    });
    return found.sort((one, other) => other.weight - one.weight);
  };

  /** (x, y) in 0–1 of the padded input as original pixels. */
  const inPixels = (grid, x, y) => [
    (x * grid.canvas[1] * grid.stride_px * grid.width_px) / grid.input_width_px,
    (y * grid.canvas[0] * grid.stride_px * grid.height_px) / grid.input_height_px,
  ];

  return { maps, rowAt, samples, inPixels };
})();
