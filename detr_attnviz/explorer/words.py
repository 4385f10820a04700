"""The words of the page: what each of its maps is, with ``{layer}``, ``{heads}`` and ``{head}`` for it to fill."""

from collections.abc import Mapping, Sequence

from detr_attnviz.explorer.arrays import Row
from detr_attnviz.methods.catalogue import LOGIT_TERMS, METHODS, RAW
from detr_attnviz.methods.definitions import definition, heads_in_words

_HEAD = "{head}"


def words_row(kinds: Mapping[str, Sequence[Row]]) -> Row:
    """Definitions of what the sites of a picture, by kind, show; of their terms; and of how heads join."""
    terms = {
        term: {kind: _definitions(kind, sites, term)["from"] for kind, sites in kinds.items() if _has(sites, term)}
        for term in LOGIT_TERMS
    }
    joins = {head: heads_in_words(head) for head in METHODS[RAW].joins}
    return {
        **{kind: _definitions(kind, sites) for kind, sites in kinds.items()},
        "heads": {**joins, "one": heads_in_words(_HEAD)},
        "terms": {term: words for term, words in terms.items() if words},
    }


def _has(sites: Sequence[Row], term: str) -> bool:
    return any(term in site.get("terms", ()) for site in sites)


def _definitions(kind: str, sites: Sequence[Row], term: str = "") -> dict[str, str]:
    """By direction; of no sites those of dense attention."""
    is_sampled = any(site["form"] == "sampled" for site in sites)
    is_part = any(site.get("is_part", False) for site in sites)
    directions = ("from", "to") if kind == "encoder" and not is_sampled else ("from",)
    return {
        direction: definition(
            RAW,
            kind,  # type: ignore[arg-type]  # one of Kind
            form="sampled" if is_sampled else "dense",
            direction=direction,  # type: ignore[arg-type]
            term=term,
            is_part=is_part,
        )
        for direction in directions
    }
