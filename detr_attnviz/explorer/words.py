"""The words of the page: what each of its maps is, with ``{layer}``, ``{heads}``, ``{sum}`` … for it to fill."""

from collections.abc import Mapping, Sequence

from detr_attnviz.explorer.arrays import Row
from detr_attnviz.methods.catalogue import LOGIT_TERMS, METHODS, RAW
from detr_attnviz.methods.definitions import definition, heads_in_words, sum_in_words

_HEAD, _LEVEL = "{head}", "{level}"


def words_row(kinds: Mapping[str, Sequence[Row]]) -> Row:
    """Definitions of what the sites of all pictures, by kind, show; of their terms; of how heads join; and what the
    values come to: as a whole, as the largest of heads, and of one level.
    """
    terms = {
        term: {kind: _definitions(kind, sites, term)["from"] for kind, sites in kinds.items() if _has(sites, term)}
        for term in LOGIT_TERMS
    }
    joins = {head: heads_in_words(head) for head in METHODS[RAW].joins}
    return {
        **{kind: _definitions(kind, sites) for kind, sites in kinds.items()},
        "sums": {kind: _sums(kind, sites) for kind, sites in kinds.items()},
        "heads": {**joins, "one": heads_in_words(_HEAD)},
        "terms": {term: words for term, words in terms.items() if words},
    }


def _has(sites: Sequence[Row], term: str) -> bool:
    return any(term in site.get("terms", ()) for site in sites)


def _definitions(kind: str, sites: Sequence[Row], term: str = "") -> dict[str, str]:
    """By direction; of no sites those of dense attention."""
    about = _about(sites)
    directions = ("from", "to") if kind == "encoder" and about["form"] == "dense" else ("from",)
    return {
        direction: definition(RAW, kind, direction=direction, term=term, **about)  # type: ignore[arg-type]
        for direction in directions
    }


def _sums(kind: str, sites: Sequence[Row]) -> dict[str, str]:
    about = _about(sites)
    return {
        "whole": sum_in_words(kind, **about),  # type: ignore[arg-type]  # one of Kind
        "max": sum_in_words(kind, "max", **about),  # type: ignore[arg-type]
        "level": sum_in_words(kind, level=_LEVEL, **about),  # type: ignore[arg-type]
    }


def _about(sites: Sequence[Row]) -> Row:
    is_sampled = any(site["form"] == "sampled" for site in sites)
    is_part = any(site.get("is_part", False) for site in sites)
    return {"form": "sampled" if is_sampled else "dense", "is_part": is_part}
