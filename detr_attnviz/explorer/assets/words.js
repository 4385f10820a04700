"use strict";

/** Numbers, names and sentences of the page; exact definitions come from the document. */
attnviz.words = (() => {
  const MINUS = "−";
  const NO_BREAK = "\u00a0";
  const LEAST_SHARE = 1e-4;
  const VIEWS = { cross: "Cross-attention", encoder: "Encoder", "decoder-self": "Decoder self-attention" };
  const KINDS = {
    cross: "decoder cross-attention",
    encoder: "encoder self-attention",
    "decoder-self": "decoder self-attention",
  };

  /** Two digits: 4.2, 0.013, 12, 130, 1.2e-6. */
  const twoDigits = (value) => {
    if (!Number.isFinite(value)) return "no number";
    const rounded = Number(value.toPrecision(2));
    const size = Math.abs(rounded);
    let text;
    if (size === 0 || (size >= 10 && size < 1e6)) text = size.toFixed(0);
    else if (size < 1e-4 || size >= 1e6) text = size.toExponential(1);
    else text = size.toFixed(1 - Math.floor(Math.log10(size)));
    return rounded < 0 ? `${MINUS}${text}` : text;
  };

  /** A share as a number of hundredths; what is nearer to 0 than 0.01 has no digits of its own. */
  const hundredths = (share) => {
    if (share === 0 || !(Math.abs(share) < LEAST_SHARE)) return twoDigits(100 * share);
    return share < 0 ? `>${MINUS}0.01` : "<0.01";
  };

  const percent = (share) =>
    Number.isFinite(share) ? `${hundredths(share)}${NO_BREAK}%` : twoDigits(share);

  /** A map's value: a share of attention in percent, any other quantity as a plain number. */
  const amount = (shown, value) => (shown.isAttention ? percent(value) : twoDigits(value));

  const nameOf = (detection) => detection.name || `class ${detection.label}`;

  /** Never "0.00" for a score above 0. */
  const scoreOf = ({ score }) => {
    if (score === null) return "NaN";
    return score < 0.005 ? "<0.01" : score.toFixed(2);
  };

  /** A name that may hold letters written from right to left, kept from turning the sentence around it. */
  const isolated = (name) => `\u2068${name}\u2069`;

  const who = (detection) => `${isolated(nameOf(detection))} ${scoreOf(detection)}`;

  /** The pixel (column, row) that holds a place. */
  const pixel = (place) => place.map((value) => Math.floor(value)).join(", ");

  const titleOf = (shown) => VIEWS[shown.view] ?? shown.method?.title ?? "";

  /** What stands for {heads}: one head, or how all are joined. */
  const headsOf = (head) => {
    const { heads } = attnviz.arrays.document().words;
    return typeof head === "number" ? heads.one.replace("{head}", head) : heads[head];
  };

  /** The exact definition of what is shown, nothing left open; "" where there is nothing to define. */
  const definition = (shown) => {
    if (shown.method) return shown.method.definition;
    const { words } = attnviz.arrays.document();
    const { view, term, direction, layer, head } = shown.state;
    const open = words.terms?.[term]?.[view] ?? words[view]?.[direction] ?? "";
    if (!open) return "";
    return open.replaceAll("{layer}", layer).replaceAll("{heads}", headsOf(head)).replaceAll("{sum}", sumOf(shown));
  };

  /** What stands for {sum}: what the values of the map come to. */
  const sumOf = (shown) => {
    const { head, level } = shown.state;
    const sums = attnviz.arrays.document().words.sums[shown.view];
    if (head === "max") return sums.max;
    return isOneLevel(shown) ? sums.level.replace("{level}", level) : sums.whole;
  };

  const isOneLevel = ({ site, state }) => site?.form === "sampled" && state.level !== "all";

  /** Which thing is looked at: a detection, or a place of the encoder. */
  const subject = (shown) => {
    if (shown.view === "encoder") {
      const place = `(${pixel(shown.point)})`;
      return shown.state.direction === "to" ? `Who attends to ${place}` : `What ${place} attends to`;
    }
    return shown.detection ? who(shown.detection) : "Nothing is chosen";
  };

  /** How it is looked at: query, view, layer, heads, term, level. */
  const manner = (shown) => {
    const { layer, head, term, level } = shown.state;
    const parts = shown.view === "encoder" || shown.query === null ? [] : [`query ${shown.query}`];
    parts.push(KINDS[shown.view] ?? shown.method?.title ?? "");
    if (shown.site) parts.push(`layer ${layer}`, headsOf(head));
    if (term) parts.push(shown.method ? term : `${term} term`);
    if (isOneLevel(shown)) parts.push(`level ${level}`);
    return parts.filter(Boolean).join(" · ");
  };

  /** What one cell's value is a share or an amount of. */
  const unit = (shown) => {
    if (shown.view === "decoder-self") return "of the query's attention";
    if (!shown.isAttention) return shown.method.quantity;
    return shown.state.direction === "to" ? "of one cell's attention" : "of its attention in one cell";
  };

  /** The range of the map, and where the rest of the attention is. */
  const range = (shown) => {
    if (!shown.values) return absent(shown);
    if (shown.view === "decoder-self") return listening(shown);
    if (!shown.values.some(Number.isFinite)) return "the map holds no numbers";
    const parts = [extent(shown)];
    if (Number.isFinite(shown.share)) parts.push(`share ${percent(shown.share)}`);
    for (const [rest, where] of restsOf(shown)) if (rest >= LEAST_SHARE) parts.push(`${amount(shown, rest)} ${where}`);
    return parts.join(", ");
  };

  const extent = (shown) => {
    if (!shown.ceiling) return "the map is zero everywhere";
    if (shown.isSigned) return bothEnds(shown);
    return `peak ${amount(shown, shown.ceiling)} ${isNamed(shown) ? "" : unit(shown)}`.trim();
  };

  /** Whether the method's title, which stands before the range, says what its values are. */
  const isNamed = ({ isAttention, method }) =>
    !isAttention && method.title.toLowerCase().includes(method.quantity.toLowerCase());

  const bothEnds = (shown) => {
    const known = shown.values.filter(Number.isFinite);
    const [low, high] = [Math.min(...known), Math.max(...known)];
    return `${amount(shown, low)} to ${amount(shown, high)} ${unit(shown)}`;
  };

  const absent = (shown) => {
    if (!shown.view) return "this page holds no map of this picture";
    if (shown.view === "encoder") return "no cell here: choose another place";
    if (shown.method && shown.detection)
      return `not computed for query ${shown.query}: lower --threshold when the page is written`;
    return "choose a detection";
  };

  /** How much of the joined attention is not on the map, and where it is: [[share, where]…]. */
  const restsOf = ({ found, site, state }) => {
    const isWhole = site?.form === "dense" && !site.shown;
    if (!site || isWhole || state.head === "max" || state.direction === "to") return [];
    const outside = joined(found, found.outside, state.head);
    if (site.form === "dense") return [[outside, "on other tokens"]];
    return [
      [outside, "outside the picture"],
      [joined(found, found.elsewhere, state.head), "on other levels"],
    ];
  };

  /** One number of those of all heads [heads], joined as their maps are. */
  const joined = (found, parts, head) => {
    if (typeof head === "number") return parts[head];
    const focus = head === "entropy-weighted" ? found.focus() : null;
    return parts.reduce((sum, part, own) => sum + part * (focus ? focus[own] : 1 / found.heads), 0);
  };

  const listening = (shown) => {
    const others = attnviz.shown.strongest(shown.values, shown.query);
    const named = others.map(({ query, share }) => {
      const other = attnviz.shown.detectionOf(shown.picture, query);
      return `query ${query}${other ? ` (${who(other)})` : ""} ${amount(shown, share)}`;
    });
    return [`itself ${amount(shown, shown.values[shown.query])}`, ...named].join(", ");
  };

  return {
    VIEWS,
    twoDigits,
    hundredths,
    percent,
    amount,
    nameOf,
    isolated,
    scoreOf,
    who,
    pixel,
    titleOf,
    headsOf,
    definition,
    subject,
    manner,
    isOneLevel,
    unit,
    range,
  };
})();
