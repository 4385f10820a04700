"use strict";

/** Boxes, labels, the chosen cell and sampled places, drawn the same on the stage and on a saved picture. */
attnviz.marks = (() => {
  const COLOURS = [
    "#56a5e8",
    "#eda23b",
    "#45b78c",
    "#e66a7c",
    "#b08be0",
    "#d6c64b",
    "#5bc6d4",
    "#e490c2",
    "#9cbd5c",
    "#cb9468",
  ];
  const LEVELS = ["#56a5e8", "#eda23b", "#45b78c", "#e66a7c", "#d6c64b"];
  const DARK = "rgba(14, 15, 17, 0.55)";
  const PLATE = "rgba(14, 15, 17, 0.76)";
  const DIMMED = "rgba(0, 0, 0, 0.25)";
  const MOST_LABELS = 80;
  const MOST_DOTS = 400;
  const SMALLEST_DOT_SHARE = 0.002; // of the heaviest: dots below it cannot be seen

  /** The colour that a detection has in the list and on the picture, by its place in the list. */
  const colourAt = (index) => COLOURS[index % COLOURS.length];

  /** A pen: a canvas context, the scale from original pixels to its own (x, y), and the width of one thin line. */
  const penOf = (context, picture, unit) => {
    const { width, height } = context.canvas;
    const { fontFamily: family, fontSize } = getComputedStyle(document.body);
    const letters = 0.88 * parseFloat(fontSize) * unit;
    return {
      context,
      unit,
      family,
      letters,
      width,
      height,
      across: width / picture.width_px,
      down: height / picture.height_px,
      taken: [],
    };
  };

  /** Draws all that belongs on the picture for what is shown. */
  const draw = (context, shown, unit) => {
    const { state, picture } = shown;
    const pen = penOf(context, picture, unit);
    context.lineJoin = "miter";
    if (shown.view === "decoder-self") drawListening(pen, shown);
    else if (state.boxes) drawDetections(pen, shown);
    else drawChosen(pen, shown);
    if (state.dots) drawDots(pen, shown);
    if (shown.cell) drawFrame(pen, shown.cell, "#ffffff", 2);
  };

  const drawDetections = (pen, shown) => {
    const listed = attnviz.shown.listed(shown.picture, shown.state);
    const isEncoder = shown.view === "encoder";
    pen.context.globalAlpha = isEncoder ? 0.5 : 0.9;
    listed.toReversed().forEach((one, index) => {
      if (one.query === shown.query && !isEncoder) return;
      drawFrame(pen, one.box, colourAt(listed.length - 1 - index), isEncoder ? 1 : 2);
    });
    pen.context.globalAlpha = 1;
    if (isEncoder) return;
    drawChosen(pen, shown);
    listed.slice(0, MOST_LABELS).forEach((one, index) => {
      if (one.query !== shown.query) drawLabel(pen, attnviz.words.who(one), one.box, colourAt(index));
    });
  };

  /** The box of the shown detection, in white: on the map nothing else is. */
  const drawChosen = (pen, { detection, view }) => {
    if (!detection || view === "encoder") return;
    drawFrame(pen, detection.box, "#ffffff", 2);
    drawLabel(pen, attnviz.words.who(detection), detection.box, "#ffffff");
  };

  /** The query in white; those that it listens to most in the colour of their share, the thicker the more it is. */
  const drawListening = (pen, shown) => {
    pen.context.fillStyle = DIMMED;
    pen.context.fillRect(0, 0, pen.width, pen.height);
    if (!shown.values || !shown.detection) return;
    const others = attnviz.shown
      .strongest(shown.values, shown.query)
      .map((one) => ({ ...one, box: attnviz.shown.detectionOf(shown.picture, one.query)?.box }))
      .filter((one) => one.box);
    const top = others[0]?.share ?? 1;
    const colour = shareColour(shown);
    others.toReversed().forEach((one) => drawFrame(pen, one.box, colour(one.share / top), 1 + 2 * (one.share / top)));
    drawFrame(pen, shown.detection.box, "#ffffff", 2);
    const label = (query, share) => `${query} · ${attnviz.words.amount(shown, share)}`;
    drawLabel(pen, label(shown.query, shown.values[shown.query]), shown.detection.box, "#ffffff");
    others.forEach((one) => drawLabel(pen, label(one.query, one.share), one.box, colour(one.share / top)));
  };

  const shareRow = (share) => 110 + Math.round(130 * share);

  /** From a share of the strongest to a colour; the colour maps' dark ends would not be seen on the picture. */
  const shareColour = (shown) => {
    const table = attnviz.colour.table(attnviz.shown.cmapOf(shown, shown.state));
    return (share) => {
      const at = 3 * shareRow(share);
      return `rgb(${table[at]}, ${table[at + 1]}, ${table[at + 2]})`;
    };
  };

  /** An outline with a dark halo; where it leaves the picture it runs along the edge, so that it is always seen. */
  const drawFrame = (pen, box, colour, width) => {
    const place = placeOf(pen, box);
    if (!place) return;
    const { context, unit } = pen;
    const line = Math.max(1, Math.round(width * unit));
    const halo = Math.max(1, Math.round(0.5 * unit));
    // Edges on whole pixels: between two of them a thin line would be half as strong.
    const [left, top, right, bottom] = place.map(Math.round);
    for (const [ink, thick, inset] of [
      [DARK, line + 2 * halo, line / 2 + halo],
      [colour, line, line / 2 + halo],
    ]) {
      context.strokeStyle = ink;
      context.lineWidth = thick;
      const [across, down] = [right - left - 2 * inset, bottom - top - 2 * inset];
      context.strokeRect(left + inset, top + inset, Math.max(0.5, across), Math.max(0.5, down));
    }
  };

  /** A box in the canvas's pixels, cut at its edges; null where no part of it is in the picture. */
  const placeOf = ({ across, down, width, height }, box) => {
    if (!box.every(Number.isFinite)) return null;
    const [left, right] = [box[0] * across, box[2] * across].sort((one, other) => one - other);
    const [top, bottom] = [box[1] * down, box[3] * down].sort((one, other) => one - other);
    if (right <= 0 || bottom <= 0 || left >= width || top >= height) return null;
    return [Math.max(0, left), Math.max(0, top), Math.min(width, right), Math.min(height, bottom)];
  };

  /** A label at a corner of the box that is free; none where no corner is. */
  const drawLabel = (pen, text, box, colour) => {
    const place = placeOf(pen, box);
    if (!place) return;
    const { context, unit } = pen;
    const pad = 4 * unit;
    context.font = `500 ${pen.letters}px ${pen.family}`;
    const line = shortened(context, text, Math.min(0.5 * pen.width, 18 * pen.letters));
    const size = [context.measureText(line).width + 3 * pad, 1.5 * pen.letters];
    const corner = cornersOf(pen, place, size).find((one) => !pen.taken.some((other) => overlap(one, other)));
    if (!corner) return;
    pen.taken.push(corner);
    context.fillStyle = PLATE;
    context.fillRect(corner[0], corner[1], size[0], size[1]);
    context.fillStyle = colour;
    context.fillRect(corner[0], corner[1], 3 * unit, size[1]);
    context.fillStyle = "#ffffff";
    context.textBaseline = "middle";
    context.fillText(line, corner[0] + 2 * pad, corner[1] + size[1] / 2 + 0.5 * unit);
  };

  /** The text with its middle left out where it is wider than `most`; its score stays. */
  const shortened = (context, text, most) => {
    if (context.measureText(text).width <= most) return text;
    const cut = text.lastIndexOf(" ");
    const [name, tail] = [Array.from(text.slice(0, cut)), text.slice(cut)];
    while (name.length > 1 && context.measureText(`${name.join("")}…${tail}`).width > most) name.pop();
    return `${name.join("")}…${tail}`;
  };

  /** Places of this size at the box's corners, outside before inside, that lie within the picture. */
  const cornersOf = (pen, [left, top, right, bottom], [width, height]) => {
    const found = [
      [left, top - height],
      [right - width, top - height],
      [left, bottom],
      [right - width, bottom],
      [right, top],
      [right, bottom - height],
      [left - width, top],
      [left - width, bottom - height],
      [left, top],
      [right - width, top],
      [left, bottom - height],
      [right - width, bottom - height],
    ];
    return found
      .filter(([x, y]) => x >= 0 && y >= 0 && x + width <= pen.width && y + height <= pen.height)
      .map(([x, y]) => [x, y, x + width, y + height]);
  };

  const overlap = (one, other) => one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3];

  /** Dots where samples were taken: area is weight, colour is level. */
  const drawDots = (pen, shown) => {
    const found = attnviz.shown
      .samplesOf(shown)
      .filter((one) => isInside(shown.picture, one))
      .slice(0, MOST_DOTS);
    const heaviest = found[0]?.weight ?? 0;
    const { context, unit, across, down } = pen;
    for (const one of found.toReversed()) {
      if (one.weight < SMALLEST_DOT_SHARE * heaviest) continue;
      context.beginPath();
      context.arc(one.x * across, one.y * down, 7 * unit * Math.sqrt(one.weight / heaviest), 0, 2 * Math.PI);
      context.fillStyle = levelColour(one.level);
      context.fill();
      context.lineWidth = unit;
      context.strokeStyle = DARK;
      context.stroke();
    }
  };

  const isInside = (picture, { x, y }) => x >= 0 && y >= 0 && x <= picture.width_px && y <= picture.height_px;

  const levelColour = (level) => LEVELS[level % LEVELS.length];

  return { draw, colourAt, levelColour, shareRow };
})();
