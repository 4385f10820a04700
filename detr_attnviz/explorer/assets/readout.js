"use strict";

/** Numbers under the cursor: pixel, cell, value, and what each head (or term) has there; at the peak without a cursor. */
attnviz.readout = (() => {
  const { byId, make, say } = attnviz.elements;
  let bars = []; // {row, fill, value} of each head or term

  const start = () => attnviz.state.on(show);

  const show = (state) => {
    const shown = attnviz.shown.now();
    const { cell, place, where } = spotOf(shown, state);
    say(byId("readout-where"), where);
    for (const id of ["pixel-name", "pixel"]) byId(id).hidden = shown.view === "decoder-self"; // queries have none
    say(byId("pixel"), place ? attnviz.words.pixel(place) : "–");
    say(byId("cell-name"), shown.view === "decoder-self" ? "query" : "cell");
    say(byId("cell"), cell >= 0 ? cellInWords(shown, cell) : "–");
    say(byId("value"), cell >= 0 && shown.values ? attnviz.words.amount(shown, shown.values[cell]) : "–");
    say(byId("value-unit"), shown.values ? attnviz.words.unit(shown).replace(" in one cell", "") : "");
    showHeads(shown, state, cell);
  };

  /** The cell that is read out: under the cursor, or where the map is highest. */
  const spotOf = (shown, state) => {
    if (shown.view === "decoder-self") return spotOfQueries(shown, state);
    if (!shown.grid) return { cell: -1, place: state.cursor, where: "Under the cursor" };
    if (state.cursor) {
      const [x, y] = state.cursor;
      return { cell: attnviz.grid.cellAt(shown.grid, x, y), place: state.cursor, where: "Under the cursor" };
    }
    const cell = attnviz.shown.peakCell(shown);
    return { cell, place: cell < 0 ? null : attnviz.grid.center(shown.grid, cell), where: "At the peak" };
  };

  /** In decoder self-attention the other query under the cursor, or the one listened to most. */
  const spotOfQueries = (shown, state) => {
    if (!shown.values) return { cell: -1, place: state.cursor, where: "Under the cursor" };
    if (state.column !== null) return { cell: state.column, place: null, where: "In the matrix" };
    const [top] = attnviz.shown.strongest(shown.values, shown.query, 1);
    const [under] = state.cursor ? attnviz.stage.under(shown.picture, state, state.cursor) : [];
    if (under && !state.preview) return { cell: under.query, place: state.cursor, where: "Under the cursor" };
    return { cell: top?.query ?? shown.query, place: state.cursor, where: "Listened to most" };
  };

  const cellInWords = (shown, cell) => {
    if (shown.grid) return `row ${Math.floor(cell / shown.grid.cols)}, column ${cell % shown.grid.cols}`;
    const other = attnviz.shown.detectionOf(shown.picture, cell);
    return `${cell}${other ? ` (${attnviz.words.who(other)})` : ""}`;
  };

  const showHeads = (shown, state, cell) => {
    const { found } = shown;
    const count = found && (shown.site || found.heads > 1) ? found.heads : 0;
    const names = shown.method ? shown.method.terms : Array.from({ length: count }, (_, head) => String(head));
    if (bars.length !== count || bars.some((bar, index) => bar.name !== names[index])) build(names.slice(0, count));
    say(byId("heads-title"), shown.method ? "Each term" : "Each head");
    byId("heads-read").hidden = count === 0;
    const cells = count ? found.maps.length / count : 0;
    const values = bars.map((_, head) => (cell >= 0 ? found.maps[head * cells + cell] : NaN));
    const most = Math.max(...values.map(Math.abs).filter(Number.isFinite), 1e-12);
    bars.forEach((bar, head) => {
      say(bar.value, Number.isFinite(values[head]) ? attnviz.words.amount(shown, values[head]) : "–");
      bar.fill.style.width = `${(100 * Math.abs(values[head] || 0)) / most}%`;
      bar.row.classList.toggle("chosen", shown.method ? names[head] === state.term : head === state.head);
      bar.row.classList.toggle("negative", values[head] < 0);
    });
  };

  const build = (names) => {
    bars = names.map((name) => {
      const [fill, value] = [make("span", { class: "fill" }), make("span", { class: "amount" })];
      const track = make("span", { class: "track", "aria-hidden": "true" }, fill);
      return { name, fill, value, row: make("li", {}, make("span", { class: "head" }, name), track, value) };
    });
    byId("heads-bars").replaceChildren(...bars.map((bar) => bar.row));
    byId("heads-bars").classList.toggle(
      "single",
      names.some((name) => name.length > 3),
    );
  };

  return { start };
})();
