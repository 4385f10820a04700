"use strict";

/** Every choice of the reader in one place, mirrored in the page's address. */
attnviz.state = (() => {
  const JOINS = ["mean", "max", "entropy-weighted"];
  const NEW_PLACE = ["picture", "view"]; // changes that the browser's Back button takes back
  const INSIDE_PX = 0.01;
  const QUIET_MS = 120; // browsers refuse addresses that change too often

  const listeners = [];
  let chosen = null;
  const NOTHING = Object.freeze({ preview: null, cursor: null, column: null });
  let passing = NOTHING; // what the pointer does; never in the address
  let settled = null;
  let frame = 0;
  let writing = 0; // the timer of an address that is yet to be written
  let isNewPlace = false;

  /** What is meant by the choices in this picture and view: every field has a value that exists. */
  function settle(wish) {
    const pages = attnviz.arrays.document();
    const state = { ...wish };
    if (!pages.pictures[state.picture]) state.picture = 0;
    const picture = pages.pictures[state.picture];
    const views = viewsOf(picture);
    if (!views.includes(state.view)) state.view = views[0] ?? "";
    const method = picture.methods.find((one) => one.name === state.view);
    const sites = picture.kinds[state.view] ?? [];
    if (!sites.some((site) => site.layer === state.layer)) state.layer = sites.length ? sites.at(-1).layer : null;
    const site = sites.find((one) => one.layer === state.layer);
    settleHeads(state, site);
    settleParts(state, site, method);
    state.point = pointIn(picture, state.point);
    if (state.threshold === null) state.threshold = pages.model.threshold;
    state.labels = state.labels.filter((name) => picture.detections.some((one) => one.name === name));
    if (!Object.hasOwn(pages.colormaps, state.cmap)) state.cmap = "";
    if (!picture.detections.some((one) => one.query === state.query)) {
      state.query = attnviz.shown.listed(picture, state)[0]?.query ?? null;
    }
    return state;
  }

  /** The point, or the picture's middle; one that the address rounded up to the very edge is just inside. */
  function pointIn({ width_px: width, height_px: height }, point) {
    if (!point || point[0] > width || point[1] > height) return [width / 2, height / 2];
    return [inside(point[0], width), inside(point[1], height)];
  }

  const inside = (place, length) => Math.min(Math.max(place, 0), length - INSIDE_PX);

  /** What the pointer does, without queries that the list or the matrix no longer has. */
  function settlePassing(state) {
    const picture = attnviz.arrays.document().pictures[state.picture];
    const isWhole = state.view === "decoder-self" && state.rows === "all";
    const offered = isWhole ? picture.detections : attnviz.shown.listed(picture, state);
    const isGone = (query) => (query ?? -1) >= 0 && !offered.some((one) => one.query === query);
    const { preview, cursor, column } = passing;
    return {
      preview: isGone(preview?.query) ? null : preview,
      cursor,
      column: isGone(column) ? null : column,
    };
  }

  function settleHeads(state, site) {
    if (!(state.view === "encoder" && site?.form === "dense")) state.direction = "from";
    const isHead = JOINS.includes(state.head) || (site && state.head < site.heads);
    if (!isHead || (state.head === "entropy-weighted" && state.direction === "to")) state.head = "mean";
  }

  function settleParts(state, site, method) {
    const terms = method ? method.terms : Object.keys(site?.terms ?? {});
    if (!terms.includes(state.term)) state.term = method ? method.terms[0] : "";
    if (!(site?.form === "sampled" && site.level_grids[state.level])) state.level = "all";
    const levels = (site?.rows ?? []).map((part) => part.level);
    if (!levels.includes(state.pointLevel)) state.pointLevel = levels[0] ?? null;
  }

  /** The names of what this picture can show: kinds of attention that were recorded, then methods. */
  function viewsOf(picture) {
    const kinds = ["cross", "encoder", "decoder-self"].filter((kind) => picture.kinds[kind].length);
    return [...kinds, ...picture.methods.map((method) => method.name)];
  }

  /** The settled choices, with `preview` (what the pointer is on), `cursor` and the matrix's `column`; frozen. */
  function get() {
    if (!settled) {
      const state = settle(chosen);
      settled = Object.freeze({ ...state, ...settlePassing(state) });
    }
    return settled;
  }

  /** Merges ``changes``; listeners hear of all of a frame's changes at once. */
  function set(changes) {
    for (const [field, value] of Object.entries(changes)) {
      if (field in passing) passing = { ...passing, [field]: value };
      else if (!attnviz.address.same(chosen[field], value)) change(field, value);
    }
    settled = null;
    frame ||= requestAnimationFrame(tell);
  }

  function change(field, value) {
    chosen = { ...chosen, [field]: value };
    if (field === "picture") {
      chosen = { ...chosen, query: null, point: null };
      passing = NOTHING;
    }
    if (NEW_PLACE.includes(field)) isNewPlace = true;
    clearTimeout(writing);
    writing = setTimeout(writeAddress, QUIET_MS);
  }

  function tell() {
    frame = 0;
    const state = get();
    for (const listener of listeners) listener(state);
  }

  /** A page inside another one (about:srcdoc) may not change its address: it goes on without one. */
  function writeAddress() {
    writing = 0;
    const way = isNewPlace ? "pushState" : "replaceState";
    isNewPlace = false;
    const text = attnviz.address.write(chosen);
    if (text === location.hash.replace(/^#/, "")) return;
    try {
      history[way](null, "", text ? `#${text}` : location.pathname + location.search);
    } catch {
      // nothing to do: the state itself is kept
    }
  }

  /** The page's address with the state as it is now, written or not. */
  function address() {
    return `${location.href.replace(/#.*$/, "")}#${attnviz.address.write(chosen)}`;
  }

  /** Takes the state from the address, now and whenever the reader goes back or forward. */
  function open() {
    const restore = () => {
      clearTimeout(writing);
      writing = 0;
      isNewPlace = false;
      chosen = attnviz.address.read(location.hash);
      passing = NOTHING;
      settled = null;
      frame ||= requestAnimationFrame(tell);
    };
    addEventListener("hashchange", restore);
    addEventListener("popstate", restore);
    restore();
  }

  return {
    get,
    set,
    on: (listener) => listeners.push(listener),
    open,
    address,
    viewsOf,
    JOINS,
    isWritten: () => writing === 0,
  };
})();
