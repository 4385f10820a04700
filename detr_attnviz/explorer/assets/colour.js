"use strict";

/** From a map to pixels: the twin of detr_attnviz/drawing/overlay.py, to the same rules and the same resampling. */
attnviz.colour = (() => {
  const KNEE = 0.6;
  const ZERO = 128;
  const LEAST_COLOURED = 0.4;
  const NO_DATA = [0xff969696, 0xffcdcdcd];
  // Bicubic swings below 0 and above the peak, by less than this: a table that reaches so far makes the cut for free.
  const BELOW = 128;
  const SWUNG = 512;
  const MOST_KEPT = 256;
  const kept = new Map();
  const buffers = { above: new Float64Array(0), below: new Float64Array(0) };
  const ramp = new Uint32Array(SWUNG);

  const once = (name, make) => {
    if (!kept.has(name)) {
      if (kept.size >= MOST_KEPT) kept.clear();
      kept.set(name, make());
    }
    return kept.get(name);
  };

  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  const largest = (cells) => {
    let most = 0;
    for (const cell of cells) if (cell > most) most = cell;
    return most;
  };

  /** Halves go to the even neighbour, as Python rounds. */
  const rint = (value) => {
    const below = Math.floor(value);
    return value - below === 0.5 && below % 2 === 0 ? below : Math.round(value);
  };

  /** The 256 colours of a map, RGB one after the other [768], low to high. */
  const table = (name) => once(name, () => attnviz.arrays.bytes(attnviz.arrays.document().colormaps[name]));

  /** Opacity 0–255 of each of the 256 levels. */
  const opacity = (alpha, fade, isSigned = false) =>
    Uint8Array.from({ length: 256 }, (_, level) => {
      if (!fade) return rint(255 * alpha);
      const share = isSigned ? Math.min(Math.abs(level - ZERO) / 127, 1) : level / 255;
      return rint((255 * alpha * share * (1 + KNEE)) / (share + KNEE));
    });

  /** The level whose colour a signed level gets where opacity tells the amount: grey would lie there as a haze. */
  const awayFromGrey = (level) => {
    const step = Math.min(Math.abs(level - ZERO), 127);
    if (step === 0) return ZERO;
    const least = rint(127 * LEAST_COLOURED);
    const pushed = rint(least + ((127 - least) * step) / 127);
    return level < ZERO ? ZERO - pushed : ZERO + pushed;
  };

  /** Each level's pixel [256]: red is the lowest byte, opacity the highest. */
  const colouring = (cmap, alpha, fade, isSigned) =>
    once(`${cmap} ${alpha} ${fade} ${isSigned}`, () => {
      const [colours, seen] = [table(cmap), opacity(alpha, fade, isSigned)];
      return Uint32Array.from({ length: 256 }, (_, level) => {
        const at = 3 * (isSigned && fade ? awayFromGrey(level) : level);
        return (seen[level] << 24) | (colours[at + 2] << 16) | (colours[at + 1] << 8) | colours[at];
      });
    });

  const KERNELS = {
    bilinear: { reach: 1, at: (x) => Math.max(0, 1 - x) },
    bicubic: {
      reach: 2,
      at: (x) => {
        if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
        return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
      },
    },
  };

  /**
   * How each of `size` pixels mixes `cells` whose first `extent` fill the line: {first [size], weights [size·taps],
   * taps}. Cells beyond the extent are read too, and where pixels are larger than cells the kernel grows with them.
   */
  const mixing = (cells, extent, size, smooth) =>
    once(`${cells} ${extent} ${size} ${smooth}`, () => {
      const { reach, at } = KERNELS[smooth];
      const wide = Math.max(extent / size, 1);
      const taps = Math.min(cells, Math.ceil(2 * reach * wide));
      const [first, weights] = [new Int32Array(size), new Float64Array(size * taps)];
      for (let pixel = 0; pixel < size; pixel++) {
        const middle = ((pixel + 0.5) * extent) / size;
        const start = Math.max(0, Math.trunc(middle - reach * wide + 0.5));
        const stop = Math.min(cells, Math.trunc(middle + reach * wide + 0.5));
        first[pixel] = Math.min(start, cells - taps);
        const own = weights.subarray(pixel * taps + start - first[pixel], pixel * taps + stop - first[pixel]);
        share(own.map((_, cell) => at(Math.abs(start + cell + 0.5 - middle) / wide)), own);
      }
      return { first, weights, taps };
    });

  /** Writes amounts as parts of 1. */
  const share = (amounts, into) => {
    const total = amounts.reduce((sum, amount) => sum + amount, 0);
    amounts.forEach((amount, index) => (into[index] = amount / total));
  };

  /** Cells [rows·cols] stretched to lines [rows·width], in the buffer called `name`. */
  const stretched = (name, cells, { rows, cols, extent }, width, smooth) => {
    if (buffers[name].length < rows * width) buffers[name] = new Float64Array(rows * width);
    const lines = buffers[name];
    const { first, weights, taps } = mixing(cols, extent[1], width, smooth);
    for (let row = 0, into = 0; row < rows; row++) {
      for (let x = 0, own = 0; x < width; x++, into++) {
        let sum = 0;
        for (let at = row * cols + first[x], stop = at + taps; at < stop; at++) sum += weights[own++] * cells[at];
        lines[into] = sum;
      }
    }
    return lines;
  };

  /** One line of pixels, mixed of `taps` lines from `at` on. */
  const mixed = (lines, at, width, weights, own, taps, x) => {
    let sum = 0;
    for (let tap = 0, from = at + x; tap < taps; tap++, from += width) sum += weights[own + tap] * lines[from];
    return sum;
  };

  const paintSmooth = (pixels, width, height, cells, grid, colours, smooth) => {
    const top = rint(largest(cells));
    for (let at = 0; at < SWUNG; at++) ramp[at] = colours[clamp(at - BELOW, 0, top)];
    // Mixing keeps constants: with half a level more in the cells the cut to whole levels is a rounding.
    for (let cell = 0; cell < cells.length; cell++) cells[cell] += BELOW + 0.5;
    const lines = stretched("above", cells, grid, width, smooth);
    const { first, weights, taps } = mixing(grid.rows, grid.extent[0], height, smooth);
    const paintLine = taps <= 4 ? paintOfFew : paintOfMany;
    for (let y = 0; y < height; y++) paintLine(pixels, y * width, width, lines, first[y] * width, weights, y * taps, taps);
  };

  const paintOfMany = (pixels, into, width, lines, at, weights, own, taps) => {
    for (let x = 0; x < width; x++) pixels[into + x] = ramp[mixed(lines, at, width, weights, own, taps, x) | 0];
  };

  /** The same for up to four lines, written out: nearly all pixels ever drawn come from here. */
  const paintOfFew = (pixels, into, width, lines, at, weights, own, taps) => {
    const a = weights[own];
    const b = taps > 1 ? weights[own + 1] : 0;
    const c = taps > 2 ? weights[own + 2] : 0;
    const d = taps > 3 ? weights[own + 3] : 0;
    const [second, third, fourth] = [1, 2, 3].map((tap) => at + Math.min(tap, taps - 1) * width);
    for (let x = 0; x < width; x++) {
      const level = a * lines[at + x] + b * lines[second + x] + c * lines[third + x] + d * lines[fourth + x];
      pixels[into + x] = ramp[level | 0];
    }
  };

  /** What lies above and what lies below 0 grow apart, or a sharp peak would get a ring of the other sign. */
  const paintSigned = (pixels, width, height, cells, grid, colours, smooth) => {
    const [above, below] = [cells.map((cell) => Math.max(cell, 0)), cells.map((cell) => Math.max(-cell, 0))];
    const [most, least] = [largest(above), largest(below)];
    const up = stretched("above", above, grid, width, smooth);
    const down = stretched("below", below, grid, width, smooth);
    const { first, weights, taps } = mixing(grid.rows, grid.extent[0], height, smooth);
    for (let y = 0, into = 0; y < height; y++) {
      const [at, own] = [first[y] * width, y * taps];
      for (let x = 0; x < width; x++, into++) {
        const high = clamp(mixed(up, at, width, weights, own, taps, x), 0, most);
        const low = clamp(mixed(down, at, width, weights, own, taps, x), 0, least);
        pixels[into] = colours[signedLevel(high - low)];
      }
    }
  };

  const signedLevel = (value) => (clamp(value, -127, 127) + ZERO + 0.5) | 0;

  /** The cell of each of `size` pixels' middles. */
  const cellOfEach = (cells, extent, size) =>
    Int32Array.from({ length: size }, (_, pixel) => Math.min(Math.trunc((pixel + 0.5) * (extent / size)), cells - 1));

  /** Calls use(line of pixels, row, cell column of each pixel) from the top. */
  const eachLine = ({ rows, cols, extent }, width, height, use) => {
    const ofX = cellOfEach(cols, extent[1], width);
    cellOfEach(rows, extent[0], height).forEach((row, y) => use(y, row, ofX));
  };

  const paintCells = (pixels, width, height, cells, grid, colours, isSigned) => {
    const own = Uint32Array.from(cells, (cell) => colours[isSigned ? ZERO + rint(clamp(cell, -127, 127)) : rint(cell)]);
    let last = -1;
    eachLine(grid, width, height, (y, row, ofX) => {
      if (row === last) pixels.copyWithin(y * width, (y - 1) * width, y * width);
      else for (let x = 0; x < width; x++) pixels[y * width + x] = own[row * grid.cols + ofX[x]];
      last = row;
    });
  };

  /** Grey stripes over cells that hold no number. */
  const hatch = (pixels, width, height, values, grid) => {
    if (values.every(Number.isFinite)) return;
    const step = Math.max(4, rint(Math.min(width, height) / 60));
    eachLine(grid, width, height, (y, row, ofX) => {
      for (let x = 0; x < width; x++) {
        if (!Number.isFinite(values[row * grid.cols + ofX[x]])) {
          pixels[y * width + x] = NO_DATA[Math.floor((x + y) / step) % 2];
        }
      }
    });
  };

  /** The largest value, of signed maps the largest distance from 0; what is no number does not count. */
  const peak = (values, isSigned = false) => {
    let most = 0;
    for (const value of values) {
      const size = isSigned ? Math.abs(value) : value;
      if (size > most && size < Infinity) most = size;
    }
    return most;
  };

  /** Cells [rows·cols] in levels: up to 255 at the ceiling, or −127 to 127; 0 where there is no number. */
  const scaled = (values, ceiling, isSigned) => {
    const scale = ceiling > 0 ? (isSigned ? 127 : 255) / ceiling : 0;
    const cells = new Float64Array(values.length);
    for (let cell = 0; cell < cells.length; cell++) {
      const level = values[cell] * scale;
      if (Number.isFinite(level)) cells[cell] = isSigned ? level : clamp(level, 0, 255);
    }
    return cells;
  };

  /** Fills `image` (ImageData) with the map [rows·cols] in colours; their opacity is `alpha` at the peak and fades. */
  const paint = (image, values, grid, options) => {
    const { cmap, alpha = 0.8, smooth = "bicubic", isSigned = false, fade = true } = options;
    const { width, height } = image;
    const pixels = new Uint32Array(image.data.buffer);
    const cells = scaled(values, options.ceiling ?? peak(values, isSigned), isSigned);
    const colours = colouring(cmap, alpha, fade, isSigned);
    if (smooth === "nearest") paintCells(pixels, width, height, cells, grid, colours, isSigned);
    else if (isSigned) paintSigned(pixels, width, height, cells, grid, colours, smooth);
    else paintSmooth(pixels, width, height, cells, grid, colours, smooth);
    hatch(pixels, width, height, values, grid);
  };

  return { table, opacity, peak, paint };
})();
