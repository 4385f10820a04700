"""What one forward showed: detections, raw output and a record of every site; frozen.

Maps and pictures are made from it without another forward. It keeps its detector and prepared input for the
methods that need gradients.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

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


Point = tuple[float, float]


def as_points(points: Point | Sequence[Point]) -> tuple[Point, ...]:
    """Several (x, y), also when a single one was given."""
    first = points[0] if len(points) else ()
    return tuple(points) if isinstance(first, Sequence) else (points,)  # type: ignore[arg-type, return-value]


@dataclass(frozen=True, eq=False)
class Trace:
    """One picture's forward.

    ``logits [queries classes]`` and ``boxes [queries 4]`` (cxcywh in 0–1) are the raw output;
    ``detections`` has one entry per query, in query order, with boxes in original pixels. ``resumed`` are inputs of
    a further forward of the picture that, where the model can, starts behind its backbone.
    """

    image: Image.Image
    grid: Grid
    detections: tuple[Detection, ...] = field(repr=False)
    logits: Tensor = field(repr=False)
    boxes: Tensor = field(repr=False)
    records: Records
    detector: "Detector" = field(repr=False)
    prepared: Prepared = field(repr=False)
    resumed: Mapping[str, Tensor] = field(repr=False)
    source: str = ""

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the maps should know: numbers of the output that are not finite."""
        broken = sum(int((~values.isfinite()).any(-1).sum()) for values in (self.logits, self.boxes))
        if not broken:
            return ()
        return (
            f"{broken} rows of scores and boxes are not finite: the checkpoint may hold NaN or Inf "
            "(attnviz inspect-weights counts them)",
        )

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
        queries: int | Sequence[int] | None = None,
        points: Point | Sequence[Point] | None = None,
        heads: int | Sequence[int] | None = None,
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
            queries = self.cells_at(points)
        maps = self._map(site, queries, heads, direction)
        return maps if kind == "decoder-self" else self.on_grid(site, maps)

    def cells_at(self, points: Point | Sequence[Point]) -> list[int]:
        """The tokens whose cells hold ``points``, (x, y) in original pixels.

        Raises: ChoiceError for a point outside the picture.
        """
        return [self.grid.token_at(x, y) for x, y in as_points(points)]

    def on_grid(self, site: str, values: Float[Tensor, "*leading tokens"]) -> Float[Tensor, "*leading rows cols"]:
        """What a site says of every token, laid out as the picture's cells.

        Raises: ChoiceError when there are more or fewer tokens than cells.
        """
        if values.shape[-1] != self.grid.tokens:
            raise ChoiceError(
                f"{site} has {values.shape[-1]} tokens, but the picture's grid is {self.grid.rows} × {self.grid.cols}: "
                "use capture(module) and lay out the tokens yourself"
            )
        return values.view(*values.shape[:-1], self.grid.rows, self.grid.cols)

    def _map(
        self,
        site: str,
        queries: int | Sequence[int] | None,
        heads: int | Sequence[int] | None,
        direction: Direction,
    ) -> Tensor:
        record = self.records[site]
        if direction == "from":
            return record.map(queries, heads)[0]
        cells = range(record.tokens) if queries is None else queries
        return record.columns(cells, heads)[0].transpose(1, 2)
