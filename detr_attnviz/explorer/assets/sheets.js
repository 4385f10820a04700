"use strict";

/** The sheets that open over the page: details of what is shown, and the list of keys. */
attnviz.sheets = (() => {
  const { byId, make } = attnviz.elements;
  const YES_OR_NO = { True: "yes", False: "no" };

  const start = () => {
    for (const name of ["details", "help"]) {
      byId(`open-${name}`).addEventListener("click", () => open(name));
      byId(name).addEventListener("click", (event) => event.target === byId(name) && byId(name).close());
      byId(`close-${name}`).addEventListener("click", () => byId(name).close());
    }
    attnviz.state.on(() => byId("details").open && fillDetails());
  };

  /** Opens a sheet, or closes it when it is open. */
  const open = (name) => {
    if (byId(name).open) return byId(name).close();
    if (name === "details") fillDetails();
    else fillHelp();
    byId(name).showModal();
  };

  const pairs = (entries) =>
    make(
      "dl",
      {},
      ...entries
        .filter(([, value]) => value !== "" && value !== null && value !== undefined)
        .flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))]),
    );

  const section = (title, ...content) => make("section", {}, make("h3", {}, title), ...content);

  const list = (lines) => (lines.length ? [make("ul", {}, ...lines.map((line) => make("li", {}, line)))] : []);

  const fillDetails = () => {
    const pages = attnviz.arrays.document();
    const shown = attnviz.shown.now();
    const { model } = pages;
    const { picture } = shown;
    byId("details-body").replaceChildren(
      section(
        "What is shown",
        ...wordsOf(shown),
        pairs(siteOf(shown)),
      ),
      section(
        "Checkpoint",
        pairs([["name", model.name], ["queries", model.queries], ["threshold", model.threshold], ...settingsOf(model)]),
        ...list(model.notes),
      ),
      section(
        "Picture",
        pairs([
          ["name", picture.name],
          ["size", `${picture.width_px} × ${picture.height_px} px`],
          ["in this page", `${picture.image.width_px} × ${picture.image.height_px} px`],
          ["grid", gridInWords(shown)],
        ]),
        ...list(picture.notes),
      ),
      section(
        "Page",
        pairs([
          ["written by", pages.software],
          ["pictures", pages.pictures.length],
        ]),
        make("p", {}, "Maps of attention are computed in this page from what it holds. It contacts no address."),
      ),
    );
  };

  const wordsOf = (shown) => {
    const { subject, manner, range, definition } = attnviz.words;
    const exact = definition(shown);
    const how = [manner(shown), exact ? "" : range(shown)].filter(Boolean).join(", ");
    return [`${subject(shown)}: ${how}.`, exact].filter(Boolean).map((text) => make("p", {}, text));
  };

  /** What else is known of where the weights came from and how they were read; the software has its own place. */
  const settingsOf = ({ name, provenance }) =>
    Object.entries(provenance)
      .filter(([key, value]) => key !== "software" && value !== name)
      .map(([key, value]) => [key.replace("checkpoint_", "").replaceAll("_", " "), YES_OR_NO[value] ?? value]);

  const siteOf = ({ site }) => {
    if (!site) return [];
    return [
      ["site", site.name],
      ["heads", site.heads],
      ["exactness", exactness(site)],
    ];
  };

  const exactness = ({ error }) => {
    if (error === null) return "not known: some values are no numbers";
    const apart = error > 0 && error < 1e-4 ? "less than 0.01 %" : `at most ${attnviz.words.percent(error)}`;
    return `values differ from the model's own by ${apart} of a map's peak; all were compared when the page was written`;
  };

  const gridInWords = ({ grid }) => {
    if (!grid) return "";
    const cell = attnviz.words.twoDigits((grid.stride_px * grid.width_px) / grid.input_width_px);
    const input = `${grid.input_width_px} × ${grid.input_height_px} px`;
    return `${grid.rows} rows × ${grid.cols} columns, a cell is ${cell} px; the model saw the picture at ${input}`;
  };

  const fillHelp = () => {
    const body = byId("help-body");
    if (body.childElementCount) return;
    body.replaceChildren(
      ...attnviz.keys.TABLE.map(([title, keys]) =>
        section(
          title,
          make(
            "dl",
            { class: "keys" },
            ...keys.flatMap((key) => [
              make("dt", {}, ...key.names.map((name) => make("kbd", {}, name))),
              make("dd", {}, key.words),
            ]),
          ),
        ),
      ),
    );
  };

  return { start, open };
})();
