"""What one site saw in one forward, and its maps, computed when asked.

A record keeps the inputs of the call; maps are ``softmax(q kᵀ / √dim + masks)`` of the split projections, so
none of the ``queries × tokens`` weights exist until somebody wants them. Dropout is never part of a map.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from detr_attnviz.errors import CaptureError, ChoiceError
from detr_attnviz.recording.kept import KeptCall, checked, wide
from detr_attnviz.recording.multihead import (
    Inputs,
    Part,
    Written,
    only_as_value,
    project,
    read_inputs,
    read_multihead,
    read_written,
)
from detr_attnviz.sites import AttentionCall, Reader

_COLUMN_CHUNK_VALUES = 16_000_000  # 64 MB of float32 while columns are gathered
HIDDEN = -1e4
"""A mask's number that is as good as −inf for a softmax; some code masks with a large one."""


class DenseRecord:
    """One call of dense attention.

    ``read`` turns the module and what went in into an ``AttentionCall``; by default the module is an
    ``nn.MultiheadAttention``. Inputs and weights are kept as they were at the call: with ``copy`` as clones, so
    that nothing done to the model or its activations afterwards can reach the record, else as references that
    refuse to answer once they were changed in place.
    """

    def __init__(
        self,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        *,
        read: Reader | None = None,
        copy: bool = True,
    ) -> None:
        names = (name for name, _ in module.named_parameters(remove_duplicate=False))
        weights = [name for name in names if read is not None or _AFTER_ATTENTION.isdisjoint(name.split("."))]
        self._kept = KeptCall(module, args, kwargs, weights, copy)
        self._read = read
        only = only_as_value(module, args, kwargs) if read is None else None
        self._value_only = frozenset(() if only is None else (only,))

    @cached_property
    def call(self) -> AttentionCall:
        """Projected query and key, scale and mask, in float32 or wider.

        Raises: CaptureError if inputs or weights were changed in place since and no copies were kept.
        """
        kept = self._kept
        if self._read is None:
            call = kept.asked(
                read_multihead,
                kept.args,
                kept.kwargs,
                without_inputs=self._value_only,
                without_weights=_FOR_VALUES,
            )
        else:
            call = kept.asked(self._read, kept.args, kept.kwargs)
        if call.query.dim() != 4 or call.key.dim() != 4:
            raise CaptureError(
                f"the reader of {self._class} gave query {list(call.query.shape)} and key "
                f"{list(call.key.shape)}: expected [batch heads queries dim] and [batch heads tokens dim]"
            )
        mask, value, out = (None if part is None else wide(part) for part in (call.mask, call.value, call.out))
        return replace(call, query=wide(call.query), key=wide(call.key), mask=mask, value=value, out=out)

    @cached_property
    def inputs(self) -> Inputs:
        """Query, key and value as they went in, each ``[batch tokens width]``: positions are already part of them.

        Raises: CaptureError for attention of another class, whose reader gives projected ones only.
        """
        self._check_is_multihead("what went in")
        return Inputs(*map(wide, self._kept.asked(read_inputs, self._kept.args, self._kept.kwargs)))

    @property
    def values(self) -> Float[Tensor, "batch heads tokens dim"]:
        """What the weights of ``map`` mix: ``Wv x + bv``, head by head.

        Raises: CaptureError when the site's reader does not give it.
        """
        return self._written.values

    @property
    def out(self) -> Float[Tensor, "heads dim width"]:
        """How heads write: head ``h`` adds ``map @ values[h] @ out[h]`` to the module's output.

        Raises: CaptureError when the site's reader does not give it.
        """
        return self._written.out

    def project(self, x: Tensor, part: Part, *, bias: bool = True) -> Float[Tensor, "batch heads tokens dim"]:
        """``x [batch tokens width]`` through this site's Wq, Wk or Wv, with or without the bias.

        Raises: CaptureError for attention of another class.
        """
        self._check_is_multihead("single projections")
        return wide(self._kept.asked(project, x, part, bias))

    @cached_property
    def _written(self) -> Written:
        if self._read is None:
            return Written(*map(wide, self._kept.asked(read_written, self._kept.args, self._kept.kwargs)))
        if self.call.value is None or self.call.out is None:
            raise CaptureError(
                f"the reader of {self._class} does not say what attention carries: let it return "
                "AttentionCall(…, value=[batch heads tokens dim], out=[heads dim width])"
            )
        return Written(self.call.value[:, :, self._shown], self.call.out)

    @cached_property
    def is_seen(self) -> Tensor | None:
        """Where a query may look, of one picture: broadcasts to ``[heads queries tokens]``; None without a mask."""
        mask = self.call.mask
        if mask is None:
            return None
        return (mask[0] if mask.shape[-1] == 1 else mask[0, ..., self._shown]) > HIDDEN

    @property
    def is_multihead(self) -> bool:
        """Whether it was a call of ``nn.MultiheadAttention``, whose ``inputs`` and projections are known one by one."""
        return self._read is None

    def _check_is_multihead(self, what: str) -> None:
        if not self.is_multihead:
            raise CaptureError(
                f"{what} can be told of nn.MultiheadAttention only; {self._class} has a reader of its own"
            )

    @property
    def _class(self) -> str:
        return type(self._kept.module).__name__

    @property
    def _shown(self) -> slice:
        return self.call.shown or slice(None)

    @property
    def batch(self) -> int:
        """Pictures in the batch; 1 for unbatched input."""
        return self.call.query.shape[0]

    @property
    def heads(self) -> int:
        """Attention heads."""
        return self.call.query.shape[1]

    @property
    def queries(self) -> int:
        """Rows of the map."""
        return self.call.query.shape[2]

    @property
    def tokens(self) -> int:
        """Columns of the map, with what ``add_bias_kv`` and ``add_zero_attn`` add."""
        return len(range(self.call.key.shape[2])[self._shown])

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms that add up to the logits; none where they are of one piece."""
        return tuple(self.call.terms)

    @property
    def nbytes(self) -> int:
        """Bytes of the inputs that the record holds on to, each counted once."""
        return self._kept.nbytes

    def map(
        self,
        queries: int | Sequence[int] | None = None,
        heads: int | Sequence[int] | None = None,
        *,
        term: str = "",
    ) -> Float[Tensor, "batch heads queries tokens"]:
        """Attention of the chosen queries (all by default) in the chosen heads.

        Each row sums to 1, or to less where attention goes to tokens that are not shown. With ``term`` it is the
        softmax of that term of the logits alone. A query whose every token is masked has a row of NaN, as in the
        module itself.

        Raises: ChoiceError for an index out of range or a term that is not there; CaptureError if inputs or weights
        changed since.
        """
        return self._rows_of(*self._chosen(queries, heads), term)

    def logits(
        self,
        queries: int | Sequence[int] | None = None,
        heads: int | Sequence[int] | None = None,
        *,
        term: str = "",
    ) -> Float[Tensor, "batch heads queries tokens"]:
        """Scaled products of query and key, before mask and softmax; those of all ``terms`` add up to them.

        Raises: as ``map``.
        """
        return self._products(*self._chosen(queries, heads), term)[..., self._shown]

    def columns(
        self, tokens: int | Sequence[int], heads: int | Sequence[int] | None = None, *, term: str = ""
    ) -> Float[Tensor, "batch heads queries tokens"]:
        """How much every query gives to each chosen token: columns of the full map.

        Raises: as ``map``.
        """
        wanted = checked(tokens, self.tokens, "token")
        chosen = checked(heads, self.heads, "head")
        step = max(1, _COLUMN_CHUNK_VALUES // max(1, self.batch * len(chosen) * self.call.key.shape[2]))
        parts = [
            self._rows_of(slice(start, start + step), chosen, term)[..., wanted]
            for start in range(0, max(1, self.queries), step)
        ]
        return torch.cat(parts, dim=2)

    def picture(self, index: int) -> "DenseRecord":
        """The record of one picture of the batch alone: its batch axis is 1. Computes nothing yet."""
        return _PictureRecord(self, index)

    def _chosen(
        self, queries: int | Sequence[int] | None, heads: int | Sequence[int] | None
    ) -> tuple[slice | list[int], slice | list[int]]:
        rows = checked(queries, self.queries, "query")
        chosen = checked(heads, self.heads, "head")
        return slice(None) if queries is None else rows, slice(None) if heads is None else chosen

    def _products(self, rows: slice | list[int], heads: slice | list[int], term: str) -> Tensor:
        call, part = self.call, self._part(term)
        with torch.no_grad():
            query = call.query[:, heads][:, :, rows][..., part] * call.scale
            return query @ call.key[:, heads][..., part].transpose(2, 3)

    def _rows_of(self, rows: slice | list[int], heads: slice | list[int], term: str) -> Tensor:
        mask = self.call.mask
        logits = self._products(rows, heads, term)
        if mask is not None:
            mask = mask if mask.shape[1] == 1 else mask[:, heads]
            logits += mask if mask.shape[2] == 1 else mask[:, :, rows]
        return logits.softmax(dim=-1)[..., self._shown]

    def _part(self, term: str) -> slice:
        if not term:
            return slice(None)
        if term not in self.call.terms:
            own = ", ".join(self.call.terms)
            there = f"terms here are {own}" if own else f"the logits of {self._class} are of one piece; leave term out"
            raise ChoiceError(f"no term {term!r}: {there}")
        return self.call.terms[term]


class _PictureRecord(DenseRecord):
    """One picture out of a batch's record, whose projections are computed once for all."""

    def __init__(self, whole: DenseRecord, index: int) -> None:
        self._whole = whole
        self._index = index
        self._kept = whole._kept
        self._read = whole._read

    @cached_property
    def call(self) -> AttentionCall:
        call, own = self._whole.call, self._own
        mask = call.mask if call.mask is None or call.mask.shape[0] == 1 else call.mask[own]
        value = call.value if call.value is None else call.value[own]
        return replace(call, query=call.query[own], key=call.key[own], mask=mask, value=value)

    @cached_property
    def inputs(self) -> Inputs:
        return Inputs(*(x[self._own] for x in self._whole.inputs))

    def project(self, x: Tensor, part: Part, *, bias: bool = True) -> Float[Tensor, "batch heads tokens dim"]:
        return self._whole.project(x, part, bias=bias)

    @cached_property
    def _written(self) -> Written:
        values, out = self._whole._written
        return Written(values[self._own], out)

    @property
    def _own(self) -> list[int]:
        return checked(self._index, self._whole.batch, "picture")

    @property
    def nbytes(self) -> int:
        return self._whole.nbytes // self._whole.batch


_AFTER_ATTENTION = frozenset({"linear1", "linear2", "norm2"})
_FOR_VALUES = frozenset({"out_proj", "v_proj_weight", "bias_v"})
