"use strict";

/**
 * Attention as the model computed it, softmax(scale · q kᵀ + masks), for the one query or cell that is asked for.
 *
 * FOUND is {maps [heads·cells], heads, outside [heads], focus() → [heads]}: `outside` is what of a head's attention is
 * not on the map, `focus` what heads count in their "entropy-weighted" mean (null where there is none).
 */
attnviz.attention = (() => {
  const { floats, values } = attnviz.arrays;
  let line = new Float64Array(0); // one row or column of one head
  let held = new Float64Array(0); // the one query or key, scaled
  const termSums = new WeakMap(); // site → term → sums
  let whole = { site: null, head: null, shares: null };

  /** FOUND of an object query, or of a cell as tokenAt gives it: where it looks ("from"), or who looks at it ("to"). */
  const maps = (site, token, { direction = "from", term = "", level = null } = {}) => {
    if (site.form === "sampled") return attnviz.sampled.maps(site, token, level);
    const part = term ? site.terms[term] : [0, site.key.values.shape[2]];
    return direction === "to" ? column(site, token, part, term) : row(site, token, part);
  };

  /** What `maps` takes for the place (x, y) at an encoder site; -1 where there is nothing. */
  const tokenAt = (site, x, y, pointLevel = 0) =>
    site.form === "sampled" ? attnviz.sampled.rowAt(site, x, y, pointLevel) : attnviz.grid.cellAt(site.grid, x, y);

  /** The number of a query among the site's rows: cells count with padding there. */
  const rowOf = (site, token) => (isEncoder(site) ? attnviz.grid.onCanvas(site.grid, token) : token);

  const isEncoder = (site) => site.log_sums !== null;

  const row = (site, token, part) => {
    const own = rowOf(site, token);
    const [heads, count, dim] = site.key.values.shape;
    const found = emptied(site, heads);
    const [keys, queries] = [floats(site.key), floats(site.query)];
    for (let head = 0; head < heads; head++) {
      hold(queries, (head * site.queries + own) * dim, part, site.scale);
      multiply(keys, head * count * dim, count, dim, part);
      mask(site, head, own, count);
      softmax(count);
      place(site, found.maps, head);
      found.outside[head] = site.shown ? 1 - sumOf(found.maps, head, found.maps.length / heads) : 0;
    }
    found.focus = () => focusOf(found, seenBy(site, own, heads), Boolean(site.shown));
    return found;
  };

  const column = (site, token, part, term) => {
    const [heads, count, dim] = site.key.values.shape;
    const key = (site.shown ? site.shown[0] : 0) + rowOf(site, token);
    const found = emptied(site, heads);
    const [keys, queries] = [floats(site.key), floats(site.query)];
    const sums = term ? sumsOfTerm(site, part, term) : values(site.log_sums);
    for (let head = 0; head < heads; head++) {
      hold(keys, (head * count + key) * dim, part, site.scale);
      multiply(queries, head * site.queries * dim, site.queries, dim, part);
      shareOfRows(site, head, key, count, sums);
      place({ grid: site.grid, shown: null }, found.maps, head);
    }
    return found;
  };

  /** log Σ exp of every row [heads·queries] of one term of the logits: a page only carries those of the whole. */
  const sumsOfTerm = (site, part, term) => {
    if (!termSums.has(site)) termSums.set(site, {});
    return (termSums.get(site)[term] ??= computedSums(site, part));
  };

  const computedSums = (site, part) => {
    const [heads, count, dim] = site.key.values.shape;
    const [keys, queries] = [floats(site.key), floats(site.query)];
    const sums = new Float32Array(heads * site.queries);
    for (let index = 0; index < sums.length; index++) {
      const [head, query] = [Math.floor(index / site.queries), index % site.queries];
      hold(queries, index * dim, part, site.scale);
      multiply(keys, head * count * dim, count, dim, part);
      mask(site, head, query, count);
      sums[index] = logSum(count);
    }
    return sums;
  };

  const emptied = (site, heads) => {
    const cells = site.grid ? site.grid.rows * site.grid.cols : site.tokens;
    return { maps: new Float32Array(heads * cells), heads, outside: new Float32Array(heads), focus: () => null };
  };

  const grown = (array, length) => (array.length < length ? new Float64Array(length) : array);

  const hold = (from, at, [start, stop], scale) => {
    held = grown(held, stop - start);
    for (let index = start; index < stop; index++) held[index - start] = from[at + index] * scale;
  };

  /** line[i] = held · vectors[at + i·dim + start …], by fours: this is where the time goes. */
  const multiply = (vectors, at, count, dim, [start, stop]) => {
    line = grown(line, count);
    const [result, fixed, width] = [line, held, stop - start];
    const fours = width - (width % 4);
    for (let index = 0, base = at + start; index < count; index++, base += dim) {
      let [a, b, c, d] = [0, 0, 0, 0];
      let part = 0;
      for (; part < fours; part += 4) {
        a += fixed[part] * vectors[base + part];
        b += fixed[part + 1] * vectors[base + part + 1];
        c += fixed[part + 2] * vectors[base + part + 2];
        d += fixed[part + 3] * vectors[base + part + 3];
      }
      for (; part < width; part++) a += fixed[part] * vectors[base + part];
      result[index] = a + b + (c + d);
    }
  };

  /** Reads a broadcast bias: (head, query, token) → number. */
  const biasOf = ({ bias }) => {
    if (!bias) return null;
    const [heads, queries, tokens] = bias.shape;
    const [added, oneHead, oneQuery, oneToken] = [values(bias), heads === 1, queries === 1, tokens === 1];
    return (head, query, token) =>
      added[((oneHead ? 0 : head) * queries + (oneQuery ? 0 : query)) * tokens + (oneToken ? 0 : token)];
  };

  /** Whether a query may not look at a token; null when every one may. */
  const hiddenOf = ({ hidden }) => {
    if (!hidden) return null;
    const flags = values(hidden);
    const stride = hidden.shape.length === 2 ? hidden.shape[1] : 0;
    return (query, token) => flags[query * stride + token] === 1;
  };

  const mask = (site, head, query, count) => {
    const [bias, hidden] = [biasOf(site), hiddenOf(site)];
    if (bias) for (let token = 0; token < count; token++) line[token] += bias(head, query, token);
    if (hidden) for (let token = 0; token < count; token++) if (hidden(query, token)) line[token] = -Infinity;
  };

  /** The line's softmax; NaN everywhere where nothing may be looked at, as in the module itself. */
  const softmax = (count) => {
    const peak = peakOf(count);
    let sum = 0;
    for (let index = 0; index < count; index++) sum += line[index] = Math.exp(line[index] - peak);
    for (let index = 0; index < count; index++) line[index] /= sum;
  };

  const logSum = (count) => {
    const peak = peakOf(count);
    let sum = 0;
    for (let index = 0; index < count; index++) sum += Math.exp(line[index] - peak);
    return peak + Math.log(sum);
  };

  const peakOf = (count) => {
    let peak = -Infinity;
    for (let index = 0; index < count; index++) if (line[index] > peak) peak = line[index];
    return peak;
  };

  const shareOfRows = (site, head, key, count, sums) => {
    const [bias, hidden] = [biasOf(site), hiddenOf(site)];
    for (let query = 0; query < site.queries; query++) {
      const sum = sums[head * site.queries + query];
      const logit = bias ? line[query] + bias(head, query, key) : line[query];
      line[query] = hidden && hidden(query, key) ? 0 : Math.exp(logit - sum);
      if (!Number.isFinite(sum)) line[query] = NaN;
    }
  };

  /** Puts the line's shown tokens into one head's map, padding left out. */
  const place = ({ grid, shown, tokens }, into, head) => {
    const first = shown ? shown[0] : 0;
    const [rows, cols, stride] = grid ? [grid.rows, grid.cols, grid.canvas[1]] : [1, tokens, tokens];
    for (let row = 0, at = head * rows * cols; row < rows; row++, at += cols) {
      into.set(line.subarray(first + row * stride, first + row * stride + cols), at);
    }
  };

  const sumOf = (all, head, length) => {
    let sum = 0;
    for (let index = head * length; index < (head + 1) * length; index++) sum += all[index];
    return sum;
  };

  /** How many of the shown tokens a query may look at in each head. */
  const seenBy = (site, query, heads) => {
    const [bias, hidden] = [biasOf(site), hiddenOf(site)];
    const first = site.shown ? site.shown[0] : 0;
    return Float64Array.from({ length: heads }, (_, head) => {
      if (!bias && !hidden) return site.tokens;
      let seen = 0;
      for (let token = first; token < first + site.tokens; token++) {
        if (!(hidden && hidden(query, token)) && !(bias && !(bias(head, query, token) > -1e4))) seen++;
      }
      return Math.max(1, seen);
    });
  };

  /** What each head counts, from how far its map's entropy lies below that of looking everywhere alike. */
  const focusOf = ({ maps: shares, heads }, seen, isPart) => {
    const length = shares.length / heads;
    return asFocus(
      Float64Array.from({ length: heads }, (_, head) => {
        const sum = isPart ? sumOf(shares, head, length) : 1;
        return Math.log(seen[head]) - entropy(shares, head * length, length, sum);
      }),
    );
  };

  const entropy = (shares, at, length, sum) => {
    let found = 0;
    for (let index = at; index < at + length; index++) {
      const share = shares[index] / sum;
      if (share !== 0) found -= share * Math.log(share);
    }
    return found;
  };

  /** Excesses over no focus at all as parts of 1; all alike where there is none. */
  const asFocus = (excesses) => {
    const kept = excesses.map((excess) => (excess < 0 ? 0 : excess));
    const total = kept.reduce((sum, excess) => sum + excess, 0);
    return kept.map((excess) => (total > 0 ? excess / total : 1 / kept.length));
  };

  /** One map [cells] of FOUND: `head` is a number, "mean", "max" or "entropy-weighted" (from, not to). */
  const join = (found, head) => {
    const { maps: all, heads } = found;
    const cells = all.length / heads;
    if (typeof head === "number") return all.slice(head * cells, (head + 1) * cells);
    if (head === "max") return largest(all, heads, cells);
    const focus = head === "entropy-weighted" ? found.focus() : null;
    return weighted(all, focus ?? new Float64Array(heads).fill(1 / heads), cells);
  };

  const largest = (all, heads, cells) => {
    const joined = all.slice(0, cells);
    for (let at = cells; at < heads * cells; at++) joined[at % cells] = Math.max(joined[at % cells], all[at]);
    return joined;
  };

  const weighted = (all, weights, cells) => {
    const joined = new Float64Array(cells);
    for (let head = 0, at = 0; head < weights.length; head++) {
      for (let cell = 0; cell < cells; cell++, at++) joined[cell] += weights[head] * all[at];
    }
    return new Float32Array(joined);
  };

  /** All rows [queries·queries] of decoder self-attention, kept until another site or head is asked for. */
  const matrix = (site, head) => {
    if (whole.site !== site || whole.head !== head) {
      const shares = new Float32Array(site.queries * site.tokens);
      for (let query = 0; query < site.queries; query++) shares.set(join(maps(site, query), head), query * site.tokens);
      whole = { site, head, shares };
    }
    return whole.shares;
  };

  return { maps, tokenAt, join, matrix, entropy, asFocus };
})();
