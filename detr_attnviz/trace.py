"""What one forward showed: detections, raw output and a record of every site; frozen.

Maps and pictures are made from it without another forward. It keeps its detector and prepared input for the
methods that need gradients.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from detr_attnviz.detections import Detection
from detr_attnviz.errors import ChoiceError
from detr_attnviz.explanation import Direction
from detr_attnviz.families.base import Prepared
from detr_attnviz.grid import Grid
from detr_attnviz.recording.hooks import Records
from detr_attnviz.sites import AttentionSite

if TYPE_CHECKING:
    from detr_attnviz.detector import Detector


@dataclass(frozen=True)
class Trace:
    """One picture's forward.

    ``logits [queries classes]`` and ``boxes [queries 4]`` (cxcywh in 0–1) are the raw output;
    ``detections`` has one entry per query, in query order, with boxes in original pixels.
    """

    image: Image.Image
    grid: Grid
    detections: tuple[Detection, ...]
    logits: Tensor
    boxes: Tensor
    records: Records
    detector: "Detector" = field(repr=False)
    prepared: Prepared = field(repr=False)
    source: str = ""

    @property
    def sites(self) -> tuple[str, ...]:
        """Names of the recorded sites, encoder first."""
        return tuple(self.records)

    def site(self, name: str) -> AttentionSite:
        """The site called ``name``.

        Raises: UnknownSiteError (a ChoiceError and KeyError).
        """
        self.records[name]
        return next(site for site in self.detector.sites if site.name == name)

    def attention(
        self,
        site: str,
        *,
        queries: Sequence[int] | None = None,
        points: Sequence[tuple[float, float]] | None = None,
        heads: Sequence[int] | None = None,
        direction: Direction = "from",
    ) -> Float[Tensor, "heads chosen *place"]:
        """Per-head attention at one site.

        Decoder cross-attention: ``[heads queries rows cols]``, each map sums to 1. Decoder self-attention:
        ``[heads queries all_queries]``. Encoder self-attention: ``queries`` are cells, or ``points`` are
        (x, y) in original pixels, giving ``[heads points rows cols]``; direction "from" is what the point
        attends to (sums to 1), "to" is how much every cell attends to the point.

        Raises: ChoiceError for a site, query, head or point that is not there.
        """
        kind = self.site(site).kind
        if kind != "encoder-self" and (points is not None or direction == "to"):
            raise ChoiceError(f"points and direction belong to encoder self-attention; {site} is {kind}")
        if direction not in ("from", "to"):
            raise ChoiceError(f"direction is {direction!r}: it must be 'from' or 'to'")
        if points is not None:
            if queries is not None:
                raise ChoiceError("give either queries (cells) or points, not both")
            queries = [self.grid.token_at(x, y) for x, y in points]
        maps = self._map(site, queries, heads, direction)
        if kind == "decoder-self":
            return maps
        return maps.view(*maps.shape[:2], self.grid.rows, self.grid.cols)

    def _map(
        self, site: str, queries: Sequence[int] | None, heads: Sequence[int] | None, direction: Direction
    ) -> Tensor:
        record = self.records[site]
        with torch.inference_mode():
            if direction == "from":
                return record.map(queries, heads)[0]
            cells = range(record.tokens) if queries is None else queries
            return record.columns(cells, heads)[0].transpose(1, 2)
