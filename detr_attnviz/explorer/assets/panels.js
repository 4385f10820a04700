"use strict";

/** What stands beside the picture, for a saved one: the matrix and the wall with their labels, where they are open. */
attnviz.panels = (() => {
  const { byId } = attnviz.elements;
  const { INK, QUIET, fontOf, wrapped } = attnviz.lettering;
  const ACCENT = "#1a5fb4";
  const INKS = { ink: INK, quiet: QUIET, accent: ACCENT, ground: "#ffffff" };
  // units
  const GAP = 14;
  const HEADING = 22;
  const HEADS = 18; // the line of heads' numbers
  const LAYERS = 20; // the column of layers' numbers
  const NOTE = 15; // a line
  const SPARED = 76; // heading, heads' numbers and a note of two lines

  /** Parts below a picture of this size, right of a tall one: {all: [part…], right, bottom} in pixels. */
  const of = (shown, [width, height], unit) => {
    const isBelow = width >= 0.8 * height;
    const room = isBelow ? [width / unit - 2 * GAP, Infinity] : [Infinity, height / unit - SPARED];
    const all = [];
    let [x, y] = isBelow ? [GAP * unit, height + GAP * unit] : [width + GAP * unit, 0];
    let [right, bottom] = [0, 0];
    for (const make of [matrixOf, wallOf]) {
      const part = make(shown, room, unit);
      if (!part) continue;
      all.push({ ...part, x, y });
      [right, bottom] = [Math.max(right, x + part.width + GAP * unit), Math.max(bottom, y + part.height)];
      if (isBelow) y = bottom + GAP * unit;
      else x = right;
    }
    return { all, right, bottom };
  };

  const matrixOf = (shown, room, unit) => {
    if (byId("matrix").hidden) return null;
    const { canvas, note } = attnviz.matrix.pictured(shown, shown.state, room, unit, INKS);
    return finished({ heading: "Who listens to whom", canvas, left: 0, top: HEADING, note }, unit);
  };

  const wallOf = (shown, [width, height], unit) => {
    if (byId("wall").hidden) return null;
    const found = attnviz.tiles.pictured(shown, shown.state, [width - LAYERS, height], unit);
    return finished({ heading: "Layers × heads", left: LAYERS, top: HEADING + HEADS, ...found }, unit);
  };

  /** With the lines of its note, and its size in pixels. */
  const finished = (part, unit) => {
    const width = Math.max(part.left * unit + part.canvas.width, 190 * unit);
    const context = part.canvas.getContext("2d");
    context.save();
    context.resetTransform();
    context.font = fontOf(400, 11 * unit);
    const lines = wrapped(context, part.note, width);
    context.restore();
    const height = part.top * unit + part.canvas.height + (lines.length * NOTE + 6) * unit;
    return { ...part, lines, width, height };
  };

  const draw = (context, part, unit) => {
    context.save();
    context.translate(part.x, part.y);
    write(context, part.heading, [0, 15 * unit], { font: fontOf(600, 13 * unit), ink: INK });
    context.drawImage(part.canvas, part.left * unit, part.top * unit);
    const quiet = { font: fontOf(400, 11 * unit), ink: QUIET };
    const under = part.top * unit + part.canvas.height + 2 * unit;
    part.lines.forEach((line, index) => write(context, line, [0, under + (index + 0.8) * NOTE * unit], quiet));
    if (part.columns) drawLabels(context, part, quiet, unit);
    context.restore();
  };

  const drawLabels = (context, { columns, rows, current, size, left, top }, quiet, unit) => {
    for (const { text, x } of columns)
      write(context, text, [(left + x) * unit, (top - 6) * unit], { ...quiet, align: "center" });
    for (const { text, y } of rows) write(context, text, [0, (top + y + 4) * unit], quiet);
    if (!current) return;
    context.strokeStyle = ACCENT;
    context.lineWidth = 2 * unit;
    const [x, y] = [left + current.x - 1, top + current.y - 1];
    context.strokeRect(x * unit, y * unit, (size[0] + 2) * unit, (size[1] + 2) * unit);
  };

  const write = (context, text, [x, y], { font, ink, align = "left" }) => {
    context.font = font;
    context.fillStyle = ink;
    context.textAlign = align;
    context.textBaseline = "alphabetic";
    context.fillText(text, x, y);
  };

  return { of, draw };
})();
