"use strict";

/** The small maps of the wall: which there are, how large, where, and how they are painted. */
attnviz.tiles = (() => {
  const { make } = attnviz.elements;
  const GAP = 3;
  const SHORT = { "entropy-weighted": "weighted" }; // over a small map there is no room for more
  const LARGEST_PX = 132;
  const SMALLEST_PX = 26; // of the longer side: where there is less room the wall scrolls
  const NARROWEST_PX = 12;
  const LONGEST = 5; // sides of a map: that of a longer picture is drawn shorter, or it could not be pressed
  const FIRST_PX = { mean: 34, max: 34, "entropy-weighted": 54 }; // for the words over the first column

  const columnsOf = (state, heads) => [
    state.head === "max" || state.head === "entropy-weighted" ? state.head : "mean",
    ...Array.from({ length: heads }, (_, head) => head),
  ];

  /** Width over height of the maps. */
  const ratioOf = ({ width_px: across, height_px: down }) =>
    Math.min(LONGEST, Math.max(1 / LONGEST, across / down));

  /** [width, height] of a map in a room of this width and, if it need not be too small, height. */
  const sizeOf = (ratio, widest, highest) => {
    const least = SMALLEST_PX * Math.min(1, ratio);
    const most = Math.min(LARGEST_PX, LARGEST_PX * ratio, widest, Math.max(least, highest * ratio));
    const width = Math.max(NARROWEST_PX, Math.floor(most));
    return [width, Math.max(NARROWEST_PX, Math.round(width / ratio))];
  };

  /** How wide maps may be for all columns to fit. */
  const widestIn = (width, columns) =>
    Math.min(width / columns.length, (width - FIRST_PX[columns[0]]) / (columns.length - 1)) - GAP;

  /** How far columns are apart, and how wide the first one is: its words need more room than a number. */
  const stepsOf = (columns, [width]) => [width + GAP, Math.max(width + GAP, FIRST_PX[columns[0]])];

  /** Tiles of all sites and columns, and their width and height together. */
  const tilesOf = (sites, columns, size) => {
    const [stepX, first] = stepsOf(columns, size);
    const left = (column) => (column ? first + (column - 1) * stepX : Math.floor((first - stepX) / 2));
    const stepY = size[1] + GAP;
    const all = sites.flatMap((site, row) =>
      columns.map((head, column) => ({ site, head, row, column, x: left(column), y: row * stepY })),
    );
    return {
      tiles: all.filter(({ site, head }) => typeof head === "string" || head < site.heads),
      width: first + (columns.length - 1) * stepX,
      height: sites.length * stepY,
    };
  };

  const dataOf = (canvas, size, ratio) =>
    canvas.getContext("2d").createImageData(...size.map((length) => Math.round(length * ratio)));

  const peakOf = (maps) => Math.max(...maps.map((map) => map.peak));

  const paintTiles = (context, { tiles, maps, data, ratio }, shown, state) => {
    const highest = peakOf(maps);
    tiles.forEach((tile, index) => {
      const { values, grid, peak } = maps[index];
      if (!values) return;
      const ceiling = state.scale === "shared" ? highest : peak;
      if (grid) paintMap(data, values, grid, ceiling, shown, state);
      else paintBoxes(data, values, ceiling, shown, state);
      context.putImageData(data, Math.round(tile.x * ratio), Math.round(tile.y * ratio));
    });
  };

  const note = (maps, shown, state) => {
    const { width_px: across, height_px: down } = shown.picture;
    const isShared = state.scale === "shared";
    const parts = [
      isShared ? `0 to ${attnviz.words.amount(shown, peakOf(maps))} in every map` : "0 to each map's own peak",
    ];
    if (shown.view === "decoder-self") parts.push("a dot is a query, at the middle of its box");
    if (ratioOf(shown.picture) !== across / down) parts.push("maps are drawn shorter than the picture");
    return parts.join("; ");
  };

  /** For each tile {values, grid, peak}; a site's heads are computed once. */
  const mapsOf = (tiles, shown, state) => {
    const found = new Map();
    return tiles.map(({ site, head }) => {
      if (!found.has(site)) found.set(site, attnviz.shown.foundAt(site, shown, state));
      const maps = found.get(site);
      if (!maps) return { values: null, grid: null, peak: 0 };
      const values = attnviz.attention.join(maps, head);
      return { values, grid: attnviz.shown.gridOf(site, state.level), peak: attnviz.shown.peak(values) };
    });
  };

  const paintMap = (data, values, grid, ceiling, shown, state) =>
    attnviz.colour.paint(data, values, grid, {
      ceiling,
      cmap: attnviz.shown.cmapOf(shown, state),
      alpha: 1,
      smooth: state.smooth,
      isSigned: false,
      fade: false,
    });

  /** Decoder self-attention: every query a dot at its box's middle, in the colour of its share. */
  const paintBoxes = (data, values, ceiling, shown, state) => {
    const table = attnviz.colour.table(attnviz.shown.cmapOf(shown, state));
    const { width, height } = data;
    const pixels = new Uint32Array(data.data.buffer);
    const colour = (share) => {
      const at = 3 * Math.round(255 * Math.min(1, share));
      return 0xff000000 | (table[at + 2] << 16) | (table[at + 1] << 8) | table[at];
    };
    pixels.fill(colour(0));
    const ranked = shown.picture.detections
      .filter(({ query, box }) => values[query] > 0 && box.every(Number.isFinite))
      .sort((one, other) => values[one.query] - values[other.query]);
    for (const { query, box } of ranked) {
      const [x, y] = [
        ((box[0] + box[2]) / 2 / shown.picture.width_px) * width,
        ((box[1] + box[3]) / 2 / shown.picture.height_px) * height,
      ];
      dot(pixels, width, height, x, y, Math.max(2, width / 24), colour(values[query] / ceiling));
    }
  };

  const dot = (pixels, width, height, x, y, radius, colour) => {
    for (let row = Math.max(0, Math.ceil(y - radius)); row <= Math.min(height - 1, y + radius); row++) {
      const half = Math.sqrt(radius * radius - (row - y) ** 2);
      const [from, to] = [Math.max(0, Math.ceil(x - half)), Math.min(width - 1, Math.floor(x + half))];
      if (to >= from) pixels.fill(colour, row * width + from, row * width + to + 1);
    }
  };

  /**
   * The wall for a saved picture, at most `room` [width, height] large, a unit being `ratio` pixels:
   * {canvas, columns: [{text, x}…], rows: [{text, y}…], note}; labels' places are middles in units.
   */
  const pictured = (shown, state, room, ratio) => {
    const sites = attnviz.shown.sitesOf(state);
    const columns = columnsOf(state, Math.max(...sites.map((site) => site.heads)));
    const [widest, highest] = [widestIn(room[0], columns), room[1] / sites.length - GAP];
    const size = sizeOf(ratioOf(shown.picture), widest, highest);
    const { tiles, width, height } = tilesOf(sites, columns, size);
    const canvas = make("canvas", { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    const maps = mapsOf(tiles, shown, state);
    paintTiles(canvas.getContext("2d"), { tiles, maps, data: dataOf(canvas, size, ratio), ratio }, shown, state);
    const middle = ({ x }) => x + size[0] / 2;
    return {
      canvas,
      current: tiles.find(({ site, head }) => site.layer === state.layer && head === state.head),
      size,
      columns: tiles
        .filter(({ row }) => row === 0)
        .map((tile) => ({ text: SHORT[tile.head] ?? `${tile.head}`, x: middle(tile) })),
      rows: sites.map((site, row) => ({ text: `${site.layer}`, y: row * (size[1] + GAP) + size[1] / 2 })),
      note: note(maps, shown, state),
    };
  };

  return {
    GAP,
    SHORT,
    columnsOf,
    ratioOf,
    sizeOf,
    widestIn,
    stepsOf,
    tilesOf,
    dataOf,
    mapsOf,
    paintTiles,
    note,
    pictured,
  };
})();
