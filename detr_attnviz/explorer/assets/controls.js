"use strict";

/** Buttons, sliders and the colour bar; what cannot be chosen here and now is not shown. */
attnviz.controls = (() => {
  const { byId, make, choices, press, say } = attnviz.elements;
  const SMOOTHS = [
    ["bicubic", "bicubic", "Smooth between cells"],
    ["bilinear", "bilinear", "Straight between cells"],
    ["nearest", "nearest", "The cells as they are"],
  ];
  const THEMES = [
    ["auto", "auto", "As the system says"],
    ["light", "light"],
    ["dark", "dark"],
  ];
  const built = { layers: "", picker: false };

  const set = (field) => (value) => attnviz.state.set({ [field]: value });

  const start = () => {
    const pages = attnviz.arrays.document();
    startPicker(pages.pictures);
    choices(byId("smooth"), SMOOTHS, set("smooth"));
    choices(byId("theme"), THEMES, set("theme"));
    choices(
      byId("direction"),
      [
        ["from", "from the cell", "What the cell attends to"],
        ["to", "to the cell", "Who attends to the cell"],
      ],
      set("direction"),
    );
    choices(
      byId("follow"),
      [
        ["true", "previews", "What the pointer is on is shown at once"],
        ["false", "reads numbers", "The chosen thing stays; only numbers follow the pointer"],
      ],
      (value) => attnviz.state.set({ follow: value === "true" }),
    );
    for (const field of ["wall", "boxes", "dots"]) {
      byId(field === "wall" ? "wall-toggle" : field).addEventListener("click", () =>
        attnviz.state.set({ [field]: !attnviz.state.get()[field] }),
      );
    }
    byId("layer").addEventListener("input", (event) => {
      const site = attnviz.shown.sitesOf(attnviz.state.get())[Number(event.target.value)];
      if (site) attnviz.state.set({ layer: site.layer });
    });
    byId("alpha").addEventListener("input", (event) => attnviz.state.set({ alpha: Number(event.target.value) }));
    buildSwatches(pages.colormaps);
    attnviz.state.on(show);
  };

  const startPicker = (pictures) => {
    byId("picker").hidden = pictures.length < 2;
    byId("picture-named").hidden = pictures.length > 1;
    byId("picture").append(...pictures.map((picture, index) => make("option", { value: index }, picture.name)));
    byId("picture").addEventListener("change", (event) => attnviz.state.set({ picture: Number(event.target.value) }));
    byId("previous-picture").addEventListener("click", () => turn(-1));
    byId("next-picture").addEventListener("click", () => turn(1));
  };

  /** Goes to the next (1) or previous (-1) picture; after the last one comes the first. */
  const turn = (step) => {
    const count = attnviz.arrays.document().pictures.length;
    if (count > 1) attnviz.state.set({ picture: (attnviz.state.get().picture + step + count) % count });
  };

  const buildSwatches = (colormaps) => {
    byId("cmaps").replaceChildren(
      ...Object.keys(colormaps).map((name) => {
        const strip = make("canvas", { width: 32, height: 1, "aria-hidden": "true" });
        paintStrip(strip, name);
        return make(
          "button",
          {
            type: "button",
            "data-value": name,
            title: name,
            "aria-label": `colours ${name}`,
            onclick: () => attnviz.state.set({ cmap: name }),
          },
          strip,
        );
      }),
    );
  };

  /** Every colour of a map from left to right, or those that `rowAt` takes for 0 to 1. */
  const paintStrip = (canvas, name, rowAt = (part) => Math.round(255 * part)) => {
    const context = canvas.getContext("2d");
    const table = attnviz.colour.table(name);
    const data = context.createImageData(canvas.width, canvas.height);
    for (let at = 0; at < canvas.width * canvas.height; at++) {
      const from = 3 * rowAt((at % canvas.width) / (canvas.width - 1));
      data.data.set([table[from], table[from + 1], table[from + 2], 255], 4 * at);
    }
    context.putImageData(data, 0, 0);
  };

  const show = (state) => {
    const shown = attnviz.shown.now();
    showViews(state);
    showLayers(state);
    showHeads(state, shown);
    showParts(state, shown);
    showLook(state, shown);
    showBar(state, shown);
    byId("picture").value = state.picture;
    const { pictures } = attnviz.arrays.document();
    say(byId("picture-name"), shown.picture.name);
    say(byId("picture-count"), `${state.picture + 1} of ${pictures.length}`);
    document.documentElement.dataset.theme = state.theme;
  };

  const showViews = (state) => {
    const picture = attnviz.shown.pictureOf(state);
    const titleOf = (view) => attnviz.words.VIEWS[view] ?? picture.methods.find((method) => method.name === view).title;
    choices(
      byId("views"),
      attnviz.state.viewsOf(picture).map((view) => [view, titleOf(view)]),
      set("view"),
    );
    press(byId("views"), state.view);
  };

  const showLayers = (state) => {
    const layers = attnviz.shown.sitesOf(state).map((site) => site.layer);
    byId("layers").hidden = layers.length === 0;
    const slider = byId("layer");
    slider.max = Math.max(0, layers.length - 1);
    slider.value = layers.indexOf(state.layer);
    slider.disabled = layers.length < 2;
    slider.setAttribute("aria-valuetext", `layer ${state.layer}`);
    say(byId("layer-value"), layers.length ? String(state.layer) : "");
    if (built.layers !== layers.join()) {
      byId("layer-ticks").replaceChildren(
        ...layers.map((layer) =>
          make(
            "button",
            {
              type: "button",
              tabindex: "-1",
              "data-value": layer,
              "aria-hidden": "true",
              onclick: () => attnviz.state.set({ layer }),
            },
            String(layer),
          ),
        ),
      );
      built.layers = layers.join();
    }
    press(byId("layer-ticks"), state.layer);
  };

  const showHeads = (state, shown) => {
    const heads = shown.site?.heads ?? 0;
    byId("heads").hidden = heads === 0;
    const joins = attnviz.state.JOINS.filter((join) => join !== "entropy-weighted" || state.direction === "from");
    const options = [
      ...joins.map((join) => [join, join, attnviz.words.headsOf(join)]),
      ...Array.from({ length: heads }, (_, head) => [head, String(head), attnviz.words.headsOf(head)]),
    ];
    choices(byId("heads-choice"), options, set("head"));
    press(byId("heads-choice"), state.head);
  };

  /** Direction, term, level and cell's level: each only where there is a choice. */
  const showParts = (state, shown) => {
    const { site, method } = shown;
    byId("direction-field").hidden = !(state.view === "encoder" && site?.form === "dense");
    press(byId("direction"), state.direction);
    const terms = method ? method.terms : ["", ...Object.keys(site?.terms ?? {})];
    offer(
      "term",
      terms.map((term) => [term, term || "whole"]),
      state.term,
    );
    const levels =
      site?.form === "sampled"
        ? site.level_grids.map((grid, level) => [level, `${level}`, `${grid.rows} × ${grid.cols} cells`])
        : [];
    offer("level", levels.length > 1 ? [["all", "all"], ...levels] : [], state.level);
    offer(
      "pointLevel",
      (site?.rows ?? []).map(({ level, grid }) => [level, `${level}`, `${grid.rows} × ${grid.cols} cells`]),
      state.pointLevel,
    );
    colourLevels(state.dots);
    byId("dots").hidden = site?.form !== "sampled";
    byId("dots").setAttribute("aria-pressed", String(state.dots));
    byId("boxes").hidden = state.view === "decoder-self";
    byId("boxes").setAttribute("aria-pressed", String(state.boxes));
    byId("wall-toggle").hidden = !site;
    byId("wall-toggle").setAttribute("aria-pressed", String(state.wall));
    press(byId("follow"), state.follow);
    byId("aside").hidden = !site || !(state.wall || state.view === "decoder-self");
  };

  /** With dots on the picture, each level's button has its dots' colour. */
  const colourLevels = (hasDots) => {
    for (const button of byId("level").children) {
      const isLevel = hasDots && button.dataset.value !== "all";
      button.style.boxShadow = isLevel
        ? `inset 0 -3px 0 ${attnviz.marks.levelColour(Number(button.dataset.value))}`
        : "";
    }
  };

  const offer = (field, options, value) => {
    byId(`${field}-field`).hidden = options.length < 2;
    choices(byId(field), options, set(field));
    press(byId(field), value);
  };

  const showLook = (state, shown) => {
    const cmap = attnviz.shown.cmapOf(shown, state);
    press(byId("cmaps"), cmap);
    for (const button of byId("cmaps").children) button.disabled = shown.isSigned && button.dataset.value !== cmap;
    press(byId("smooth"), state.smooth);
    press(byId("theme"), state.theme);
    const slider = byId("alpha");
    if (Number(slider.value) !== state.alpha) slider.value = state.alpha;
    say(byId("alpha-value"), `${Math.round(100 * state.alpha)} %`);
    slider.setAttribute("aria-valuetext", `${Math.round(100 * state.alpha)} %`);
    say(byId("cmap-value"), cmap);
  };

  const showBar = (state, shown) => {
    const cmap = attnviz.shown.cmapOf(shown, state);
    const bar = byId("bar-canvas");
    byId("bar").hidden = !shown.values;
    const look = `${cmap} ${shown.view === "decoder-self"}`;
    if (bar.dataset.look !== look) paintBar(bar, shown, cmap);
    bar.dataset.look = look;
    const top = shown.values ? attnviz.words.amount(shown, topOf(shown)) : "";
    say(byId("bar-low"), shown.isSigned ? `−${top}` : "0");
    say(byId("bar-high"), top);
  };

  /** The colours of the map, in decoder self-attention those of the boxes. */
  const paintBar = (canvas, shown, cmap) =>
    paintStrip(canvas, cmap, shown.view === "decoder-self" ? attnviz.marks.shareRow : undefined);

  /** What the last colour of the bar stands for. */
  const topOf = (shown) => {
    if (shown.view !== "decoder-self") return shown.ceilingOfAll ?? shown.ceiling;
    return attnviz.shown.strongest(shown.values, shown.query, 1)[0]?.share ?? 0;
  };

  return { start, turn, paintBar };
})();
