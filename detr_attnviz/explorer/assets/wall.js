"use strict";

/** All layers × heads of what is shown, as small maps; a click takes that layer and head. */
attnviz.wall = (() => {
  const { byId, make, choices, press, say } = attnviz.elements;
  const { GAP, SHORT, columnsOf, ratioOf, sizeOf, widestIn, stepsOf, tilesOf, dataOf, mapsOf, paintTiles, note } =
    attnviz.tiles;
  const BESIDES_PX = [24, 80]; // layers' numbers; heading, heads' numbers and note
  const drawn = { look: "", layout: "", room: "", current: "" };
  let tiles = []; // {site, head, row, column, x, y, button}
  let size = [0, 0];
  let inView = ""; // the tile that was last brought into view
  let data = null;
  let maps = []; // as the tiles show them: {values, grid, peak}

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
    byId("wall-buttons").addEventListener("pointerover", ({ target }) => entitle(target));
    byId("wall-buttons").addEventListener("focusin", ({ target }) => entitle(target));
    const resized = new ResizeObserver(() => {
      drawn.room = "";
      show(attnviz.state.get());
    });
    for (const part of ["wall-maps", "matrix", "bench"]) resized.observe(byId(part));
    attnviz.state.on(show);
  };

  const show = (state) => {
    const shown = attnviz.shown.now();
    const isOpen = state.wall && shown.site !== null;
    if (byId("wall").hidden === isOpen) drawn.room = "";
    byId("wall").hidden = !isOpen;
    if (!isOpen) return;
    press(byId("wall-scale"), state.scale);
    lay(shown, state);
    const look = [shown.serial, state.scale, state.smooth, attnviz.shown.cmapOf(shown, state)].join(" ");
    if (drawn.look !== look) paint(shown, state);
    drawn.look = look;
    markCurrent(state);
  };

  /** Places the tiles: as large as the width allows, in the picture's shape. */
  const lay = (shown, state) => {
    const sites = attnviz.shown.sitesOf(state);
    const columns = columnsOf(state, Math.max(...sites.map((site) => site.heads)));
    const room = [columns, sites.map((site) => site.name), devicePixelRatio, state.picture, state.view].join(" ");
    if (drawn.room === room) return; // sizes are read only when they may be others: each reading costs a layout
    drawn.room = room;
    const ratio = ratioOf(shown.picture);
    const across = byId("wall-maps").clientWidth - BESIDES_PX[0];
    const widest = widestIn(across, columns);
    const storey = (roomBelow() - BESIDES_PX[1]) / sites.length - GAP;
    const found = sizeOf(ratio, widest, storey);
    const layout = [found, columns, sites.map((site) => site.name), devicePixelRatio, state.picture].join(" ");
    if (drawn.layout === layout) return;
    drawn.layout = layout;
    drawn.look = drawn.current = "";
    size = found;
    build(sites, columns);
  };

  /** The height that is left beside or under the picture; with the matrix above, what it leaves. */
  const roomBelow = () => attnviz.stage.heightBeside() - (byId("matrix").hidden ? 0 : byId("matrix").offsetHeight + 10);

  const build = (sites, columns) => {
    const canvas = byId("wall-canvas");
    const ratio = devicePixelRatio || 1;
    const made = tilesOf(sites, columns, size);
    setSize(canvas, made.width, made.height, ratio);
    data = dataOf(canvas, size, ratio);
    tiles = made.tiles;
    for (const tile of tiles) tile.button = buttonOf(tile);
    byId("wall-buttons").replaceChildren(...tiles.map((tile) => tile.button));
    const [stepX, first] = stepsOf(columns, size);
    byId("wall-columns").replaceChildren(
      ...columns.map((head, column) => labelOf(SHORT[head] ?? head, column ? stepX : first)),
    );
    byId("wall-rows").replaceChildren(
      ...sites.map((site) => {
        const label = make("span", {}, String(site.layer));
        label.style.height = label.style.lineHeight = `${size[1] + GAP}px`;
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
    maps = mapsOf(tiles, shown, state);
    paintTiles(context, { tiles, maps, data, ratio: devicePixelRatio || 1 }, shown, state);
    say(byId("wall-note"), note(maps, shown, state));
  };

  /** Says a map's peak in its button's title, when somebody comes to it: all of them at every redraw would cost. */
  const entitle = (target) => {
    const index = tiles.findIndex(({ button }) => button === target);
    if (index < 0) return;
    const { site, head, button } = tiles[index];
    const peak = attnviz.words.amount(attnviz.shown.now(), maps[index].peak);
    button.title = `layer ${site.layer}, ${attnviz.words.headsOf(head)}: peak ${peak}`;
  };

  const markCurrent = (state) => {
    const current = [drawn.layout, state.layer, state.head].join(" ");
    if (drawn.current === current) return;
    drawn.current = current;
    const hasFocus = byId("wall-buttons").contains(document.activeElement);
    for (const { site, head, button } of tiles) {
      const isCurrent = site.layer === state.layer && head === state.head;
      button.setAttribute("aria-pressed", String(isCurrent));
      button.tabIndex = isCurrent ? 0 : -1;
      if (!isCurrent) continue;
      if (hasFocus) button.focus({ preventScroll: true });
      bringIntoView(button);
    }
  };

  /** Scrolls what stands beside the picture, once for each new tile: the reader may scroll away from it. */
  const bringIntoView = (button) => {
    const tile = [drawn.layout, button.getAttribute("aria-label")].join(" ");
    if (inView === tile) return;
    inView = tile;
    const [seen, own] = [byId("aside"), button].map((part) => part.getBoundingClientRect());
    byId("aside").scrollTop += Math.min(0, own.top - seen.top) + Math.max(0, own.bottom - seen.bottom);
  };

  const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

  /** Arrow keys go to the tile beside the current one. */
  const walked = (event) => {
    const step = STEPS[event.key];
    const state = attnviz.state.get();
    const now = tiles.find(({ site, head }) => site.layer === state.layer && head === state.head);
    if (!step || !now || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const next = tiles.find((tile) => tile.row === now.row + step[0] && tile.column === now.column + step[1]);
    if (next) attnviz.state.set({ layer: next.site.layer, head: next.head });
  };

  return { start };
})();
