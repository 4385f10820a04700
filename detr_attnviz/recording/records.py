"""What one site saw in one forward, and its maps, computed when asked.

A record keeps the inputs of the call; maps are ``softmax(q kᵀ / √dim + masks)`` of the split projections, so
none of the ``queries × tokens`` weights exist until somebody wants them. Dropout is never part of a map.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from detr_attnviz.errors import CaptureError, ChoiceError
from detr_attnviz.recording.multihead import read_multihead
from detr_attnviz.sites import AttentionCall, Reader

_COLUMN_CHUNK_VALUES = 16_000_000  # 64 MB of float32 while columns are gathered


def checked(indices: Sequence[int] | None, size: int, what: str) -> list[int]:
    """``indices`` as a list, all of ``range(size)`` for None.

    Raises: ChoiceError naming the valid range.
    """
    chosen = list(range(size)) if indices is None else [int(index) for index in indices]
    wrong = [index for index in chosen if not 0 <= index < size]
    if wrong:
        raise ChoiceError(f"no {what} {wrong[0]}: {what} must be in 0–{size - 1}")
    return chosen


def _version(tensor: Tensor) -> int | None:
    return None if tensor.is_inference() else tensor._version


@dataclass(frozen=True)
class _Watch:
    """A tensor that must stay as it was for a map to be true."""

    tensor: Tensor
    version: int | None
    what: str

    def check(self) -> None:
        if _version(self.tensor) != self.version:
            raise CaptureError(
                f"{self.what} changed in place after the forward that was captured: ask for maps before the "
                "change (before the optimizer's step), or capture with copy=True"
            )


class DenseRecord:
    """One call of dense attention.

    ``read`` turns the module and what went in into an ``AttentionCall``; by default the module is an
    ``nn.MultiheadAttention``. Tensors are detached; with ``copy`` they are cloned as well, so that a model
    that changes its activations in place cannot change the record.
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
        held: dict[int, Tensor] = {}
        keep = _keeper(held, copy)
        self._module = module
        self._args = tuple(keep(value) for value in args)
        self._kwargs = {name: keep(value) for name, value in kwargs.items()}
        self._read = read or read_multihead
        self._autocast = _autocast_dtype(args, kwargs)
        inputs = [_Watch(tensor, _version(tensor), "a tensor that went into attention") for tensor in held.values()]
        weights = [_Watch(weight, _version(weight), "the weights of attention") for weight in module.parameters()]
        self._watched = (*inputs, *weights)

    @cached_property
    def call(self) -> AttentionCall:
        """Projected query and key, scale and mask, in float32 or wider."""
        for watch in self._watched:
            watch.check()
        with torch.no_grad(), _same_autocast(self._autocast):
            call = self._read(self._module, self._args, self._kwargs)
        dtype = torch.promote_types(call.query.dtype, torch.float32)
        mask = None if call.mask is None else call.mask.to(dtype)
        return AttentionCall(call.query.to(dtype), call.key.to(dtype), call.scale, mask)

    @property
    def batch(self) -> int:
        return self.call.query.shape[0]

    @property
    def heads(self) -> int:
        return self.call.query.shape[1]

    @property
    def queries(self) -> int:
        return self.call.query.shape[2]

    @property
    def tokens(self) -> int:
        return self.call.key.shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes of the tensors that the record holds on to, each counted once."""
        held = {id(watch.tensor): watch.tensor for watch in self._watched if "went into" in watch.what}
        return sum(tensor.nbytes for tensor in held.values())

    def map(
        self, queries: Sequence[int] | None = None, heads: Sequence[int] | None = None
    ) -> Float[Tensor, "batch heads queries tokens"]:
        """Attention of the chosen queries (all by default) in the chosen heads; each row sums to 1.

        A query whose every token is masked has a row of NaN, as in the module itself.

        Raises: ChoiceError for an index out of range; CaptureError if inputs or weights changed since.
        """
        rows = checked(queries, self.queries, "query")
        chosen = checked(heads, self.heads, "head")
        return self._weights(slice(None) if queries is None else rows, slice(None) if heads is None else chosen)

    def columns(
        self, tokens: Sequence[int], heads: Sequence[int] | None = None
    ) -> Float[Tensor, "batch heads queries tokens"]:
        """How much every query gives to each chosen token: columns of the full map.

        Raises: ChoiceError for an index out of range.
        """
        wanted = checked(tokens, self.tokens, "token")
        chosen = checked(heads, self.heads, "head")
        step = max(1, _COLUMN_CHUNK_VALUES // (self.batch * len(chosen) * self.tokens))
        parts = [
            self._weights(slice(start, start + step), chosen)[..., wanted] for start in range(0, self.queries, step)
        ]
        return torch.cat(parts, dim=2)

    def _weights(self, rows: slice | list[int], heads: slice | list[int]) -> Tensor:
        call = self.call
        with torch.no_grad():
            query = call.query[:, heads][:, :, rows] * call.scale
            logits = query @ call.key[:, heads].transpose(2, 3)
            if call.mask is not None:
                mask = call.mask if call.mask.shape[1] == 1 else call.mask[:, heads]
                logits += mask if mask.shape[2] == 1 else mask[:, :, rows]
            return logits.softmax(dim=-1)


def _keeper(held: dict[int, Tensor], copy: bool) -> Callable[[Any], Any]:
    def keep(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if id(value) not in held:
            held[id(value)] = value.detach().clone() if copy else value.detach()
        return held[id(value)]

    return keep


def _autocast_dtype(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[str, torch.dtype] | None:
    tensor = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)
    if tensor is None or not torch.is_autocast_enabled(tensor.device.type):
        return None
    return tensor.device.type, torch.get_autocast_dtype(tensor.device.type)


def _same_autocast(autocast: tuple[str, torch.dtype] | None) -> torch.autocast:
    device, dtype = autocast or ("cpu", torch.bfloat16)
    return torch.autocast(device, dtype=dtype, enabled=autocast is not None)
