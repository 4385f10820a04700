"use strict";

/** All layers × heads of what is shown, as small maps; a click takes that layer and head. */
attnviz.wall = (() => {
  const { byId, make, choices, press, say } = attnviz.elements;
  const GAP = 3;
  const SHORT = { "entropy-weighted": "weighted" }; // over a small map there is no room for more
  const LARGEST_PX = 132;
  const SMALLEST_PX = 26; // narrower only where the width is short: the wall scrolls instead
  const BESIDES_PX = [24, 80]; // layers' numbers; heading, heads' numbers and note
  const drawn = { look: "", layout: "" };
  let tiles = []; // {site, head, x, y, button}
  let size = [0, 0];
  let data = null;

  const start = () => {
    choices(
      byId("wall-scale"),
      [
        ["each", "each", "Every small map from 0 to its own peak"],
        ["shared", "shared", "All small maps from 0 to the highest peak"],
      ],
      (scale) => attnviz.state.set({ scale }),
    );
    byId("wall-buttons").addEventListener("keydown", walked);
    new ResizeObserver(() => show(attnviz.state.get())).observe(byId("wall-maps"));
    attnviz.state.on(show);
  };

  const show = (state) => {
    const shown = attnviz.shown.now();
    const isOpen = state.wall && shown.site !== null;
    byId("wall").hidden = !isOpen;
    if (!isOpen) return;
    press(byId("wall-scale"), state.scale);
    lay(shown, state);
    const look = [shown.serial, state.scale, state.smooth, attnviz.shown.cmapOf(shown, state)].join(" ");
    if (drawn.look !== look) paint(shown, state);
    drawn.look = look;
    markCurrent(state);
  };

  const columnsOf = (state, heads) => [
    state.head === "max" || state.head === "entropy-weighted" ? state.head : "mean",
    ...Array.from({ length: heads }, (_, head) => head),
  ];

  /** Places the tiles: as large as the width allows, in the picture's shape. */
  const lay = (shown, state) => {
    const sites = attnviz.shown.sitesOf(state);
    const columns = columnsOf(state, Math.max(...sites.map((site) => site.heads)));
    const { width_px: across, height_px: down } = shown.picture;
    const room = (byId("wall-maps").clientWidth - BESIDES_PX[0]) / columns.length - GAP;
    const storey = (roomBelow() - BESIDES_PX[1]) / sites.length - GAP;
    const widest = Math.min(
      LARGEST_PX,
      (LARGEST_PX * across) / down,
      room,
      Math.max(SMALLEST_PX, (storey * across) / down),
    );
    const width = Math.max(18, Math.floor(widest));
    const height = Math.max(10, Math.round((width * down) / across));
    const layout = [width, height, columns, sites.map((site) => site.name), devicePixelRatio, state.picture].join(" ");
    if (drawn.layout === layout) return;
    drawn.layout = layout;
    drawn.look = "";
    size = [width, height];
    build(sites, columns);
  };

  /** The height that is left beside or under the picture; with the matrix above, what it leaves. */
  const roomBelow = () => attnviz.stage.heightBeside() - (byId("matrix").hidden ? 0 : byId("matrix").offsetHeight + 10);

  const build = (sites, columns) => {
    const [stepX, stepY] = [size[0] + GAP, size[1] + GAP];
    const canvas = byId("wall-canvas");
    const ratio = devicePixelRatio || 1;
    setSize(canvas, columns.length * stepX, sites.length * stepY, ratio);
    data = canvas.getContext("2d").createImageData(Math.round(size[0] * ratio), Math.round(size[1] * ratio));
    tiles = sites
      .flatMap((site, row) => columns.map((head, column) => ({ site, head, x: column * stepX, y: row * stepY })))
      .filter(({ site, head }) => typeof head === "string" || head < site.heads);
    for (const tile of tiles) tile.button = buttonOf(tile);
    byId("wall-buttons").replaceChildren(...tiles.map((tile) => tile.button));
    byId("wall-columns").replaceChildren(...columns.map((head) => labelOf(SHORT[head] ?? head, stepX)));
    byId("wall-rows").replaceChildren(
      ...sites.map((site) => {
        const label = make("span", {}, String(site.layer));
        label.style.height = label.style.lineHeight = `${stepY}px`;
        return label;
      }),
    );
  };

  const labelOf = (text, width) => {
    const label = make("span", {}, String(text));
    label.style.width = `${width}px`;
    return label;
  };

  const setSize = (canvas, width, height, ratio) => {
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    [canvas.style.width, canvas.style.height] = [`${width}px`, `${height}px`];
  };

  const buttonOf = ({ site, head, x, y }) => {
    const layer = site.layer;
    const button = make("button", {
      type: "button",
      tabindex: "-1",
      "aria-label": `layer ${layer}, ${attnviz.words.headsOf(head)}`,
      onclick: () => attnviz.state.set({ layer, head }),
    });
    [button.style.left, button.style.top] = [`${x}px`, `${y}px`];
    [button.style.width, button.style.height] = size.map((length) => `${length}px`);
    return button;
  };

  const paint = (shown, state) => {
    const context = byId("wall-canvas").getContext("2d");
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
    const maps = mapsOf(shown, state);
    const highest = Math.max(...maps.map((map) => map.peak));
    const ratio = devicePixelRatio || 1;
    tiles.forEach((tile, index) => {
      const { values, grid, peak } = maps[index];
      if (!values) return;
      const ceiling = state.scale === "shared" ? highest : peak;
      if (grid) paintMap(values, grid, ceiling, shown, state);
      else paintBoxes(values, ceiling, shown, state);
      context.putImageData(data, Math.round(tile.x * ratio), Math.round(tile.y * ratio));
      tile.button.title = `layer ${tile.site.layer}, ${attnviz.words.headsOf(tile.head)}: peak ${attnviz.words.amount(shown, peak)}`;
    });
    const words =
      state.scale === "shared"
        ? `0 to ${attnviz.words.amount(shown, highest)} in every map`
        : "0 to each map's own peak";
    say(
      byId("wall-note"),
      shown.view === "decoder-self" ? `${words}; a dot is a query, at the middle of its box` : words,
    );
  };

  /** For each tile {values, grid, peak}; a site's heads are computed once. */
  const mapsOf = (shown, state) => {
    const found = new Map();
    return tiles.map(({ site, head }) => {
      if (!found.has(site)) found.set(site, attnviz.shown.foundAt(site, shown, state));
      const maps = found.get(site);
      if (!maps) return { values: null, grid: null, peak: 0 };
      const values = attnviz.attention.join(maps, head);
      return { values, grid: attnviz.shown.gridOf(site, state.level), peak: attnviz.shown.peak(values) };
    });
  };

  const paintMap = (values, grid, ceiling, shown, state) =>
    attnviz.colour.paint(data, values, grid, {
      ceiling,
      cmap: attnviz.shown.cmapOf(shown, state),
      alpha: 1,
      smooth: state.smooth,
      isSigned: false,
      fade: false,
    });

  /** Decoder self-attention: every query a dot at its box's middle, in the colour of its share. */
  const paintBoxes = (values, ceiling, shown, state) => {
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

  const markCurrent = (state) => {
    const hasFocus = byId("wall-buttons").contains(document.activeElement);
    for (const { site, head, button } of tiles) {
      const isCurrent = site.layer === state.layer && head === state.head;
      button.setAttribute("aria-pressed", String(isCurrent));
      button.tabIndex = isCurrent ? 0 : -1;
      if (isCurrent && hasFocus) button.focus();
    }
  };

  const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

  /** Arrow keys go to the tile beside the current one. */
  const walked = (event) => {
    const step = STEPS[event.key];
    const state = attnviz.state.get();
    const now = tiles.find(({ site, head }) => site.layer === state.layer && head === state.head);
    if (!step || !now || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const [x, y] = [now.x + step[1] * (size[0] + GAP), now.y + step[0] * (size[1] + GAP)];
    const next = tiles.find((tile) => tile.x === x && tile.y === y);
    if (next) attnviz.state.set({ layer: next.site.layer, head: next.head });
  };

  return { start };
})();
