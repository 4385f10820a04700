"use strict";

/** Takes the view away: as a PNG with its caption, or as an address. */
attnviz.save = (() => {
  const { byId, make, say } = attnviz.elements;
  const SAID_MS = 2500;
  const LONGEST_STEM = 60;

  const start = () => {
    byId("save").addEventListener("click", saved);
    byId("copy").addEventListener("click", copied);
    byId("copy").hidden = location.protocol === "about:"; // a page inside a notebook has no address of its own
  };

  /** picture_view_query-18_layer-5_mean.png, each view its own: letters, digits, dots and dashes only. */
  const fileName = (shown) => {
    const { view, layer, head, term, level } = shown.state;
    // Of long names the end: there a name with folders has its file.
    const stem = Array.from(shown.picture.name.replace(/\.[^./]*$/, "")).slice(-LONGEST_STEM).join("");
    const parts = [stem, view, whose(shown), term];
    if (shown.site) parts.push(`layer-${layer}`, typeof head === "number" ? `head-${head}` : head);
    if (attnviz.words.isOneLevel(shown)) parts.push(`level-${level}`);
    return `${parts
      .filter(Boolean)
      .join("_")
      .replace(/[^\p{L}\p{N}._-]+/gu, "-")}.png`;
  };

  const whose = ({ view, query, point, site, state }) => {
    if (view !== "encoder") return query === null ? "" : `query-${query}`;
    const place = point.map(Math.round).join("-");
    if (site?.rows?.length > 1) return `${place}-of-level-${state.pointLevel}`;
    return state.direction === "to" ? `to-${place}` : place;
  };

  const saved = async () => {
    await byId("image").decode(); // a picture that was only just turned to
    const shown = attnviz.shown.now();
    const name = fileName(shown);
    const facts = attnviz.provenance.of(shown);
    attnviz.printout.draw().toBlob(async (blob) => {
      const url = URL.createObjectURL(await attnviz.provenance.inside(blob, facts));
      make("a", { href: url, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60000);
      tell(`Saved ${name}`);
    }, "image/png");
  };

  const copied = async () => {
    const [link, words] = linkOf(new URL(attnviz.state.address()));
    try {
      await navigator.clipboard.writeText(link);
      tell(words);
    } catch {
      tell(copyOldWay(link) ? words : `The browser does not allow copying: ${link}`);
    }
  };

  /** What others can use of an address, and what is said of it: where a file lies on this disk helps nobody. */
  const linkOf = ({ protocol, href, hash }) =>
    protocol === "file:"
      ? [hash || "#", "Copied what stands behind the page's address, from # on: it goes with the file"]
      : [href, "Link copied"];

  const copyOldWay = (text) => {
    const field = make("textarea", { class: "unseen", readonly: "" });
    field.value = text;
    document.body.append(field);
    field.select();
    const isDone = document.execCommand("copy");
    field.remove();
    return isDone;
  };

  let saying = 0;

  /** Says for a moment what was done. */
  const tell = (text) => {
    const toast = byId("toast");
    say(toast, text);
    toast.hidden = false;
    clearTimeout(saying);
    saying = setTimeout(() => (toast.hidden = true), SAID_MS);
  };

  return { start, fileName };
})();
