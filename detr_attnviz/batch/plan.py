"""What is made of every picture, as one frozen value with a hash that tells results of other settings apart."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, get_args

import torch

from detr_attnviz.batch.names import ARRAYS, STYLES, Per
from detr_attnviz.detector import Detector
from detr_attnviz.drawing.options import DrawingOptions, Style
from detr_attnviz.errors import ChoiceError
from detr_attnviz.methods.request import Request

EXPORTS = (*STYLES, ARRAYS)


@dataclass(frozen=True)
class BatchSettings:
    """What a run makes of every picture.

    - ``request``: which maps.
    - ``drawing``: how they are drawn; its style counts only when ``exports`` is empty.
    - ``exports``: some of "overlay", "heatmap", "pair", "contour" (PNG) and "arrays" (one ``.npz`` a picture).
    - ``per``: one PNG a "query" at the picture's own size, or one sheet an "image".
    - ``shortest_px`` and ``longest_px``: bounds of the resized picture, None for the checkpoint's.

    Raises: ChoiceError for an export or ``per`` that does not exist.
    """

    request: Request = field(default_factory=Request)
    drawing: DrawingOptions = field(default_factory=DrawingOptions)
    exports: tuple[str, ...] = ()
    per: Per = "query"
    shortest_px: int | None = None
    longest_px: int | None = None

    def __post_init__(self) -> None:
        wrong = [name for name in self.exports if name not in EXPORTS]
        if wrong:
            raise ChoiceError(f"no export {', '.join(map(repr, wrong))}: exports are {', '.join(EXPORTS)}")
        if self.per not in get_args(Per):
            raise ChoiceError(f"per is {self.per!r}: it must be 'query' (a PNG each) or 'image' (a sheet)")

    @cached_property
    def styles(self) -> tuple[Style, ...]:
        """The styles to draw in, each once, in one order."""
        exports = self.exports or (self.drawing.style,)
        return tuple(style for style in STYLES if style in exports)

    @property
    def has_arrays(self) -> bool:
        return ARRAYS in self.exports

    def hash_for(self, detector: Detector) -> str:
        """What all results of these settings by this detector carry; see ``settings_hash``."""
        drawing = replace(self.drawing, style=STYLES[0])
        sides_px = (self.shortest_px, self.longest_px)
        made = {"styles": self.styles, "arrays": self.has_arrays, "per": self.per}
        return settings_hash(detector, self.request, drawing, sides_px, **made)


def settings_hash(
    detector: Detector,
    request: Request,
    drawing: DrawingOptions,
    sides_px: tuple[int | None, int | None],
    **more: Any,
) -> str:
    """16 hex digits of everything but the picture that a result depends on: options, weights, class names, version."""
    facts = {
        "request": asdict(request)
        | {"head": str(request.head), "points": [list(map(float, p)) for p in request.points]},
        "drawing": asdict(drawing),
        "sides_px": sides_px,
        "model": model_facts(detector),
        **more,
    }
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def model_facts(detector: Detector) -> Mapping[str, Any]:
    """The detector's provenance and class names; without a checkpoint file, a hash of its attention weights."""
    facts: dict[str, Any] = {**detector.provenance, "class_names": list(detector.class_names)}
    if not detector.checkpoint_sha256:
        facts["attention_sha256"] = _weights_sha256(detector)
    return facts


def _weights_sha256(detector: Detector) -> str:
    digest = hashlib.sha256()
    for name, values in _weights(detector):
        digest.update(name.encode())
        digest.update(values)
    return digest.hexdigest()


def _weights(detector: Detector) -> Iterable[tuple[str, bytes]]:
    for site in detector.sites:
        for name, weight in sorted(site.module.state_dict().items()):
            plain = weight.detach().cpu().contiguous().flatten()
            yield f"{site.name}.{name}", plain.view(torch.uint8).numpy().tobytes()
