"use strict";

globalThis.attnviz ??= {};

/** What the page carries: the document, and arrays and pictures that stay base64 text until they are asked for. */
attnviz.arrays = (() => {
  const MOST_BYTES = 256 * 2 ** 20;
  const TYPES = { int16: Int16Array, uint16: Uint16Array, uint8: Uint8Array, float32: Float32Array };
  const kept = new Map(); // least recently used first
  let keptBytes = 0;
  let parsed = null;

  const textOf = (id) => document.getElementById(id).textContent.trim();

  /** The DOCUMENT, parsed once. */
  const pageDocument = () => (parsed ??= JSON.parse(textOf("document")));

  /** Bytes [any] of base64 text. */
  const bytes = (text) => {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const coded = atob(text);
    const found = new Uint8Array(coded.length);
    for (let at = 0; at < coded.length; at++) found[at] = coded.charCodeAt(at);
    return found;
  };

  const decoded = ({ id, dtype }) => new TYPES[dtype](bytes(textOf(id)).buffer);

  /** What `make` gave for `name`, for as long as it is among the last 256 MB that were used. */
  const keep = (name, make) => {
    let found = kept.get(name);
    if (found) kept.delete(name);
    else {
      found = make();
      keptBytes += found.byteLength;
    }
    kept.set(name, found);
    for (const [oldest, old] of kept) {
      if (keptBytes <= MOST_BYTES || oldest === name) break;
      kept.delete(oldest);
      keptBytes -= old.byteLength;
    }
    return found;
  };

  /** An ARRAY's numbers, flat, as they were written. */
  const values = (array) => keep(array.id, () => decoded(array));

  /** A PACKED array's numbers [heads·n·dim] in float32. */
  const floats = ({ values: array, scale }) =>
    scale ? keep(`${array.id}·${scale.id}`, () => unpacked(decoded(array), array.shape, values(scale))) : values(array);

  /** Integers [heads n dim] times scales [heads dim]. */
  const unpacked = (whole, [heads, n, dim], scales) => {
    const found = new Float32Array(whole.length);
    for (let head = 0, at = 0; head < heads; head++) {
      for (let row = 0; row < n; row++) {
        for (let part = head * dim; part < (head + 1) * dim; part++, at++) found[at] = whole[at] * scales[part];
      }
    }
    return found;
  };

  /** An address of an embedded picture, inside the page. */
  const pictureURL = ({ id, mime }) => `data:${mime};base64,${textOf(id)}`;

  return { document: pageDocument, bytes, values, floats, pictureURL };
})();
