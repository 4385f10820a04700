"use strict";

/** The keyboard: one table that the keys follow and the help sheet shows. */
attnviz.keys = (() => {
  const { byId } = attnviz.elements;
  const state = () => attnviz.state.get();
  const set = (changes) => attnviz.state.set(changes);
  const flip = (field) => () => set({ [field]: !state()[field] });

  /** The next of `all` after `now`, round and round. */
  const after = (all, now, step = 1) => all[(all.indexOf(now) + step + all.length) % all.length];

  const view = (name) => () =>
    attnviz.state.viewsOf(attnviz.shown.pictureOf(state())).includes(name) && set({ view: name });
  const nextMethod = () => {
    const methods = attnviz.shown.pictureOf(state()).methods.map((method) => method.name);
    if (methods.length) set({ view: after(methods, state().view) });
  };
  const layer = (step) => () => {
    const layers = attnviz.shown.sitesOf(state()).map((site) => site.layer);
    const at = layers.indexOf(state().layer) + step;
    if (at >= 0 && at < layers.length) set({ layer: layers[at] });
  };
  /** Goes through the pressed-one-of-several buttons of a holder, as if they were clicked. */
  const through =
    (id, step = 1) =>
    () => {
      const buttons = [...byId(id).children];
      if (byId(id).closest("[hidden]") || buttons.length < 2) return;
      after(
        buttons,
        buttons.find((button) => button.getAttribute("aria-pressed") === "true"),
        step,
      ).click();
    };
  const head = (value) => () => byId("heads-choice").querySelector(`[data-value="${value}"]`)?.click();
  const nudge = (field, step) => () =>
    set({ [field]: Math.min(1, Math.max(0, Math.round((state()[field] + step) * 100) / 100)) });
  const press = (id) => () => byId(id).hidden || byId(id).click();

  const key = (names, words, act) => ({ names: [names].flat(), words, act });
  const says = (names, words) => key(names, words, null); // keys that are heard where they belong

  const TABLE = [
    [
      "What is shown",
      [
        key("c", "cross-attention of a detection", view("cross")),
        key("e", "encoder: from or to a place", view("encoder")),
        key("s", "decoder self-attention", view("decoder-self")),
        key("m", "next method's map", nextMethod),
        key("j", "next detection", () => attnviz.list.walk(1)),
        key("k", "previous detection", () => attnviz.list.walk(-1)),
        key("n", "next picture", () => attnviz.controls.turn(1)),
        key("p", "previous picture", () => attnviz.controls.turn(-1)),
      ],
    ],
    [
      "Layers and heads",
      [
        key("[", "one layer down", layer(-1)),
        key("]", "one layer up", layer(1)),
        says("0–9", "that head alone"),
        key("a", "mean of heads", head("mean")),
        key("x", "max of heads", head("max")),
        key("f", "entropy-weighted: heads that look at few cells count more", head("entropy-weighted")),
        key(",", "previous head", through("heads-choice", -1)),
        key(".", "next head", through("heads-choice")),
        key("w", "wall of layers × heads", press("wall-toggle")),
        key("W", "wall: each map its own scale, or one shared by all", through("wall-scale")),
      ],
    ],
    [
      "Places and parts",
      [
        says(["←", "→", "↑", "↓"], "on the picture: move the cell; Shift: five at once"),
        key("r", "direction: from or to the cell", through("direction")),
        key("t", "next term", through("term")),
        key("g", "next level", through("level")),
        key("G", "next level of the cell that looks", through("pointLevel")),
        key("d", "dots where attention is sampled", press("dots")),
        key("q", "matrix: listed queries or all", through("matrix-rows")),
        key("h", "pointer: previews or reads numbers; hold Shift for the other", flip("follow")),
      ],
    ],
    [
      "Look",
      [
        key("b", "boxes", press("boxes")),
        key("o", "less opaque", nudge("alpha", -0.1)),
        key("O", "more opaque", nudge("alpha", 0.1)),
        key("u", "between cells: bicubic, bilinear or nearest", through("smooth")),
        key("y", "next colours", through("cmaps")),
        key("Y", "previous colours", through("cmaps", -1)),
        key("l", "theme", through("theme")),
      ],
    ],
    [
      "List",
      [
        key(["+", "="], "threshold up", nudge("threshold", 0.05)),
        key(["-"], "threshold down", nudge("threshold", -0.05)),
        key("/", "labels", () => openLabels()),
        says(["↑", "↓"], "in the list: previous or next detection"),
      ],
    ],
    [
      "Page",
      [
        key("i", "details and definitions", () => attnviz.sheets.open("details")),
        key("S", "save the view as PNG", press("save")),
        key("L", "copy a link to this view", press("copy")),
        key("?", "these keys", () => attnviz.sheets.open("help")),
        key("Escape", "close a sheet; else read the peak again", () =>
          set({ cursor: null, preview: null, column: null }),
        ),
      ],
    ],
  ];

  const openLabels = () => {
    byId("label-filter").open = true;
    byId("labels").querySelector("input")?.focus();
  };

  const ACTS = new Map([
    ...TABLE.flatMap(([, keys]) =>
      keys.filter(({ act }) => act).flatMap(({ names, act }) => names.map((name) => [name, act])),
    ),
    ...Array.from({ length: 10 }, (_, number) => [String(number), head(number)]),
  ]);

  const isTyping = ({ target }) => target.matches("input[type=text], input[type=search], textarea, select");

  const start = () =>
    addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event)) return;
      const act = ACTS.get(event.key);
      const isOpen = byId("details").open || byId("help").open;
      if (!act || (isOpen && event.key !== "i" && event.key !== "?")) return;
      event.preventDefault();
      act();
    });

  return { start, TABLE };
})();
