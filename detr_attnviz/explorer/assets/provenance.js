"use strict";

/** What a saved picture carries inside, as Python's pictures do: which map of what, by what, from where. */
attnviz.provenance = (() => {
  const HEAD_BYTES = 33; // the signature and the first chunk, behind which text may stand
  const CRC = 0xedb88320;
  const table = Uint32Array.from({ length: 256 }, (_, byte) => {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? CRC ^ (value >>> 1) : value >>> 1;
    return value;
  });

  /** Names and words of what is shown; those without words are left out. */
  const of = (shown) => {
    const { model, software } = attnviz.arrays.document();
    const { state, site, method, view, query, point, detection } = shown;
    const facts = {
      ...model.provenance,
      software,
      picture: shown.picture.name,
      kind: method ? "cross" : view,
      site: method ? method.site : site?.name,
      layer: method ? "" : site?.layer,
      head: method ? method.head : state.head,
      method: method ? method.name : "raw",
      term: state.term,
      level: attnviz.words.isOneLevel(shown) ? state.level : "",
      query: view === "encoder" ? "" : query,
      name: view === "encoder" ? "" : detection?.name,
      point: view === "encoder" ? point.join(",") : "",
      direction: view === "encoder" ? state.direction : "",
    };
    return Object.entries(facts).map(([name, words]) => [name, String(words ?? "")]).filter(([, words]) => words);
  };

  /** The PNG [blob] with these texts in it. */
  const inside = async (blob, facts) => {
    const chunks = facts.map(([name, words]) => chunk(`${name}\0\0\0\0\0${words.replaceAll("\0", "")}`));
    return new Blob([blob.slice(0, HEAD_BYTES), ...chunks, blob.slice(HEAD_BYTES)], { type: blob.type });
  };

  /** An iTXt chunk: its length, its kind, a name with its words, and a checksum of kind and words. */
  const chunk = (text) => {
    const data = new TextEncoder().encode(`iTXt${text}`);
    const bytes = new Uint8Array(data.length + 8);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, data.length - 4);
    bytes.set(data, 4);
    view.setUint32(data.length + 4, checksum(data));
    return bytes;
  };

  const checksum = (data) => {
    let value = 0xffffffff;
    for (const byte of data) value = table[(value ^ byte) & 0xff] ^ (value >>> 8);
    return (value ^ 0xffffffff) >>> 0;
  };

  return { of, inside };
})();
