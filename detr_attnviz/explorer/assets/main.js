"use strict";

/** Puts the page together and keeps its title, its caption and what is read aloud. */
attnviz.main = (() => {
  const { byId, say } = attnviz.elements;
  const SETTLED_MS = 400; // a screen reader hears of the last of many quick changes
  let saying = 0;

  const start = () => {
    const pages = attnviz.arrays.document();
    document.title = pages.title;
    say(byId("title"), pages.title);
    say(byId("model"), pages.model.name);
    attnviz.state.on(caption);
    for (const part of ["controls", "list", "stage", "matrix", "wall", "readout", "sheets", "save", "keys"])
      attnviz[part].start();
    attnviz.state.open();
  };

  const caption = () => {
    const shown = attnviz.shown.now();
    const [subject, manner, range] = [
      attnviz.words.subject(shown),
      attnviz.words.manner(shown),
      attnviz.words.range(shown),
    ];
    say(byId("subject"), subject);
    say(byId("manner"), manner);
    say(byId("range"), range);
    byId("words").title = [subject, manner, range].join("\n");
    clearTimeout(saying);
    saying = setTimeout(() => say(byId("live"), `${subject}, ${manner}, ${range}${spot()}`), SETTLED_MS);
  };

  /** The cell that the reader is on and what is there. */
  const spot = () => {
    const { cursor, column } = attnviz.state.get();
    if (!cursor && column === null) return "";
    return `; ${byId("cell-name").textContent} ${byId("cell").textContent}: ${byId("value").textContent}`;
  };

  start();
  return {};
})();
