"use strict";

/** How the reader's choices are written in the page's address and read from it. */
attnviz.address = (() => {
  // null and "" stand for "not chosen": what they mean depends on the picture and the view (see state.js).
  const UNCHOSEN = Object.freeze({
    picture: 0,
    view: "",
    query: null,
    point: null,
    direction: "from",
    layer: null,
    head: "mean",
    term: "",
    level: "all",
    pointLevel: null,
    cmap: "",
    alpha: 0.8,
    smooth: "bicubic",
    threshold: null,
    labels: [],
    theme: "auto",
    wall: false,
    scale: "each",
    rows: "kept",
    boxes: true,
    dots: false,
    follow: true,
  });
  const JOINS = attnviz.state.JOINS;

  const whole = (text) => (/^\d{1,6}$/.test(text) ? Number(text) : undefined);
  const share = (text) => (/^(0|1|0?\.\d+)$/.test(text) ? Number(text) : undefined);
  const oneOf =
    (...names) =>
    (text) =>
      names.includes(text) ? text : undefined;
  const flag = (text) => ({ 0: false, 1: true })[text];
  const asFlag = (value) => (value ? "1" : "0");
  const asText = (value) => String(value);
  const rounded = (value) => String(Math.round(value * 1000) / 1000);

  /** How each field is written in the address and read from it; undefined is "impossible". */
  const ADDRESS = {
    picture: ["p", asText, whole],
    view: ["v", encodeURIComponent, decoded],
    query: ["q", asText, whole],
    point: ["at", (point) => point.map((value) => Math.round(value * 10) / 10).join(","), place],
    direction: ["d", asText, oneOf("from", "to")],
    layer: ["l", asText, whole],
    head: ["h", asText, (text) => (JOINS.includes(text) ? text : whole(text))],
    term: ["m", encodeURIComponent, decoded],
    level: ["e", asText, (text) => (text === "all" ? text : whole(text))],
    pointLevel: ["pl", asText, whole],
    cmap: ["c", encodeURIComponent, decoded],
    alpha: ["a", rounded, share],
    smooth: ["s", asText, oneOf("bicubic", "bilinear", "nearest")],
    threshold: ["t", rounded, share],
    labels: ["n", (names) => names.map(encodeURIComponent).join(","), names],
    theme: ["theme", asText, oneOf("auto", "light", "dark")],
    wall: ["w", asFlag, flag],
    scale: ["wr", asText, oneOf("each", "shared")],
    rows: ["r", asText, oneOf("kept", "all")],
    boxes: ["b", asFlag, flag],
    dots: ["points", asFlag, flag],
    follow: ["f", asFlag, flag],
  };

  function decoded(text) {
    try {
      return decodeURIComponent(text);
    } catch {
      return undefined;
    }
  }

  function names(text) {
    const found = text.split(",").filter(Boolean).map(decoded);
    return found.includes(undefined) ? undefined : found;
  }

  function place(text) {
    const found = text.split(",").map((part) => (/^\d{1,6}(\.\d+)?$/.test(part) ? Number(part) : NaN));
    return found.length === 2 && found.every(Number.isFinite) ? found : undefined;
  }

  /** The state in an address; what is impossible is as if it were not there. */
  function read(hash) {
    const parts = hash.replace(/^#/, "").split("&");
    const given = new Map(parts.map((part) => [part.split("=", 1)[0], part.slice(part.indexOf("=") + 1)]));
    const found = { ...UNCHOSEN };
    for (const [field, [key, , parse]] of Object.entries(ADDRESS)) {
      const value = given.has(key) ? parse(given.get(key)) : undefined;
      if (value !== undefined) found[field] = value;
    }
    return found;
  }

  /** The address of a state: only what the reader chose is in it. */
  function write(state) {
    return Object.entries(ADDRESS)
      .filter(([field]) => !same(state[field], UNCHOSEN[field]))
      .map(([field, [key, format]]) => `${key}=${format(state[field])}`)
      .join("&");
  }

  const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

  return { UNCHOSEN, read, write, same };
})();
