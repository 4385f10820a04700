"use strict";

/** Decoder self-attention as a matrix: each row is a query and whom it listens to. */
attnviz.matrix = (() => {
  const { byId, choices, press, say } = attnviz.elements;
  const NUMBERED_PX = 26; // cells from this size on hold their number
  const LARGEST_PX = 44;
  const PARTED_PX = 9; // and from this one on a line between them
  const SMALLEST_PX = 2; // with so many queries that they would be smaller the matrix scrolls
  const BESIDES_PX = 64; // heading and note
  const BEYOND_PX = 14; // for the last column's name
  const drawn = { look: "" };
  let layout = null; // {rows, columns, left, top, cell}

  const start = () => {
    choices(
      byId("matrix-rows"),
      [
        ["kept", "listed"],
        ["all", "all"],
      ],
      (rows) => attnviz.state.set({ rows }),
    );
    const canvas = byId("matrix-canvas");
    canvas.addEventListener("pointermove", hovered);
    canvas.addEventListener("pointerleave", () => attnviz.state.set({ preview: null, column: null }));
    canvas.addEventListener("click", chose);
    canvas.addEventListener("keydown", walked);
    new ResizeObserver(() => show(attnviz.state.get())).observe(byId("matrix-holder"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      drawn.look = "";
      show(attnviz.state.get());
    });
    attnviz.state.on(show);
  };

  const show = (state) => {
    const shown = attnviz.shown.now();
    const isOpen = state.view === "decoder-self" && shown.site !== null;
    byId("matrix").hidden = !isOpen;
    if (!isOpen) return;
    press(byId("matrix-rows"), state.rows);
    lay(shown, state);
    const look = JSON.stringify([
      shown.serial,
      state.column,
      state.cmap,
      state.head,
      state.threshold,
      state.labels,
      state.rows,
      layout.cell,
      layout.left,
      document.documentElement.dataset.theme,
      devicePixelRatio,
    ]);
    if (drawn.look !== look) draw(shown, state);
    drawn.look = look;
    say(byId("matrix-note"), note(shown, state));
  };

  /** Queries of the rows and columns; of listed ones alone the last column is all others together. */
  const lay = (shown, state) => {
    const holder = byId("matrix-holder");
    const height = attnviz.stage.heightBeside() * (state.wall ? 0.5 : 1) - BESIDES_PX;
    layout = layoutIn(shown, state, holder.clientWidth, height);
  };

  const layoutIn = (shown, state, width, height) => {
    const everyone = shown.picture.detections.map((one) => one.query);
    const listed = attnviz.shown.listed(shown.picture, state).map((one) => one.query);
    const isAll = state.rows === "all";
    const rows = isAll ? everyone : listed;
    const columns = isAll ? everyone : [...listed, attnviz.shares.OTHERS];
    const [left, top] = isAll ? [34, 34] : [Math.min(130, width * 0.3), 34];
    const room = Math.min(
      (width - left - BEYOND_PX) / columns.length,
      (height - top) / rows.length,
      LARGEST_PX,
    );
    const cell = Math.max(room < PARTED_PX ? room : Math.floor(room), SMALLEST_PX);
    return { rows, columns, left, top, cell };
  };

  const draw = (shown, state) => {
    const canvas = byId("matrix-canvas");
    const style = getComputedStyle(document.body);
    const [ink, quiet, accent, ground] = ["ink", "quiet", "accent", "ground"].map((name) =>
      style.getPropertyValue(`--${name}`),
    );
    const size = drawOn(canvas, { layout, ink, quiet, accent, ground }, shown, state, devicePixelRatio || 1);
    [canvas.style.width, canvas.style.height] = size.map((length) => `${length}px`);
  };

  /** Draws a layout at `ratio` pixels a unit; returns the canvas's [width, height] in units. */
  const drawOn = (canvas, look, shown, state, ratio) => {
    const { rows, columns, left, top, cell } = look.layout;
    const size = [left + columns.length * cell + BEYOND_PX, top + rows.length * cell + 4];
    [canvas.width, canvas.height] = size.map((length) => Math.round(length * ratio));
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const pen = { ...look, context, font: getComputedStyle(document.body).fontFamily };
    drawCells(pen, shown, state);
    drawAxes(pen, shown, state);
    drawChosen(pen, shown, state);
    return size;
  };

  /** The matrix for a saved picture, at most `room` [width, height] large: {canvas, note}. */
  const pictured = (shown, state, room, ratio, inks) => {
    const canvas = document.createElement("canvas");
    const found = layoutIn(shown, state, ...room);
    drawOn(canvas, { ...inks, layout: found }, shown, state, ratio);
    return { canvas, note: legend(shown, state, found) };
  };

  const drawCells = (pen, shown, state) => {
    const { context } = pen;
    const { rows, columns, left, top, cell } = pen.layout;
    const found = sharesOf(shown, state, pen.layout);
    context.imageSmoothingEnabled = false;
    context.drawImage(found.sheet, left, top, columns.length * cell, rows.length * cell);
    if (cell >= PARTED_PX) partCells(pen);
    if (cell >= NUMBERED_PX) writeShares(pen, found, attnviz.colour.table(attnviz.shown.cmapOf(shown, state)));
  };

  const sharesOf = (shown, state, { rows, columns }) =>
    attnviz.shares.of(shown.site, state.head, rows, columns, attnviz.shown.cmapOf(shown, state));

  const partCells = ({ context, ground, layout }) => {
    const { rows, columns, left, top, cell } = layout;
    context.fillStyle = ground;
    for (let row = 1; row <= rows.length; row++) context.fillRect(left, top + row * cell - 1, columns.length * cell, 1);
    for (let column = 1; column <= columns.length; column++) {
      context.fillRect(left + column * cell - 1, top, 1, rows.length * cell);
    }
  };

  const writeShares = ({ context, font, layout }, { shares, peak }, table) => {
    const { columns, left, top, cell } = layout;
    context.font = `10px ${font}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    shares.forEach((share, at) => {
      const [red, green, blue] = attnviz.shares.colourOf(table, share / peak);
      context.fillStyle = 0.3 * red + 0.59 * green + 0.11 * blue > 128 ? "#101113" : "#f4f4f2";
      const [row, column] = [Math.floor(at / columns.length), at % columns.length];
      const text = attnviz.words.hundredths(share);
      context.fillText(text, left + (column + 0.5) * cell, top + (row + 0.5) * cell + 0.5, cell - 3);
    });
  };

  const drawAxes = ({ context, ink, quiet, font, layout }, shown, state) => {
    const { rows, columns, left, top, cell } = layout;
    const every = Math.max(1, Math.ceil(16 / cell));
    const step = every <= 1 ? 1 : Math.ceil(every / 10) * 10;
    context.font = `11px ${font}`;
    context.textBaseline = "middle";
    context.textAlign = "right";
    rows.forEach((query, row) => {
      if (row % step) return;
      context.fillStyle = query === shown.query ? ink : quiet;
      context.fillText(rowLabel(context, shown, state, query, left - 8), left - 6, top + (row + 0.5) * cell);
    });
    context.textAlign = "center";
    columns.forEach((query, column) => {
      const isOthers = query === attnviz.shares.OTHERS;
      if (column % step || (isOthers && step > 1)) return;
      context.fillStyle = query === shown.query ? ink : quiet;
      context.fillText(isOthers ? "rest" : String(query), left + (column + 0.5) * cell, top - 9);
    });
    context.fillStyle = quiet;
    context.textAlign = "left";
    context.fillText("gives its attention to query", left, top - 25);
  };

  const rowLabel = (context, shown, state, query, most) => {
    const detection = attnviz.shown.detectionOf(shown.picture, query);
    if (state.rows === "all" || !detection) return String(query);
    const name = Array.from(attnviz.words.nameOf(detection));
    const label = (end) => `${attnviz.words.isolated(name.join("") + end)} ${query}`;
    let end = "";
    while (name.length && context.measureText(label(end)).width > most) {
      name.pop();
      end = "…";
    }
    return label(end);
  };

  const drawChosen = ({ context, accent, layout }, shown, state) => {
    const { rows, columns, left, top, cell } = layout;
    const row = rows.indexOf(shown.query);
    if (row < 0) return;
    context.strokeStyle = accent;
    context.lineWidth = 2;
    context.strokeRect(left - 1, top + row * cell - 1, columns.length * cell + 1, Math.max(cell, 2) + 1);
    const column = columns.indexOf(state.column);
    if (state.column !== null && column >= 0)
      context.strokeRect(left + column * cell - 1, top + row * cell - 1, cell + 1, cell + 1);
  };

  /** What a row is, and which share the brightest colour is. */
  const legend = (shown, state, layout) => {
    const rest = shown.site.is_part ? " with those of other tokens" : "";
    const sum = state.head === "max" ? "" : `; its shares add up to 100 %${rest}`;
    return `A row is a query${sum}. Colours go from 0 to ${attnviz.words.amount(shown, sharesOf(shown, state, layout).peak)}.`;
  };

  const note = (shown, state) => {
    if (!shown.values) return "";
    const named = (query) => {
      const other = attnviz.shown.detectionOf(shown.picture, query);
      return other ? `query ${query} (${attnviz.words.who(other)})` : `query ${query}`;
    };
    const row = layout.rows.indexOf(shown.query);
    const column = layout.columns.indexOf(state.column);
    if (state.column === null || row < 0 || column < 0) return legend(shown, state, layout);
    const share = sharesOf(shown, state, layout).shares[row * layout.columns.length + column];
    const other = state.column === attnviz.shares.OTHERS ? "all that are not listed" : named(state.column);
    return `${named(shown.query)} → ${other}: ${attnviz.words.amount(shown, share)}`;
  };

  const spotOf = (event) => {
    const rect = byId("matrix-canvas").getBoundingClientRect();
    const column = Math.floor((event.clientX - rect.left - layout.left) / layout.cell);
    const row = Math.floor((event.clientY - rect.top - layout.top) / layout.cell);
    const isRow = row >= 0 && row < layout.rows.length;
    return { query: isRow ? layout.rows[row] : null, column: layout.columns[column] ?? null };
  };

  const hovered = (event) => {
    if (!layout) return;
    const { query, column } = spotOf(event);
    attnviz.state.set({ preview: query === null ? null : { query }, column: query === null ? null : column });
  };

  const chose = (event) => {
    const { query } = spotOf(event);
    if (query !== null) attnviz.state.set({ query, preview: null });
  };

  const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

  const walked = (event) => {
    const step = STEPS[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const state = attnviz.state.get();
    const times = event.shiftKey ? 5 : 1;
    const moved = (all, now, by) => all[Math.min(all.length - 1, Math.max(0, all.indexOf(now) + by * times))];
    if (step[0]) attnviz.state.set({ query: moved(layout.rows, state.query, step[0]), preview: null });
    else
      attnviz.state.set({
        column: state.column === null ? layout.columns[0] : moved(layout.columns, state.column, step[1]),
        preview: null,
      });
  };

  return { start, pictured, layout: () => layout };
})();
