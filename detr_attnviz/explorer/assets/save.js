"use strict";

/** Takes the view away: as a PNG with its caption, or as an address. */
attnviz.save = (() => {
  const { byId, make, say } = attnviz.elements;
  const INK = "#1c1d20";
  const QUIET = "#5c6067";
  const SAID_MS = 2500;
  const LONGEST_STEM = 60;

  const start = () => {
    byId("save").addEventListener("click", saved);
    byId("copy").addEventListener("click", copied);
    byId("copy").hidden = location.protocol === "about:"; // a page inside a notebook has no address of its own
  };

  /** The view [canvas] at the picture's embedded size, on white, with a strip that says what it is. */
  const draw = () => {
    const state = attnviz.state.get();
    const shown = { ...attnviz.shown.now(), state };
    const { width_px: width, height_px: height } = shown.picture.image;
    const unit = Math.max(1, Math.sqrt(width * height) / 700);
    const canvas = make("canvas", { width, height });
    const strip = stripOf(canvas.getContext("2d"), shown, width, unit);
    canvas.height = height + strip.height;
    const context = canvas.getContext("2d");
    context.fillStyle = "#ffffff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(byId("image"), 0, 0, width, height);
    for (const layer of [mapOf(shown, state, width, height), marksOf(shown, width, height, unit)])
      context.drawImage(layer, 0, 0);
    drawStrip(context, strip, shown, height, unit);
    return canvas;
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

  const fontOf = (weight, size) => `${weight} ${size}px ${getComputedStyle(document.body).fontFamily}`;

  /** The caption's lines, wrapped to the picture's width: {lines: [{text, font, ink, y}…], height}. */
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
    const bar = shown.values && shown.grid ? y + 14 * unit : null;
    return { lines, bar, height: Math.ceil(bar === null ? y + 12 * unit : bar + 22 * unit) };
  };

  const checkpointOf = ({ name, provenance }) =>
    provenance.checkpoint_sha256 ? `${name} ${provenance.checkpoint_sha256.slice(0, 8)}` : name;

  const wrapped = (context, text, most) => {
    const lines = [""];
    for (const word of text.split(" ").flatMap((part) => broken(context, part, most))) {
      const longer = lines.at(-1) ? `${lines.at(-1)} ${word}` : word;
      if (context.measureText(longer).width <= most || !lines.at(-1)) lines[lines.length - 1] = longer;
      else lines.push(word);
    }
    return lines;
  };

  /** A word in pieces that fit. */
  const broken = (context, word, most) => {
    const pieces = [""];
    for (const letter of word) {
      if (pieces.at(-1) && context.measureText(pieces.at(-1) + letter).width > most) pieces.push("");
      pieces[pieces.length - 1] += letter;
    }
    return pieces;
  };

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
    attnviz.controls.paintStrip(bar, attnviz.shown.cmapOf(shown, shown.state));
    const [low, high] = [byId("bar-low").textContent, byId("bar-high").textContent];
    context.font = fontOf(400, 11 * unit);
    context.fillStyle = QUIET;
    context.textBaseline = "middle";
    const left = 12 * unit + context.measureText(low).width + 6 * unit;
    context.fillText(low, 12 * unit, y + 5 * unit);
    context.drawImage(bar, left, y, 140 * unit, 10 * unit);
    context.fillText(high, left + 146 * unit, y + 5 * unit);
  };

  /** picture_view_query-18_layer-5_mean.png, each view its own: letters, digits, dots and dashes only. */
  const fileName = (shown) => {
    const { view, layer, head, term, level } = shown.state;
    const stem = Array.from(shown.picture.name.replace(/\.[^.]*$/, "")).slice(0, LONGEST_STEM).join("");
    const parts = [stem, view, whose(shown), term];
    if (shown.site) parts.push(`layer-${layer}`, typeof head === "number" ? `head-${head}` : head);
    if (attnviz.words.isOneLevel(shown)) parts.push(`level-${level}`);
    return `${parts
      .filter(Boolean)
      .join("_")
      .replace(/[^\p{L}\p{N}._-]+/gu, "-")}.png`;
  };

  const whose = ({ view, query, point, site, state }) => {
    if (view !== "encoder") return query === null ? "" : `query-${query}`;
    const place = point.map(Math.round).join("-");
    if (site?.rows?.length > 1) return `${place}-of-level-${state.pointLevel}`;
    return state.direction === "to" ? `to-${place}` : place;
  };

  const saved = async () => {
    await byId("image").decode(); // a picture that was only just turned to
    const name = fileName(attnviz.shown.now());
    draw().toBlob((blob) => {
      const url = URL.createObjectURL(blob);
      make("a", { href: url, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60000);
      tell(`Saved ${name}`);
    }, "image/png");
  };

  const copied = async () => {
    const address = attnviz.state.address();
    try {
      await navigator.clipboard.writeText(address);
      tell("Link copied");
    } catch {
      tell(copyOldWay(address) ? "Link copied" : `The browser does not allow copying: ${address}`);
    }
  };

  const copyOldWay = (text) => {
    const field = make("textarea", { class: "unseen", readonly: "" });
    field.value = text;
    document.body.append(field);
    field.select();
    const isDone = document.execCommand("copy");
    field.remove();
    return isDone;
  };

  let saying = 0;

  /** Says for a moment what was done. */
  const tell = (text) => {
    const toast = byId("toast");
    say(toast, text);
    toast.hidden = false;
    clearTimeout(saying);
    saying = setTimeout(() => (toast.hidden = true), SAID_MS);
  };

  return { start, draw, fileName };
})();
