"""One site of dense attention on the page: q and k packed, and how far its maps are then from the record's own."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from detr_attnviz.explorer.arrays import TOLERANCE, Arrays, Packed, Row, array_of, as_floats, as_integers, largest_part
from detr_attnviz.explorer.grids import grid_row
from detr_attnviz.explorer.masks import Mask
from detr_attnviz.recording.records import DenseRecord
from detr_attnviz.sites import AttentionCall
from detr_attnviz.trace import Trace

_CHUNK_VALUES = 8_000_000  # 32 MB of float32 while a site's rows are compared


def dense_site(trace: Trace, name: str, arrays: Arrays) -> Row:
    """The document's entry of a site of dense attention."""
    site, record = trace.site(name), trace.records.dense(name)
    is_encoder = site.kind == "encoder-self"
    twin, error, log_sums = _closest(record, has_columns=is_encoder)
    call, shown = record.call, _shown(record.call)
    return {
        "name": name,
        "layer": site.layer,
        "form": "dense",
        "heads": record.heads,
        "queries": record.queries,
        "tokens": record.tokens,
        "grid": None if site.kind == "decoder-self" else grid_row(trace.grid_of(name)),
        "query": twin.query.entry(arrays),
        "key": twin.key.entry(arrays),
        "scale": twin.scale,
        "shown": None if shown is None else [shown.start, shown.stop],
        "terms": {term: list(part.indices(call.key.shape[3])[:2]) for term, part in call.terms.items()},
        **twin.mask.entry(arrays),
        "log_sums": arrays.add(array_of(log_sums)) if is_encoder else None,
        "error": error,
        "is_part": site.is_part or shown is not None,
    }


@dataclass(frozen=True, eq=False)
class _Twin:
    """What the page computes from its numbers."""

    query: Packed
    key: Packed
    scale: float
    mask: Mask

    def logits(self, rows: slice, part: slice) -> Tensor:
        """Masked logits ``[heads queries tokens]``."""
        query, key = self.query.restored[:, rows, part] * self.scale, self.key.restored[..., part]
        return self.mask.on(query @ key.transpose(1, 2), rows)


def _closest(record: DenseRecord, *, has_columns: bool) -> tuple[_Twin, float, Tensor]:
    """In 16 bits where that is close enough, else in 32; how far it is, and ``log Σ exp`` of every row."""
    for twin in _twins(record.call):
        error, log_sums = _compared(record, twin, has_columns=has_columns)
        if error <= TOLERANCE:
            break
    return twin, error, log_sums


def _twins(call: AttentionCall) -> Iterator[_Twin]:
    """The smallest first. Keys are centred, which no softmax can tell, and take finer steps then.

    Queries are centred too where that is not enough: what their mean has in the logits is then added exactly.
    """
    query, key, scale, mask = call.query[0], call.key[0], float(call.scale), Mask.of(call)
    unseen = mask.never_seen
    centred = key - (key if unseen is None else key[:, ~unseen]).mean(1, keepdim=True)
    centred = centred if unseen is None else centred.masked_fill(unseen[:, None], 0.0)
    if bool(query.isfinite().all() & centred.isfinite().all()):
        keys = as_integers(centred)
        yield _Twin(as_integers(query), keys, scale, mask)
        if mask.added is None and not call.terms:
            mean = query.mean(1, keepdim=True)
            added = (scale * mean @ centred.transpose(1, 2)).float()
            yield _Twin(as_integers(query - mean), keys, scale, replace(mask, added=added))
    yield _Twin(as_floats(query), as_floats(key), scale, mask)


def _compared(record: DenseRecord, twin: _Twin, *, has_columns: bool) -> tuple[float, Tensor]:
    """The largest difference of any map, as a part of the map's peak, and ``log Σ exp`` of every row.

    Maps are each head's rows, those of all heads' mean, those of each term and, with ``has_columns``, columns.
    """
    shown, columns = _shown(record.call) or slice(None), _Columns()
    errors, log_sums = [0.0], []
    for rows in _chunks(record):
        logits = twin.logits(rows, slice(None))
        sums = logits.logsumexp(-1)
        log_sums.append(sums)
        own = logits.sub_(sums[..., None]).exp_()[..., shown]
        true = record.map(range(rows.start, rows.stop))[0].to(own.dtype)
        errors.append(largest_part((own.mean(0) - true.mean(0)).abs_().amax(-1), true.mean(0).amax(-1)))
        apart = own.sub_(true).abs_()
        errors.append(largest_part(apart.amax(-1), true.amax(-1)))
        if has_columns:
            columns.add(apart, true)
    return max(*errors, columns.error, *_terms_apart(record, twin, shown)), torch.cat(log_sums, 1)


def _terms_apart(record: DenseRecord, twin: _Twin, shown: slice) -> Iterator[float]:
    for term, part in record.call.terms.items():
        for rows in _chunks(record):
            own = twin.logits(rows, part).softmax(-1)[..., shown]
            true = record.map(range(rows.start, rows.stop), term=term)[0].to(own.dtype)
            yield largest_part(own.sub_(true).abs_().amax(-1), true.amax(-1))


class _Columns:
    """The largest difference in each column ``[heads tokens]``, and its peak, chunk by chunk."""

    def __init__(self) -> None:
        self._apart: list[Tensor] = []
        self._peaks: list[Tensor] = []

    def add(self, apart: Tensor, true: Tensor) -> None:
        self._apart.append(apart.amax(1))
        self._peaks.append(true.amax(1))

    @property
    def error(self) -> float:
        if not self._apart:
            return 0.0
        return largest_part(torch.stack(self._apart).amax(0), torch.stack(self._peaks).amax(0))


def _chunks(record: DenseRecord) -> Iterator[slice]:
    step = max(1, _CHUNK_VALUES // (record.heads * record.call.key.shape[2]))
    for start in range(0, record.queries, step):
        yield slice(start, min(start + step, record.queries))


def _shown(call: AttentionCall) -> slice | None:
    """The tokens with a place on the map, if they are not all."""
    if call.shown is None:
        return None
    start, stop, _ = call.shown.indices(call.key.shape[2])
    return None if (start, stop) == (0, call.key.shape[2]) else slice(start, stop)
