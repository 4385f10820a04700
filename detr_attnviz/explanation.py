"""Chosen queries' maps by one method, with the picture and where they came from: all that drawing needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Literal

from detr_attnviz.detections import Detection
from detr_attnviz.grid import Grid
from detr_attnviz.sites import Form

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

Kind = Literal["cross", "encoder", "decoder-self"]
Direction = Literal["from", "to"]
ATTENTION = "attention"


@dataclass(frozen=True, eq=False)
class Samples:
    """Where sampled attention read the picture, for each map of an explanation.

    ``places`` is float32 ``[maps samples 2]``, (x, y) in original pixels, which may lie outside the picture;
    ``weights`` float32 ``[maps samples]`` sum to 1 over all levels. ``levels`` has each sample's feature map, 0 the
    finest, and ``strides_px`` each feature map's stride in input pixels. ``references`` is float32 ``[maps 2]``: what
    offsets start from, (x, y) in original pixels.
    """

    places: "NDArray[np.float32]"
    weights: "NDArray[np.float32]"
    levels: tuple[int, ...]
    strides_px: tuple[float, ...]
    references: "NDArray[np.float32]"


@dataclass(frozen=True, eq=False)
class Explanation:
    """Maps ready to be drawn.

    ``maps`` is float32 ``[queries rows cols]`` over ``grid`` for ``kind`` "cross" (one per entry of
    ``detections``) and "encoder" (one per entry of ``points``), and ``[queries all_queries]`` for
    "decoder-self": how much the chosen query takes from every query of ``everyone``.
    ``direction`` says for "encoder" whether the point looks ("from") or is looked at ("to").
    ``layers`` are those that the maps come from, counted from 0; none for a method that reads no attention layer.
    ``head`` is a head's number or how heads were joined, "" for a method that leaves no choice.
    ``form`` is that of the attention they come from, and ``is_part`` tells that its softmax also ran over tokens that
    a map of the method "raw" has no place for.
    ``quantity`` is what a value is an amount of, "attention" when it is a share of a query's attention.
    ``is_signed`` tells that values below zero mean something. A method that gives several maps a query names them in
    ``terms``, one per map (``detections`` and ``points`` then repeat); ``shares`` has each term's part in the whole.
    ``term`` names the part of the logit that the maps were made of alone ("content", "spatial"), "" for all of it.
    Of sampled attention ``samples`` has the places themselves, ``maps`` is what they come to on the grid, and
    ``level`` is the feature map that they were restricted to, None for all; ``point_level`` the one whose cells at
    ``points`` look. ``rest`` has for every map the share of
    attention that is not on it, ``rest_where`` says where that is ("outside the picture"); empty if there is none.
    ``provenance`` holds what pictures and manifests carry: checkpoint, hash, version, settings.
    """

    image: "Image.Image"
    grid: Grid
    maps: "NDArray[np.float32]"
    kind: Kind
    site: str
    layers: tuple[int, ...]
    head: str
    method: str
    quantity: str = ATTENTION
    is_signed: bool = False
    terms: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    detections: tuple[Detection, ...] = ()
    points: tuple[tuple[float, float], ...] = ()
    direction: Direction = "from"
    everyone: tuple[Detection, ...] = ()
    term: str = ""
    level: int | None = None
    point_level: int | None = None
    rest: tuple[float, ...] = ()
    rest_where: str = ""
    samples: Samples | None = None
    form: Form = "dense"
    is_part: bool = False
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.maps)

    def _repr_png_(self) -> bytes | None:
        """In a notebook: the maps as ``render`` draws them; None where there is none to draw."""
        from PIL.PngImagePlugin import PngInfo

        import detr_attnviz

        if not len(self):
            return None
        file, told = BytesIO(), PngInfo()
        sheet = detr_attnviz.render(self)
        for name, words in sheet.info.items():
            told.add_text(str(name), words)
        sheet.save(file, "PNG", pnginfo=told)
        return file.getvalue()

    def holes(self, index: int) -> str:
        """How much of map ``index`` is no number, as "6 of 850 cells are NaN"; empty where all are numbers."""
        import numpy as np

        values = self.maps[index]
        count = int((~np.isfinite(values)).sum())
        if not count:
            return ""
        what = "queries" if self.kind == "decoder-self" else "cells"
        kind = "NaN" if int(np.isnan(values).sum()) == count else "NaN or infinite"
        return f"{count} of {values.size} {what} {'is' if count == 1 else 'are'} {kind}"

    def peak(self, index: int) -> tuple[float, float]:
        """Where map ``index`` is largest: (x, y) of the cell's middle in original pixels.

        For "decoder-self" it is the middle of the box of the query that is attended to most.
        """
        token = int(self.maps[index].argmax())
        if self.kind != "decoder-self":
            return self.grid.center_of(token)
        left, top, right, bottom = self.everyone[token].box
        return (left + right) / 2, (top + bottom) / 2
