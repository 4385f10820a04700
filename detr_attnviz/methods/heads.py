"""How the heads of a layer, and then several layers, become one map."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from detr_attnviz.errors import ChoiceError
from detr_attnviz.explanation import Direction
from detr_attnviz.methods.catalogue import MEAN, Head, head_number
from detr_attnviz.recording.records import DenseRecord
from detr_attnviz.recording.sampled import SampledRecord
from detr_attnviz.trace import Point, Trace

_CHUNK_VALUES = 16_000_000  # 64 MB of float32 while all rows of a site are gone through


@dataclass(frozen=True)
class Chosen:
    """What is looked at in each layer: the object queries, or the points and which way; and how heads join.

    ``term``, ``level`` and ``point_level`` are as in ``Trace.attention``.
    """

    head: Head = MEAN
    queries: int | Sequence[int] | None = None
    points: Point | Sequence[Point] | None = None
    direction: Direction = "from"
    term: str = ""
    level: int | None = None
    point_level: int = 0

    @property
    def heads(self) -> list[int] | None:
        """The heads needed, None for all.

        Raises: ChoiceError for what is no head.
        """
        number = head_number(self.head)
        return None if number is None else [number]

    def rows(self, trace: Trace, site: str) -> list[int] | slice:
        """The rows of a site's attention that are meant: queries, or the cells of points."""
        if self.points is not None:
            return trace.cells_at(self.points, site, level=self.point_level)
        if self.queries is None:
            return slice(None)
        return [self.queries] if isinstance(self.queries, int) else list(self.queries)


def mean_of_layers(
    trace: Trace, sites: str | Sequence[str], chosen: Chosen, weigh: Callable[[str, Tensor], Tensor]
) -> Float[Tensor, "chosen *place"]:
    """Heads are joined in each of ``sites``, and layers averaged.

    ``weigh(site, attention)`` turns the attention ``[heads chosen *place]`` of the heads needed into what is shown.
    """
    names = (sites,) if isinstance(sites, str) else sites
    grids = {trace.grid_of(name, chosen.level) for name in names}
    if len(grids) > 1:
        raise ChoiceError(
            f"{' and '.join(names)} lie on different feature maps, whose mean there is none of: choose one layer"
        )
    return torch.stack([_joined(trace, name, chosen, weigh) for name in names]).mean(0)


def focus_of(
    rows: Float[Tensor, "heads queries tokens"], tokens: Float[Tensor, "one_or_heads one_or_queries"]
) -> Float[Tensor, "heads queries"]:
    """Weights of the heads, which sum to 1 for every query: the sharper a head's row, the more.

    They are proportional to ``log(tokens) − entropy`` of the row, the distance from looking everywhere alike; heads
    that all look everywhere alike count the same. ``tokens`` are those that each row may look at.
    """
    excess = (tokens.log() - torch.special.entr(rows).sum(-1)).clamp(min=0)
    total = excess.sum(0)
    return torch.where(total > 0, excess / total, 1 / len(rows))


def all_rows_focus(record: DenseRecord) -> Float[Tensor, "heads queries"]:
    """``focus_of`` every row of a site."""
    chunks = row_chunks(record)
    return torch.cat([focus_of(_over_shown(record, rows), _tokens(record, part)) for part, rows in chunks], dim=1)


def _over_shown(record: DenseRecord, rows: Float[Tensor, "heads queries tokens"]) -> Tensor:
    """``rows`` that sum to 1 over the tokens that are shown."""
    return rows if record.call.shown is None else rows / rows.sum(-1, keepdim=True)


def _tokens(record: DenseRecord, rows: slice | list[int]) -> Float[Tensor, "one_or_heads one_or_queries"]:
    """How many tokens each of ``rows`` may look at."""
    if record.is_seen is None:
        return torch.full((1, 1), float(record.tokens), device=record.call.key.device)
    is_seen = record.is_seen.expand(-1, -1, record.tokens)
    return (is_seen if is_seen.shape[1] == 1 else is_seen[:, rows]).sum(-1).clamp(min=1).to(record.call.key.dtype)


def row_chunks(record: DenseRecord) -> Iterator[tuple[slice, Tensor]]:
    """All rows ``[heads queries tokens]`` of a site, so many queries at a time as memory stays small with."""
    step = max(1, _CHUNK_VALUES // (record.heads * record.tokens))
    for start in range(0, record.queries, step):
        queries = range(start, min(start + step, record.queries))
        yield slice(queries.start, queries.stop), record.map(queries)[0]


def _joined(
    trace: Trace, site: str, chosen: Chosen, weigh: Callable[[str, Tensor], Tensor]
) -> Float[Tensor, "chosen *place"]:
    attention = trace.attention(
        site,
        queries=chosen.queries,
        points=chosen.points,
        heads=chosen.heads,
        direction=chosen.direction,
        term=chosen.term,
        level=chosen.level,
        point_level=chosen.point_level,
    )
    values = weigh(site, attention)
    if chosen.head == "max":
        return values.amax(0)
    if chosen.head != "entropy-weighted":
        return values.mean(0)
    if chosen.direction == "to":
        # Column of the joined matrix: every cell weighs the heads by its own row, not by the column shown.
        focus = all_rows_focus(trace.records.dense(site))
        weights = trace.on_grid(site, focus).unsqueeze(1).flatten(2)  # [heads 1 cells]
    else:
        weights = _focus(trace, site, chosen, attention).unsqueeze(2)  # [heads chosen 1]
    return (weights * values.flatten(2)).sum(0).view(values.shape[1:])


def _focus(trace: Trace, site: str, chosen: Chosen, attention: Tensor) -> Float[Tensor, "heads chosen"]:
    """``focus_of`` the rows that are meant: of sampled attention by its samples, else by ``attention`` itself."""
    record, rows = trace.records[site], chosen.rows(trace, site)
    if isinstance(record, SampledRecord):
        return sampled_focus(record, rows)
    return focus_of(_over_shown(record, attention.flatten(2)), _tokens(record, rows))


def sampled_focus(record: SampledRecord, rows: list[int] | slice) -> Float[Tensor, "heads chosen"]:
    """``focus_of`` the weights of all samples of these queries."""
    weights = record.weights[0][:, rows]
    return focus_of(weights, torch.full((1, 1), float(weights.shape[-1]), device=weights.device))
