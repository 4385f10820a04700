"use strict";

/** The view as one picture on white: what the stage shows, the wall and the matrix where they are open, the caption. */
attnviz.printout = (() => {
  const { byId, make } = attnviz.elements;
  const { INK, QUIET, fontOf, wrapped } = attnviz.lettering;
  const SMALL_PX = 800; // pictures up to this size are drawn twice as large, or words would not be sharp
  const NARROWEST = 480; // units: a caption needs this much

  /** The view [canvas] at the picture's embedded size, a small one at twice that. */
  const draw = () => {
    const state = attnviz.state.get();
    const shown = { ...attnviz.shown.now(), state };
    const [width, height] = sizeOf(shown.picture.image);
    const unit = Math.max(1, Math.sqrt(width * height) / 700);
    const parts = attnviz.panels.of(shown, [width, height], unit);
    const whole = Math.ceil(Math.max(width, parts.right, NARROWEST * unit));
    const canvas = make("canvas", { width: whole, height });
    const strip = stripOf(canvas.getContext("2d"), shown, whole, unit);
    const above = Math.ceil(Math.max(height, parts.bottom));
    canvas.height = above + strip.height;
    const context = canvas.getContext("2d");
    context.fillStyle = "#ffffff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingQuality = "high";
    context.drawImage(byId("image"), 0, 0, width, height);
    for (const layer of [mapOf(shown, state, width, height), marksOf(shown, width, height, unit)])
      context.drawImage(layer, 0, 0);
    for (const part of parts.all) attnviz.panels.draw(context, part, unit);
    drawStrip(context, strip, shown, above, unit);
    return canvas;
  };

  const sizeOf = ({ width_px: width, height_px: height }) => {
    const times = Math.max(width, height) <= SMALL_PX ? 2 : 1;
    return [times * width, times * height];
  };

  const mapOf = (shown, state, width, height) => {
    const layer = make("canvas", { width, height });
    attnviz.stage.paintOn(layer, shown, state, (context) => context.createImageData(width, height));
    return layer;
  };

  const marksOf = (shown, width, height, unit) => {
    const layer = make("canvas", { width, height });
    attnviz.marks.draw(layer.getContext("2d"), shown, unit);
    return layer;
  };

  /** The caption's lines, wrapped to this width: {lines: [{text, font, ink, y}…], height}. */
  const stripOf = (context, shown, width, unit) => {
    const pages = attnviz.arrays.document();
    const { words } = attnviz;
    const paragraphs = [
      [words.subject(shown), fontOf(600, 14 * unit), INK, 19],
      [[words.manner(shown), words.range(shown)].filter(Boolean).join(" · "), fontOf(400, 12 * unit), INK, 17],
      [words.definition(shown), fontOf(400, 11 * unit), QUIET, 15],
      [
        [shown.picture.name, `checkpoint ${checkpointOf(pages.model)}`, `drawn by ${pages.software}`].join(" · "),
        fontOf(400, 11 * unit),
        QUIET,
        15,
      ],
    ];
    const lines = [];
    let y = 10 * unit;
    for (const [text, font, ink, step] of paragraphs.filter(([words]) => words)) {
      context.font = font;
      for (const line of wrapped(context, text, width - 24 * unit)) {
        y += step * unit;
        lines.push({ text: line, font, ink, y });
      }
    }
    const bar = shown.values ? y + 14 * unit : null;
    return { lines, bar, height: Math.ceil(bar === null ? y + 12 * unit : bar + 22 * unit) };
  };

  const checkpointOf = ({ name, provenance }) =>
    provenance.checkpoint_sha256 ? `${name} ${provenance.checkpoint_sha256.slice(0, 8)}` : name;

  const drawStrip = (context, strip, shown, top, unit) => {
    context.textAlign = "left";
    context.textBaseline = "alphabetic";
    for (const { text, font, ink, y } of strip.lines) {
      context.font = font;
      context.fillStyle = ink;
      context.fillText(text, 12 * unit, top + y);
    }
    if (strip.bar !== null) drawBar(context, shown, top + strip.bar, unit);
  };

  const drawBar = (context, shown, y, unit) => {
    const bar = make("canvas", { width: 256, height: 1 });
    attnviz.controls.paintBar(bar, shown, attnviz.shown.cmapOf(shown, shown.state));
    const [low, high] = [byId("bar-low").textContent, byId("bar-high").textContent];
    context.font = fontOf(400, 11 * unit);
    context.fillStyle = QUIET;
    context.textBaseline = "middle";
    const left = 12 * unit + context.measureText(low).width + 6 * unit;
    context.fillText(low, 12 * unit, y + 5 * unit);
    context.drawImage(bar, left, y, 140 * unit, 10 * unit);
    const whose = shown.view === "decoder-self" ? "  colours of the boxes" : "";
    context.fillText(`${high}${whose}`, left + 146 * unit, y + 5 * unit);
  };

  return { draw };
})();
