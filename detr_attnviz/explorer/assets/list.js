"use strict";

/** The side list of detections, with its threshold and its label filter. */
attnviz.list = (() => {
  const { byId, make, say } = attnviz.elements;
  const built = { rows: null, labels: null };
  let rows = new Map(); // query → row

  const start = () => {
    const list = byId("detections");
    list.addEventListener("keydown", walked);
    list.addEventListener("pointerover", hovered);
    list.addEventListener("pointerleave", () => attnviz.state.set({ preview: null }));
    list.addEventListener("click", chose);
    byId("threshold").addEventListener("input", (event) =>
      attnviz.state.set({ threshold: Number(event.target.value) }),
    );
    byId("all-labels").addEventListener("click", () => attnviz.state.set({ labels: [] }));
    attnviz.state.on(show);
  };

  const show = (state) => {
    const picture = attnviz.shown.pictureOf(state);
    const listed = attnviz.shown.listed(picture, state);
    if (built.rows !== listed) build(listed);
    built.rows = listed;
    if (built.query !== state.query) select(state.query);
    if (built.previewed !== state.preview?.query) preview(state.preview?.query);
    showThreshold(state, picture, listed);
    showLabels(state, picture);
  };

  const select = (query) => {
    rows.get(built.query)?.setAttribute("aria-selected", "false");
    const row = rows.get(query);
    row?.setAttribute("aria-selected", "true");
    if (row) byId("detections").setAttribute("aria-activedescendant", row.id);
    else byId("detections").removeAttribute("aria-activedescendant");
    if (row) reveal(row);
    built.query = query;
  };

  const preview = (query) => {
    rows.get(built.previewed)?.classList.remove("previewed");
    rows.get(query)?.classList.add("previewed");
    built.previewed = query;
  };

  /** Scrolls the list alone; scrollIntoView would also move the place where Tab starts. */
  const reveal = (row) => {
    const list = byId("detections");
    const top = row.offsetTop - list.offsetTop;
    list.scrollTop = Math.min(top, Math.max(list.scrollTop, top + row.offsetHeight - list.clientHeight));
  };

  const build = (listed) => {
    rows = new Map(listed.map((one, index) => [one.query, rowOf(one, index)]));
    byId("detections").replaceChildren(...rows.values());
    built.query = built.previewed = null;
  };

  const rowOf = (one, index) => {
    const key = make("span", { class: "key", "aria-hidden": "true" });
    key.style.backgroundColor = attnviz.marks.colourAt(index);
    return make(
      "li",
      { role: "option", "aria-selected": "false", id: `query-${one.query}`, "data-query": one.query },
      key,
      make("span", { class: "name", title: attnviz.words.nameOf(one) }, attnviz.words.nameOf(one)),
      make("span", { class: "query" }, `query ${one.query}`),
      make("span", { class: "score" }, attnviz.words.scoreOf(one)),
    );
  };

  const showThreshold = (state, picture, listed) => {
    const slider = byId("threshold");
    if (Number(slider.value) !== state.threshold) slider.value = state.threshold;
    say(byId("threshold-value"), state.threshold.toFixed(2));
    const passing = attnviz.shown.passingCount(picture, state);
    const all = picture.detections.length;
    const none = picture.detections.every((one) => one.score === null)
      ? `no detection has a score that is a number: ${listed.length} of them`
      : `none of ${all}: the best ${listed.length}`;
    say(byId("passing"), passing ? `${passing} of ${all}` : none);
    slider.setAttribute("aria-valuetext", `${state.threshold.toFixed(2)}, ${passing} of ${all} queries pass`);
  };

  /** The labels of what passes the threshold, and those chosen. */
  const showLabels = (state, picture) => {
    const counts = new Map(state.labels.map((name) => [name, 0]));
    for (const { name } of attnviz.shown.listed(picture, { ...state, labels: [] }))
      counts.set(name, (counts.get(name) ?? 0) + 1);
    const names = [...counts.keys()].filter(Boolean).sort((one, other) => one.localeCompare(other));
    const key = JSON.stringify(names.map((name) => [name, counts.get(name)]));
    if (built.labels !== key) {
      byId("labels").replaceChildren(...names.map((name) => labelOf(name, counts.get(name))));
      built.labels = key;
    }
    for (const box of byId("labels").querySelectorAll("input")) box.checked = state.labels.includes(box.value);
    byId("all-labels").hidden = state.labels.length === 0;
    say(byId("labels-chosen"), state.labels.length ? state.labels.join(", ") : `all ${names.length}`);
  };

  const labelOf = (name, count) => {
    const box = make("input", { type: "checkbox", value: name, onchange: toggled });
    return make(
      "label",
      {},
      box,
      make("span", { class: "name" }, name),
      make("span", { class: "count" }, String(count)),
    );
  };

  const toggled = ({ target }) => {
    const { labels } = attnviz.state.get();
    attnviz.state.set({
      labels: target.checked ? [...labels, target.value] : labels.filter((name) => name !== target.value),
    });
  };

  const queryOf = (event) => {
    const row = event.target.closest("[data-query]");
    return row ? Number(row.dataset.query) : null;
  };

  const hovered = (event) => {
    const query = queryOf(event);
    if (query !== null && event.pointerType !== "touch") attnviz.state.set({ preview: { query } });
  };

  const chose = (event) => {
    const query = queryOf(event);
    if (query !== null) attnviz.state.set({ query, preview: null });
  };

  const STEPS = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -1e6, End: 1e6 };

  const walked = (event) => {
    if (!(event.key in STEPS) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    walk(STEPS[event.key]);
  };

  /** Chooses the detection so many places further down the list. */
  const walk = (step) => {
    const state = attnviz.state.get();
    const listed = attnviz.shown.listed(attnviz.shown.pictureOf(state), state);
    const at = listed.findIndex((one) => one.query === state.query);
    const next = listed[Math.min(listed.length - 1, Math.max(0, at < 0 ? 0 : at + step))];
    if (next) attnviz.state.set({ query: next.query, preview: null });
  };

  return { start, walk };
})();
