"""What one site saw in one forward, and its maps, computed when asked.

A record keeps the inputs of the call; maps are ``softmax(q kᵀ / √dim + masks)`` of the split projections, so
none of the ``queries × tokens`` weights exist until somebody wants them. Dropout is never part of a map.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from detr_attnviz.errors import CaptureError, ChoiceError
from detr_attnviz.recording.held import Held, autocast_of, same_autocast, twin_with
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

_Answer = TypeVar("_Answer")
_COLUMN_CHUNK_VALUES = 16_000_000  # 64 MB of float32 while columns are gathered
_HIDDEN = -1e4  # as good as −inf for a softmax; some code masks with a large number


def checked(indices: int | Sequence[int] | None, size: int, what: str) -> list[int]:
    """``indices`` as a list, all of ``range(size)`` for None.

    Raises: ChoiceError naming the valid range.
    """
    if indices is None:
        return list(range(size))
    chosen = [indices] if isinstance(indices, int) else [int(index) for index in indices]
    wrong = [index for index in chosen if not 0 <= index < size]
    if wrong:
        valid = f"{what} must be in 0–{size - 1}" if size else "there are none here"
        raise ChoiceError(f"no {what} {wrong[0]}: {valid}")
    return chosen


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
        self._inputs: dict[int, Held] = {}
        self._value_only = only_as_value(module, args, kwargs) if read is None else None
        self._args = tuple(self._keep(value, copy) for value in args)
        self._kwargs = {name: self._keep(value, copy) for name, value in kwargs.items()}
        self._parameters = {
            name: Held.of(weight, copy)
            for name, weight in module.named_parameters(remove_duplicate=False)
            if _AFTER_ATTENTION.isdisjoint(name.split("."))
        }
        self._module = module
        self._read = read
        self._autocast = autocast_of(args, kwargs)

    def _keep(self, value: Any, copy: bool) -> Any:
        """The same tensor given twice stays one, as readers may ask whether query *is* key."""
        if not isinstance(value, Tensor):
            return value
        if id(value) not in self._inputs:
            self._inputs[id(value)] = Held.of(value, copy)
        return self._inputs[id(value)].tensor

    @cached_property
    def call(self) -> AttentionCall:
        """Projected query and key, scale and mask, in float32 or wider.

        Raises: CaptureError if inputs or weights were changed in place since and no copies were kept.
        """
        call = self._asked(self._read or read_multihead, self._args, self._kwargs, is_map=self._read is None)
        if call.query.dim() != 4 or call.key.dim() != 4:
            raise CaptureError(
                f"the reader of {type(self._module).__name__} gave query {list(call.query.shape)} and key "
                f"{list(call.key.shape)}: expected [batch heads queries dim] and [batch heads tokens dim]"
            )
        mask, value, out = (None if part is None else _wide(part) for part in (call.mask, call.value, call.out))
        return AttentionCall(_wide(call.query), _wide(call.key), call.scale, mask, value, out)

    @cached_property
    def inputs(self) -> Inputs:
        """Query, key and value as they went in, each ``[batch tokens width]``: positions are already part of them.

        Raises: CaptureError for attention of another class, whose reader gives projected ones only.
        """
        self._check_is_multihead("what went in")
        return Inputs(*map(_wide, self._asked(read_inputs, self._args, self._kwargs)))

    @property
    def values(self) -> Float[Tensor, "batch heads tokens dim"]:
        """What the weights mix: ``Wv x + bv``, head by head.

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
        return _wide(self._asked(project, x, part, bias))

    @cached_property
    def _written(self) -> Written:
        if self._read is None:
            return Written(*map(_wide, self._asked(read_written, self._args, self._kwargs)))
        if self.call.value is None or self.call.out is None:
            raise CaptureError(
                f"the reader of {type(self._module).__name__} does not say what attention carries: let it return "
                "AttentionCall(…, value=[batch heads tokens dim], out=[heads dim width])"
            )
        return Written(self.call.value, self.call.out)

    @cached_property
    def is_seen(self) -> Tensor | None:
        """Where a query may look, of one picture: broadcasts to ``[heads queries tokens]``; None without a mask."""
        return None if self.call.mask is None else self.call.mask[0] > _HIDDEN

    def _check_is_multihead(self, what: str) -> None:
        if self._read is not None:
            raise CaptureError(
                f"{what} can be told of nn.MultiheadAttention only; "
                f"{type(self._module).__name__} has a reader of its own"
            )

    def _asked(self, reader: Callable[..., _Answer], *given: Any, is_map: bool = False) -> _Answer:
        """What ``reader`` makes of the module, as it was at the call, and ``given``.

        Raises: CaptureError if what it needs (a map needs no values) was changed in place since and not copied.
        """
        self._check_unchanged(is_map)
        weights = {name: held.tensor for name, held in self._parameters.items()}
        with torch.no_grad(), same_autocast(self._autocast):
            return reader(twin_with(self._module, weights), *given)

    def _check_unchanged(self, is_map: bool) -> None:
        inputs = [held for key, held in self._inputs.items() if not (is_map and key == self._value_only)]
        weights = [
            held for name, held in self._parameters.items() if not is_map or _FOR_VALUES.isdisjoint(name.split("."))
        ]
        for what, needed in (("what went into attention", inputs), ("its weights", weights)):
            if not all(tensor.is_unchanged for tensor in needed):
                raise CaptureError(
                    f"{what} changed in place after the forward, and no copy was kept: ask for maps before the "
                    "change, or capture with copy=True"
                )

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
        return self.call.key.shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes of the inputs that the record holds on to, each counted once."""
        return sum(held.tensor.nbytes for held in self._inputs.values())

    def map(
        self, queries: int | Sequence[int] | None = None, heads: int | Sequence[int] | None = None
    ) -> Float[Tensor, "batch heads queries tokens"]:
        """Attention of the chosen queries (all by default) in the chosen heads; each row sums to 1.

        A query whose every token is masked has a row of NaN, as in the module itself.

        Raises: ChoiceError for an index out of range; CaptureError if inputs or weights changed since.
        """
        rows = checked(queries, self.queries, "query")
        chosen = checked(heads, self.heads, "head")
        return self._rows_of(slice(None) if queries is None else rows, slice(None) if heads is None else chosen)

    def columns(
        self, tokens: int | Sequence[int], heads: int | Sequence[int] | None = None
    ) -> Float[Tensor, "batch heads queries tokens"]:
        """How much every query gives to each chosen token: columns of the full map.

        Raises: ChoiceError for an index out of range.
        """
        wanted = checked(tokens, self.tokens, "token")
        chosen = checked(heads, self.heads, "head")
        step = max(1, _COLUMN_CHUNK_VALUES // max(1, self.batch * len(chosen) * self.tokens))
        parts = [
            self._rows_of(slice(start, start + step), chosen)[..., wanted]
            for start in range(0, max(1, self.queries), step)
        ]
        return torch.cat(parts, dim=2)

    def picture(self, index: int) -> "DenseRecord":
        """The record of one picture of the batch alone: its batch axis is 1. Computes nothing yet."""
        return _PictureRecord(self, index)

    def _rows_of(self, rows: slice | list[int], heads: slice | list[int]) -> Tensor:
        call = self.call
        with torch.no_grad():
            query = call.query[:, heads][:, :, rows] * call.scale
            logits = query @ call.key[:, heads].transpose(2, 3)
            if call.mask is not None:
                mask = call.mask if call.mask.shape[1] == 1 else call.mask[:, heads]
                logits += mask if mask.shape[2] == 1 else mask[:, :, rows]
            return logits.softmax(dim=-1)


class _PictureRecord(DenseRecord):
    """One picture out of a batch's record, whose projections are computed once for all."""

    def __init__(self, whole: DenseRecord, index: int) -> None:
        self._whole = whole
        self._index = index

    @cached_property
    def call(self) -> AttentionCall:
        call = self._whole.call
        mask = call.mask if call.mask is None or call.mask.shape[0] == 1 else call.mask[self._own]
        value = call.value if call.value is None else call.value[self._own]
        return AttentionCall(call.query[self._own], call.key[self._own], call.scale, mask, value, call.out)

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


def _wide(x: Tensor) -> Tensor:
    """``x`` in float32 or wider."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
