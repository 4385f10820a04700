"use strict";

/** What the stage shows: from the state to a map, its grid and its range; all other files draw or describe it. */
attnviz.shown = (() => {
  const CMAP = "inferno";
  const SIGNED_CMAP = "coolwarm";
  const FALLBACK = 3;
  const STRONGEST = 5;
  const MOST_LISTS = 64;
  const kept = { key: "", value: null };
  const lists = new Map();
  let count = 0; // of all that was ever shown: each has its own serial number

  const scoreOf = (detection) => detection.score ?? -1;
  const pictureOf = (state) => attnviz.arrays.document().pictures[state.picture];
  const sitesOf = (state) => pictureOf(state).kinds[state.view] ?? [];
  const methodOf = (state) => pictureOf(state).methods.find((method) => method.name === state.view) ?? null;

  /** Detections at or above the threshold with the wanted labels, best first; the three best where none passes. */
  const listed = (picture, state) => selection(picture, state).listed;

  /** How many detections pass, which is less than are listed when none does. */
  const passingCount = (picture, state) => selection(picture, state).passing;

  function selection(picture, state) {
    const key = JSON.stringify([state.picture, state.threshold, state.labels]);
    if (!lists.has(key)) {
      if (lists.size >= MOST_LISTS) lists.clear();
      lists.set(key, select(picture, state));
    }
    return lists.get(key);
  }

  function select(picture, { threshold, labels }) {
    const wanted = picture.detections.filter((one) => !labels.length || labels.includes(one.name));
    const ranked = wanted.sort((one, other) => scoreOf(other) - scoreOf(one) || one.query - other.query);
    const passing = ranked.filter((one) => scoreOf(one) >= threshold);
    return { passing: passing.length, listed: passing.length ? passing : ranked.slice(0, FALLBACK) };
  }

  /** The detection of an object query; queries count from 0 and all are there, in order. */
  const detectionOf = (picture, query) => picture.detections.find((one) => one.query === query) ?? null;

  /** What is shown now: the previewed thing, or else the chosen one. Its serial number is the same until its map changes. */
  function now() {
    const state = attnviz.state.get();
    const query = state.preview?.query ?? state.query;
    const point = state.preview?.point ?? state.point;
    const { picture, view, layer, head, term, level, direction, pointLevel } = state;
    const key = JSON.stringify([
      picture,
      view,
      layer,
      head,
      term,
      level,
      direction,
      pointLevel,
      view === "encoder" ? tokenOf(state, point) : query,
    ]);
    if (kept.key !== key) kept.value = make(state, query, point);
    else if (kept.value.point !== point) kept.value = { ...kept.value, point }; // another place in the same cell
    kept.key = key;
    return kept.value;
  }

  function siteOf(state) {
    return sitesOf(state).find((site) => site.layer === state.layer) ?? null;
  }

  function tokenOf(state, point) {
    const site = siteOf(state);
    return site ? attnviz.attention.tokenAt(site, point[0], point[1], state.pointLevel) : -1;
  }

  function make(state, query, point) {
    const picture = pictureOf(state);
    const base = { state, picture, view: state.view, query, point, detection: detectionOf(picture, query) };
    const method = methodOf(state);
    const made = method ? ofMethod(base, method) : ofAttention(base, state);
    made.serial = ++count;
    made.ceiling = made.values ? peak(made.values, made.isSigned) : 0;
    return made;
  }

  function ofAttention(base, state) {
    const site = siteOf(state);
    const token = state.view === "encoder" ? tokenOf(state, base.point) : base.query;
    const shown = {
      ...base,
      site,
      method: null,
      token,
      isSigned: false,
      isAttention: true,
      grid: null,
      cell: null,
      found: null,
      values: null,
    };
    if (!site || token === null || token === -1) return shown;
    shown.grid = gridOf(site, state.level);
    shown.cell = state.view === "encoder" ? cellOf(site, state, base.point) : null;
    shown.found = mapsOf(site, token, state);
    shown.values = attnviz.attention.join(shown.found, state.head);
    return shown;
  }

  /** The maps [heads·cells] of one token at one site under the state's choices. */
  function mapsOf(site, token, state) {
    return attnviz.attention.maps(site, token, {
      direction: state.direction,
      term: Object.hasOwn(site.terms ?? {}, state.term) ? state.term : "",
      level: site.form === "sampled" && state.level !== "all" ? state.level : null,
    });
  }

  /** The maps at another site of the same view for the same query or place; null where the place is on no cell. */
  function foundAt(site, shown, state) {
    const { point, query } = shown;
    const isEncoder = state.view === "encoder";
    const token = isEncoder ? attnviz.attention.tokenAt(site, point[0], point[1], state.pointLevel) : query;
    return token === -1 || token === null ? null : mapsOf(site, token, state);
  }

  function gridOf(site, level) {
    return site.form === "sampled" && level !== "all" ? site.level_grids[level] : site.grid;
  }

  /** The box of the chosen cell, in original pixels. */
  function cellOf(site, state, [x, y]) {
    const grid = pointGrid(site, state);
    return attnviz.grid.cellBox(grid, attnviz.grid.cellAt(grid, x, y));
  }

  /** The grid whose cells look: of sampled attention that of one level. */
  function pointGrid(site, state) {
    return site.form === "sampled" ? site.rows.find((part) => part.level === state.pointLevel).grid : site.grid;
  }

  function ofMethod(base, method) {
    const shown = {
      ...base,
      site: null,
      method,
      token: base.query,
      isSigned: method.is_signed,
      found: null,
      isAttention: method.quantity === "attention",
      grid: method.grid,
      cell: null,
      values: null,
    };
    const first = method.queries.indexOf(base.query);
    if (first < 0) return shown;
    const cells = method.grid.rows * method.grid.cols;
    const start = first * method.terms.length * cells;
    const maps = attnviz.arrays.values(method.maps).subarray(start, start + method.terms.length * cells);
    const at = method.terms.indexOf(base.state.term);
    shown.found = { maps, heads: method.terms.length };
    shown.values = maps.subarray(at * cells, (at + 1) * cells);
    shown.share = method.shares?.[first * method.terms.length + at];
    if (method.terms.length > 1) shown.ceilingOfAll = peak(maps, method.is_signed);
    return shown;
  }

  /** The largest value, or the largest distance from 0 of a signed map; NaN counts for nothing. */
  function peak(values, isSigned = false) {
    let highest = 0;
    for (const value of values) {
      const size = isSigned ? Math.abs(value) : value;
      if (size > highest && size !== Infinity) highest = size;
    }
    return highest;
  }

  /** The cell with the largest value, or -1. */
  function peakCell(shown) {
    let best = -1;
    let highest = 0;
    shown.values?.forEach((value, cell) => {
      const size = shown.isSigned ? Math.abs(value) : value;
      if (size > highest) [best, highest] = [cell, size];
    });
    return best;
  }

  /** The colour map of what is shown: with values below zero one that goes both ways from grey. */
  const cmapOf = (shown, state) => (shown.isSigned ? SIGNED_CMAP : state.cmap || CMAP);

  /** In decoder self-attention the other queries with the largest shares: [{query, share}], strongest first. */
  function strongest(values, query, count = STRONGEST) {
    const found = [];
    values.forEach((share, other) => {
      if (other !== query && share > 0) found.push({ query: other, share });
    });
    return found.sort((one, other) => other.share - one.share).slice(0, count);
  }

  /** Sampled places of what is shown, heaviest first; none where heads are joined by "max". */
  function samplesOf(shown) {
    const { site, state, token } = shown;
    if (site?.form !== "sampled" || token === -1 || state.head === "max") return [];
    const found = attnviz.sampled.samples(site, token, state.head);
    return state.level === "all" ? found : found.filter((one) => one.level === state.level);
  }

  return {
    now,
    listed,
    passingCount,
    detectionOf,
    pictureOf,
    sitesOf,
    siteOf,
    methodOf,
    foundAt,
    gridOf,
    pointGrid,
    peak,
    peakCell,
    cmapOf,
    strongest,
    samplesOf,
  };
})();
