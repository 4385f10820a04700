"""The words over a sheet: what its maps are, of which layers and heads, of which picture and checkpoint."""

from collections.abc import Mapping, Sequence

from detr_attnviz.drawing.samples import levels_of, points_per_map
from detr_attnviz.explanation import Explanation

_PICTURE_KEYS = ("picture", "image")
_PLACES = {
    "cross": "decoder cross-attention",
    "encoder": "encoder self-attention",
    "decoder-self": "decoder self-attention",
}
_TITLES = {
    "raw": "{place}",
    "rollout": "attention rollout through encoder and decoder",
    "attn-gradcam": "{place} weighted by its effect on the class score",
    "relevance": "relevance of cells for each query's class score",
    "value-norm": "{place} weighted by the length of what is written",
    "decompose": "logits of {place} by content and position",
    "gradcam": "backbone features weighted by their effect on the class score",
}
_HEADS = {
    "": "",
    "mean": "mean of heads",
    "max": "maximum of heads",
    "entropy-weighted": "entropy-weighted mean of heads",
}
_HOW_TO_READ = {
    "decompose": "first word: the query's side, second: the cell's · percent: the term's part in how the logits differ "
    "from cell to cell",
}


def heading(explanation: Explanation) -> tuple[str, ...]:
    """A title, and quieter lines: picture, site, method, checkpoint; how to read it; a "note" of the provenance."""
    about = explanation.provenance
    picture = next((about[key] for key in _PICTURE_KEYS if key in about), "")
    checkpoint = checkpoint_of(about)
    parts = [
        picture.replace("\\", "/").rsplit("/", 1)[-1],
        explanation.site,
        f"method {explanation.method}" if explanation.method != "raw" else "",
        _sampling(explanation),
        f"checkpoint {checkpoint}" if checkpoint else "",
    ]
    details = " · ".join(part for part in parts if part)
    how_to_read = [_HOW_TO_READ.get(explanation.method, ""), _of_one_term(explanation)]
    lines = [_title(explanation), details, *how_to_read, about.get("note", "")]
    return tuple(line for line in lines if line)


def checkpoint_of(provenance: Mapping[str, str]) -> str:
    """The checkpoint's name and the start of its hash; empty where there is neither."""
    return f"{provenance.get('checkpoint', '')} {provenance.get('checkpoint_sha256', '')[:8]}".strip()


def _title(explanation: Explanation) -> str:
    place = ("sampled " if explanation.samples is not None else "") + _PLACES[explanation.kind]
    what = _TITLES.get(explanation.method, f"{{place}}, {explanation.method}").format(place=place)
    head = _HEADS.get(explanation.head, f"head {explanation.head}")
    level = f"level {explanation.level}" if explanation.level is not None else ""
    term = f"{explanation.term} term alone" if explanation.term else ""
    parts = [what[0].upper() + what[1:], _layers(explanation), head, level, term]
    return ", ".join(part for part in parts if part)


def _sampling(explanation: Explanation) -> str:
    """How many points there are and on which levels."""
    if explanation.samples is None:
        return ""
    levels, strides = levels_of(explanation), explanation.samples.strides_px
    where = f"level {levels[0]} (stride {strides[levels[0]]:.3g})" if len(levels) == 1 else f"{len(levels)} levels"
    return f"{points_per_map(explanation)} points per query on {where}"


def _of_one_term(explanation: Explanation) -> str:
    return f"softmax of the logits' {explanation.term} term, without the others" if explanation.term else ""


def _layers(explanation: Explanation) -> str:
    layers = explanation.layers
    if len(layers) > 1 and ".all." in explanation.site:
        return f"all {len(layers)} layers" if explanation.head else "all layers"  # without heads, the encoder's as well
    return f"layer{'s' if len(layers) > 1 else ''} {_joined(layers)}" if layers else ""


def _joined(numbers: Sequence[int]) -> str:
    words = [str(number) for number in numbers]
    return " and ".join([part for part in (", ".join(words[:-1]), words[-1]) if part])
