"""What is made of every picture, as one frozen value with a hash that tells results of other settings apart."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, get_args

import torch

from detr_attnviz.batch.names import ARRAYS, STYLES, Per
from detr_attnviz.batch.rows import Row
from detr_attnviz.detector import Detector
from detr_attnviz.drawing.options import DrawingOptions, Style
from detr_attnviz.errors import ChoiceError
from detr_attnviz.methods.catalogue import ALL, METHODS, RAW, Layers, layers_of
from detr_attnviz.methods.request import Request

EXPORTS = (*STYLES, ARRAYS)
_WHOLE = (("term", ""), ("level", None), ("point_level", 0))
Sides = tuple[int | None, int | None]


@dataclass(frozen=True)
class BatchSettings:
    """What a run makes of every picture.

    - ``request``: which maps.
    - ``drawing``: how they are drawn; its style counts only when ``exports`` is empty.
    - ``exports``: some of "overlay", "heatmap", "pair", "contour", "points" (PNG), "arrays" (a ``.npz`` a picture).
    - ``per``: one PNG a "query" at the picture's own size, or one sheet an "image".
    - ``shortest_px`` and ``longest_px``: bounds of the resized picture, None for the checkpoint's.

    Raises: ChoiceError for an export or ``per`` that does not exist, or a style that cannot show these maps.
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
        self._check_form()

    @cached_property
    def styles(self) -> tuple[Style, ...]:
        """The styles to draw in, each once, in one order."""
        exports = self.exports or (self.drawing.style,)
        return tuple(style for style in STYLES if style in exports)

    @property
    def has_arrays(self) -> bool:
        return ARRAYS in self.exports

    @property
    def sides_px(self) -> Sides:
        return self.shortest_px, self.longest_px

    def settled(self, detector: Detector) -> "BatchSettings":
        """The same settings with what ``detector`` decides when nothing was said."""
        return replace(self, request=self.request.settled(detector))

    def hash_for(self, detector: Detector) -> str:
        """What all results of these settings by this detector carry; see ``settings_hash``."""
        row = settings_row(self.request, self.sides_px, replace(self.drawing, style=STYLES[0]))
        made = {"styles": self.styles, "arrays": self.has_arrays, "per": self.per}
        return settings_hash(detector, row | made)

    def as_row(self, drawing: DrawingOptions | None = None) -> Row:
        """What the manifest says of a file's settings; ``drawing`` is how that file is drawn, if it is a picture."""
        per = {"per": self.per} if drawing is not None else {}
        return settings_row(self.request, self.sides_px, drawing) | per

    def _check_form(self) -> None:
        forms = ("overlay", "heatmap") if self.per == "image" else ("overlay",)
        wrong = [style for style in self.styles if style not in forms]
        if self.request.kind == "decoder-self" and wrong:
            of_one = " of one query" if self.per == "query" else ""
            raise ChoiceError(
                f"{' and '.join(wrong)}{of_one} cannot show decoder self-attention, which lies over queries and not "
                "over the picture: choose overlay (boxes by weight), or heatmap (the matrix of all) with --per image"
            )
        asked = self.request
        if "points" in self.styles and (asked.method != RAW or asked.head == "max" or asked.direction != "from"):
            raise ChoiceError(
                f"points shows where sampled attention reads, by method {RAW}, of a head or their mean, direction "
                f"'from': method is {asked.method}, head {asked.head}, direction '{asked.direction}'"
            )
        if METHODS[self.request.method].is_signed and "contour" in self.styles:
            raise ChoiceError(
                f"contour cannot show method {self.request.method}, whose values below zero hold no shares: choose "
                "overlay, heatmap or pair"
            )


def settings_row(request: Request, sides_px: Sides, drawing: DrawingOptions | None = None) -> Row:
    """Settings as plain data: what was asked for, how it is drawn, and bounds of the resized picture if any were set.

    The same settings in other words (head 1 and "1", layers 3,5 and 5,3, a colour map or none) give the same data.
    """
    is_signed = METHODS[request.method].is_signed
    same = {"layer": _plain_layer(request.layer), "head": str(request.head)}
    points = [list(map(float, point)) for point in request.points]
    return {
        "request": _plain(request) | same | {"points": points},
        **({"drawing": _plain(drawing) | {"cmap": drawing.colors(is_signed)}} if drawing is not None else {}),
        "shortest_px": sides_px[0],
        "longest_px": sides_px[1],
    }


def _plain_layer(layer: Layers) -> int | str | list[int]:
    """A number, "all", or several numbers: each once, in one order."""
    numbers = layers_of(layer)
    if numbers is None:
        return ALL
    several = sorted(set(numbers))
    return several[0] if len(several) == 1 else several


def settings_hash(detector: Detector, settings: Row) -> str:
    """16 hex digits of everything but the picture that a result depends on: settings, weights, class names, version."""
    text = json.dumps({**settings, "model": model_facts(detector)}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def model_facts(detector: Detector) -> Mapping[str, Any]:
    """The detector's provenance and class names; without a checkpoint file, a hash of its attention weights."""
    facts: dict[str, Any] = {**detector.provenance, "class_names": list(detector.class_names)}
    if not detector.checkpoint_sha256:
        facts["attention_sha256"] = _weights_sha256(detector)
    return facts


def _plain(options: Request | DrawingOptions) -> Row:
    """The fields of a dataclass, tuples as JSON has them; parts of attention only where one was asked for."""
    fields = {name: value for name, value in asdict(options).items() if (name, value) not in _WHOLE}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


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
