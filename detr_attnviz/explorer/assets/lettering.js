"use strict";

/** Letters on a saved picture: its fonts, and lines that fit. */
attnviz.lettering = (() => {
  const INK = "#1c1d20";
  const QUIET = "#5c6067";

  const fontOf = (weight, size) => `${weight} ${size}px ${getComputedStyle(document.body).fontFamily}`;

  /** The lines of a text in the context's font, none wider than `most`. */
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

  return { INK, QUIET, fontOf, wrapped };
})();
