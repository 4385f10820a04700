"""What a map is, in exact words: what captions, pages and figures say of it.

Sentences name ``{layer}`` and ``{heads}`` where these are chosen later, as on a page whose reader moves a slider.
"""

from collections.abc import Mapping, Sequence

from detr_attnviz.explanation import Direction, Explanation, Kind
from detr_attnviz.methods.catalogue import MEAN, METHODS, RAW
from detr_attnviz.sites import Form

LAYER, HEADS, SUM = "{layer}", "{heads}", "{sum}"

_CELLS, _QUERIES = "all cells add up to", "all queries add up to"
_TO_ONE_CELL = (
    "Encoder self-attention to one cell, layer {layer}, {heads}: a column of softmax(q kᵀ / √d). A cell's value is the "
    "share of its own attention that it gives to the chosen cell; the values need not add up to 1."
)
_DENSE: Mapping[tuple[Kind, Direction], str] = {
    ("cross", "from"): (
        "Decoder cross-attention of an object query, layer {layer}, {heads}: softmax(q kᵀ / √d) over the cells of the "
        "encoder's output. A cell's value is its share of the query's attention; {sum}."
    ),
    ("encoder", "from"): (
        "Encoder self-attention from one cell, layer {layer}, {heads}: softmax(q kᵀ / √d) over all cells, q being the "
        "chosen cell's. A value is that cell's share of the chosen cell's attention; {sum}."
    ),
    ("encoder", "to"): _TO_ONE_CELL,
    ("decoder-self", "from"): (
        "Decoder self-attention of an object query, layer {layer}, {heads}: softmax(q kᵀ / √d) over all object "
        "queries. A value is that query's share of the chosen query's attention; {sum}."
    ),
}
_JOINT: Mapping[tuple[Kind, Direction], str] = {
    ("cross", "from"): (
        "Attention of an object query to the picture's cells, layer {layer}, {heads}: softmax(q kᵀ / √d) over cells "
        "and other tokens together. A cell's value is its share of the query's attention; {sum}."
    ),
    ("encoder", "from"): (
        "Attention from one cell to the picture's cells, layer {layer}, {heads}: softmax(q kᵀ / √d) over cells and "
        "other tokens together. A value is that cell's share of the chosen cell's attention; {sum}."
    ),
    ("encoder", "to"): _TO_ONE_CELL.replace("Encoder self-attention to one cell", "Attention to one cell"),
    ("decoder-self", "from"): (
        "Attention of an object query to the object queries, layer {layer}, {heads}: softmax(q kᵀ / √d) over cells "
        "and queries together. A value is that query's share of the chosen query's attention; {sum}."
    ),
}
_SAMPLED: Mapping[Kind, str] = {
    "cross": (
        "Deformable cross-attention of an object query, layer {layer}, {heads}: the weights of the few places that the "
        "query reads, each shared among the four cells around it as bilinear interpolation reads them; {sum}."
    ),
    "encoder": (
        "Deformable encoder self-attention from one cell, layer {layer}, {heads}: the weights of the few places that "
        "the cell reads, each shared among the four cells around it as bilinear interpolation reads them; {sum}."
    ),
}
_METHODS: Mapping[str, str] = {
    "rollout": (
        "Rollout: attention of all layers multiplied up from the picture's cells to the query, heads averaged, each "
        "layer's identity added and rows made to add up to 1 (Abnar and Zuidema 2020)."
    ),
    "attn-gradcam": (
        "Attention Grad-CAM: decoder cross-attention, layer {layer}, mean of heads, each weighted by the mean gradient "
        "of the query's class logit in its map; what is below zero is left out."
    ),
    "relevance": (
        "Relevance: attention times the positive gradient of the query's class logit, averaged over heads and carried "
        "through all layers of encoder and decoder (Chefer et al. 2021)."
    ),
    "value-norm": (
        "Value norm, layer {layer}, {heads}: the length of what each cell writes into the query, attention times the "
        "projected value (Kobayashi et al. 2020)."
    ),
    "decompose": (
        "The attention logit's terms, layer {layer}, {heads}: content and position of the query times content and "
        "position of each cell. The four terms add up to the logit."
    ),
    "gradcam": (
        "Grad-CAM: the backbone's last features, each channel weighted by the mean gradient of the query's class logit "
        "in it; what is below zero is left out (Selvaraju et al. 2017)."
    ),
}


def definition(
    method: str = RAW,
    kind: Kind = "cross",
    *,
    form: Form = "dense",
    direction: Direction = "from",
    term: str = "",
    is_part: bool = False,
) -> str:
    """One map in words, with ``{layer}``, ``{heads}`` and ``{sum}`` still to be filled where the method has them.

    ``is_part`` tells that the softmax also runs over tokens that the map has no place for.
    """
    if method != RAW:
        return _METHODS.get(method, f"{method}: {METHODS[method].summary}.")
    if form == "sampled":
        return _SAMPLED[kind]
    words = (_JOINT if is_part else _DENSE)[kind, direction]
    return words.replace("q kᵀ", f"the {term} term of q kᵀ") if term else words


def sum_in_words(
    kind: Kind = "cross",
    head: str | int = MEAN,
    *,
    form: Form = "dense",
    is_part: bool = False,
    level: str | int | None = None,
) -> str:
    """What stands for ``{sum}``: what the values of one map come to, ``level`` being the only one that is shown."""
    if str(head) == "max":
        return "being the largest of several heads, they need not add up to 1"
    if form == "sampled" and level is not None:
        return f"only those of level {level} are shown, and other levels have the rest of 1"
    if form == "sampled":
        return f"{_CELLS} 1, less what falls outside the picture"
    return f"{_QUERIES if kind == 'decoder-self' else _CELLS} {'less than 1' if is_part else '1'}"


def heads_in_words(head: str | int, count: int | None = None) -> str:
    """What stands for ``{heads}``: one head, or how all of them are joined."""
    several = "all heads" if count is None else f"{count} heads"
    joins = {
        MEAN: f"mean of {several}",
        "max": f"largest of {several}, cell by cell",
        "entropy-weighted": f"mean of {several}, in which those that look at few cells count more",
    }
    return joins.get(str(head), f"head {head} alone")


def layers_in_words(layers: Sequence[int]) -> str:
    """What stands for ``{layer}``: a number, or those that the mean is of."""
    numbers = ", ".join(map(str, layers))
    return numbers if len(layers) < 2 else f"mean of {numbers}"


def definition_of(explanation: Explanation, heads: int | None = None) -> str:
    """What the maps of ``explanation`` are, nothing left open; ``heads`` is how many are joined, if known."""
    form, is_part = explanation.form, explanation.is_part
    words = definition(
        explanation.method,
        explanation.kind,
        form=form,
        direction=explanation.direction,
        term=explanation.term,
        is_part=is_part,
    )
    whole = sum_in_words(explanation.kind, explanation.head, form=form, is_part=is_part, level=explanation.level)
    words = words.replace(SUM, whole)
    named = words.replace(LAYER, layers_in_words(explanation.layers)).replace(SUM, whole)
    return named.replace(HEADS, heads_in_words(explanation.head or MEAN, heads))
