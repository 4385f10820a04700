"""What one forward showed: detections, raw output and a record of every site; frozen.

Maps and pictures are made from it without another forward. It keeps its detector and prepared input for the
methods that need gradients.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from detr_attnviz.detections import Detection
from detr_attnviz.errors import ChoiceError
from detr_attnviz.explanation import Direction
from detr_attnviz.families.base import Prediction, Prepared
from detr_attnviz.grid import Grid
from detr_attnviz.recording.hooks import Records
from detr_attnviz.recording.sampled import SampledRecord
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
        is_broken = ~(self.logits.isfinite().all(-1) & self.boxes.isfinite().all(-1))
        broken = int(is_broken.sum())
        if not broken:
            return ()
        return (
            f"{broken} of {len(is_broken)} queries have scores or boxes that are no numbers: the checkpoint may hold "
            "NaN or Inf (attnviz inspect-weights counts them)",
        )

    @cached_property
    def layer_outputs(self) -> tuple[Prediction, ...]:
        """Raw output of every decoder layer, first layer first; () where the model does not tell.

        It takes another forward, which starts behind the backbone where the model can.
        """
        return self.detector.layer_predictions(self.resumed)

    @cached_property
    def layer_predictions(self) -> tuple[tuple[Detection, ...], ...]:
        """Every query as each decoder layer predicts it, first layer first; () where the model does not tell.

        The last are ``detections``.
        """
        return tuple(self.detector.family.detections(output, self.grid) for output in self.layer_outputs)

    @property
    def levels(self) -> tuple[Grid, ...]:
        """The feature maps of a detector that has several, finest first."""
        return self.prepared.levels

    @property
    def sites(self) -> tuple[str, ...]:
        """Names of the recorded sites, encoder first."""
        return tuple(site.name for site in self.detector.sites if site.name in self.records)

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
        term: str = "",
        level: int | None = None,
        point_level: int = 0,
    ) -> Float[Tensor, "heads chosen *place"]:
        """Per-head attention at one site.

        Decoder cross-attention: ``[heads queries rows cols]``, each map sums to 1. Decoder self-attention:
        ``[heads queries all_queries]``. Encoder self-attention: ``queries`` are cells, or ``points`` are
        (x, y) in original pixels, giving ``[heads points rows cols]``; direction "from" is what the point
        attends to (sums to 1), "to" is how much every cell attends to the point. ``term`` is a part of the logit
        ("content", "spatial") whose softmax alone is wanted, where the site has such.

        Sampled attention is laid onto the cells of ``grid_of(site, level)``: of one level's samples, or of all; what
        falls outside the picture is missing from the sum. Its encoder has cells in every level, and ``point_level``
        is the one whose cell at ``points`` looks.

        Raises: ChoiceError for a site, query, head, point, term or level that is not there.
        """
        found = self.site(site)
        if found.kind != "encoder-self" and (points is not None or direction == "to"):
            raise ChoiceError(f"points and direction belong to encoder self-attention; {site} is {found.kind}")
        if direction not in ("from", "to"):
            raise ChoiceError(f"direction is {direction!r}: it must be 'from' or 'to'")
        if points is not None:
            if queries is not None:
                raise ChoiceError("give either queries (cells) or points, not both")
            queries = self.cells_at(points, site, level=point_level)
        record = self.records[site]
        if isinstance(record, SampledRecord):
            if term or direction == "to":
                what = f"are no terms (term is {term!r})" if term else "is no direction 'to'"
                raise ChoiceError(f"{site} is sampled attention, of which there {what}")
            grid = self.grid_of(site, level)
            return self._cropped(record, record.map(queries, heads, level=level, shape=grid.canvas).maps[0], grid)
        if level is not None:
            raise ChoiceError(f"level {level}: {site} is not sampled attention, so it has no levels to choose from")
        if direction == "from":
            maps = record.map(queries, heads, term=term)[0]
        else:
            cells = range(record.tokens) if queries is None else queries
            maps = record.columns(cells, heads, term=term)[0].transpose(1, 2)
        return maps if found.kind == "decoder-self" else self.on_grid(site, maps)

    def grid_of(self, site: str, level: int | None = None) -> Grid:
        """The grid that maps of ``site`` lie on: of sampled attention that of ``level``, or the one of all together.

        Raises: ChoiceError for a site or level that is not there.
        """
        found = self.site(site)
        if not self.levels or (level is None and found.form == "sampled"):
            return self.grid
        if level is None and found.stride_px is not None:
            rows, cols = self.grid.input_height_px // found.stride_px, self.grid.input_width_px // found.stride_px
            return replace(self.grid, rows=rows, cols=cols, stride_px=found.stride_px)
        if level is None:
            return self.levels[found.level]
        if not 0 <= level < len(self.levels):
            raise ChoiceError(f"no level {level}: levels are 0–{len(self.levels) - 1}, the finest first")
        return self.levels[level]

    def cells_at(self, points: Point | Sequence[Point], site: str = "", *, level: int = 0) -> list[int]:
        """The tokens of ``site`` whose cells hold ``points``, (x, y) in original pixels.

        Where an encoder's tokens are the cells of several levels, those of ``level``.

        Raises: ChoiceError for a point outside the picture, or a level that is not there.
        """
        is_sampled = bool(site) and self.site(site).form == "sampled"
        if level and not is_sampled:
            raise ChoiceError(f"point_level {level}: {site} is dense attention, whose cells are all of one level")
        grid = self.grid_of(site, level if is_sampled else None) if site else self.grid
        before = sum(rows * cols for rows, cols in (one.canvas for one in self.levels[:level])) if is_sampled else 0
        return [before + grid.on_canvas(grid.token_at(x, y)) for x, y in as_points(points)]

    def on_grid(self, site: str, values: Float[Tensor, "*leading tokens"]) -> Float[Tensor, "*leading rows cols"]:
        """What a site says of every token, laid out as the picture's cells; padding is cut off.

        Raises: ChoiceError when there are more or fewer tokens than cells.
        """
        grid = self.grid_of(site)
        rows, cols = grid.canvas
        if values.shape[-1] != rows * cols:
            raise ChoiceError(
                f"{site} has {values.shape[-1]} tokens, but the picture's grid is {rows} × {cols}: "
                "use capture(module) and lay out the tokens yourself"
            )
        return values.view(*values.shape[:-1], rows, cols)[..., : grid.rows, : grid.cols]

    def explore(self, **choices: Any) -> Any:
        """The interactive page of this picture, which a notebook shows: ``detr_attnviz.explore(self, **choices)``."""
        import detr_attnviz

        return detr_attnviz.explore(self, **choices)

    def _cropped(
        self, record: SampledRecord, maps: Float[Tensor, "*leading rows cols"], grid: Grid
    ) -> Float[Tensor, "*leading rows cols"]:
        """Maps without the padding of their grid.

        Raises: ChoiceError when the model's feature maps are not as large as they were expected to be.
        """
        expected = tuple(level.canvas for level in self.levels)
        if record.shapes != expected:
            raise ChoiceError(
                f"this picture's feature maps are {_in_words(record.shapes)} cells, and {_in_words(expected)} were "
                "expected: use capture(module) and lay out the samples yourself"
            )
        return maps[..., : grid.rows, : grid.cols]


def _in_words(shapes: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"{rows} × {cols}" for rows, cols in shapes)
