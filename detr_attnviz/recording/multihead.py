"""Reads a call of ``nn.MultiheadAttention``: whatever its options, as projected heads, scale and one mask.

Follows torch.nn.functional.multi_head_attention_forward step by step, up to the softmax; and, when asked, from the
weights on to what is written. A call of ``nn.TransformerEncoderLayer`` is read as that of the attention inside, which
its fused path skips.
"""

import math
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detr_attnviz.checkpoints.packed import per_head_out, projections_of
from detr_attnviz.errors import CaptureError
from detr_attnviz.sites import AttentionCall

_FORWARD = signature(nn.MultiheadAttention.forward)
_LAYER_FORWARD = signature(nn.TransformerEncoderLayer.forward)

Part = Literal["q", "k", "v"]


class Written(NamedTuple):
    """What the weights mix, ``values [batch heads tokens dim]``, and how heads write it, ``out [heads dim width]``."""

    values: Tensor
    out: Tensor


class Inputs(NamedTuple):
    """What went into attention, each ``[batch tokens width]``."""

    query: Tensor
    key: Tensor
    value: Tensor


def read_multihead(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AttentionCall:
    """The call ``module(*args, **kwargs)`` of an ``nn.MultiheadAttention``.

    The batch axis is 1 for unbatched input. ``add_bias_kv`` and ``add_zero_attn`` each add a token at the
    end, as they do in the module's own weights. Nested tensors are padded, and their padding masked; queries that
    are padding have rows all the same, which mean nothing.
    """
    attention, args, kwargs = _as_multihead(module, args, kwargs)
    options = arguments_of(args, kwargs)
    query, _ = _batch_first(options["query"], attention.batch_first)
    key, key_padding = _batch_first(options["key"], attention.batch_first)
    query_heads, key_heads = _project(attention, query, key)
    is_only_hint = options["is_causal"] and options["key_padding_mask"] is None and not options["need_weights"]
    masks = [
        None if is_only_hint else _attention_mask(options["attn_mask"], query_heads),
        _padding_mask(options["key_padding_mask"], query_heads),
        _padding_mask(key_padding, query_heads),
    ]
    key_heads, added = _extend(attention, key_heads, attention.bias_k)
    mask = _merge([None if mask is None else F.pad(mask, (0, added)) for mask in masks])
    if is_only_hint:
        # The fused path then ignores the mask's values and trusts the hint, over added tokens as well.
        future = torch.ones(query_heads.shape[2], key_heads.shape[2], dtype=torch.bool, device=query.device).triu(1)
        mask = _additive(future, query_heads)[None, None]
    return AttentionCall(query_heads, key_heads, math.sqrt(1.0 / query_heads.shape[-1]), mask)


def arguments_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call of ``nn.MultiheadAttention`` by name, defaults filled in.

    Raises: CaptureError when they are not such arguments.
    """
    try:
        call = _FORWARD.bind(None, *args, **kwargs)
    except TypeError as error:
        raise CaptureError(
            f"a call cannot be read as nn.MultiheadAttention's ({error}): capture(…, readers={{ItsClass: read}}) "
            "with a reader of one's own"
        ) from None
    call.apply_defaults()
    return {name: value for name, value in call.arguments.items() if name != "self"}


def only_as_value(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int | None:
    """The ``id`` of the tensor that is given as value and as nothing else: maps do not depend on it."""
    if isinstance(module, nn.TransformerEncoderLayer):
        return None
    value = kwargs["value"] if "value" in kwargs else args[2] if len(args) > 2 else None
    others = (*args[:2], *args[3:], *(given for name, given in kwargs.items() if name != "value"))
    return None if value is None or any(given is value for given in others) else id(value)


def read_inputs(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Inputs:
    """What the call worked on before any projection, batch first."""
    attention, args, kwargs = _as_multihead(module, args, kwargs)
    options = arguments_of(args, kwargs)
    return Inputs(*(_batch_first(options[name], attention.batch_first)[0] for name in ("query", "key", "value")))


def read_written(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Written:
    """What the call's weights mix, with what ``add_bias_kv`` and ``add_zero_attn`` add, and how it is written."""
    attention, _, _ = _as_multihead(module, args, kwargs)
    values = project(module, read_inputs(module, args, kwargs).value, "v")
    return Written(
        _extend(attention, values, attention.bias_v)[0],
        per_head_out(attention.out_proj.weight, attention.num_heads).transpose(1, 2),
    )


def project(module: nn.Module, x: Tensor, part: Part, bias: bool = True) -> Tensor:
    """``x [batch tokens width]`` through Wq, Wk or Wv, with or without its bias: ``[batch heads tokens dim]``."""
    attention = module.self_attn if isinstance(module, nn.TransformerEncoderLayer) else module
    parts = projections_of(cast(nn.MultiheadAttention, attention))
    number = "qkv".index(part)
    weight = parts.weights[number]
    projected = F.linear(x.to(weight.dtype), weight, parts[3 + number] if bias else None)
    return projected.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)  # type: ignore[no-any-return]


def _as_multihead(
    module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[nn.MultiheadAttention, tuple[Any, ...], Mapping[str, Any]]:
    if not isinstance(module, nn.TransformerEncoderLayer):
        return cast(nn.MultiheadAttention, module), args, kwargs
    options = _LAYER_FORWARD.bind(module, *args, **kwargs).arguments
    x = options["src"]
    x = module.norm1(x) if module.norm_first else x
    masks = {"attn_mask": options.get("src_mask"), "key_padding_mask": options.get("src_key_padding_mask")}
    return module.self_attn, (x, x, x), masks


def _batch_first(x: Tensor, is_batch_first: bool) -> tuple[Tensor, Tensor | None]:
    if x.is_nested:
        lengths = torch.tensor([part.shape[0] for part in x.unbind()], device=x.device)
        padded = torch.nested.to_padded_tensor(x, 0.0)
        return padded, torch.arange(padded.shape[1], device=x.device)[None] >= lengths[:, None]
    if x.dim() == 2:
        return x[None], None
    return (x if is_batch_first else x.transpose(0, 1)), None


def _project(attention: nn.MultiheadAttention, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    if getattr(attention, "computes_multihead", False):
        project = cast(Callable[[Tensor, int], Tensor], attention.project)
        projected = project(query, 0), project(key, 1)
    else:
        parts = projections_of(attention)
        projected = F.linear(query, parts.q_weight, parts.q_bias), F.linear(key, parts.k_weight, parts.k_bias)
    queries, keys = (x.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for x in projected)
    return queries, keys


def _extend(attention: nn.MultiheadAttention, x: Tensor, bias: Tensor | None) -> tuple[Tensor, int]:
    """Keys or values with what the module's options add at their end, and how many tokens that is."""
    batch, heads, tokens, dim = x.shape
    if bias is not None:
        x = torch.cat((x, bias.detach().to(x).view(1, heads, 1, dim).expand(batch, -1, -1, -1)), dim=2)
    if attention.add_zero_attn:
        x = torch.cat((x, x.new_zeros(batch, heads, 1, dim)), dim=2)
    return x, x.shape[2] - tokens


def _attention_mask(mask: Tensor | None, query: Tensor) -> Tensor | None:
    if mask is None:
        return None
    mask = _additive(mask, query)
    return mask[None, None] if mask.dim() == 2 else mask.unflatten(0, (query.shape[0], query.shape[1]))


def _padding_mask(mask: Tensor | None, query: Tensor) -> Tensor | None:
    if mask is None:
        return None
    mask = mask[None] if mask.dim() == 1 else mask
    return _additive(mask, query)[:, None, None, :]


def _additive(mask: Tensor, like: Tensor) -> Tensor:
    mask = mask.to(like.device)
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill_(mask, -math.inf)


def _merge(masks: list[Tensor | None]) -> Tensor | None:
    present = [mask for mask in masks if mask is not None]
    return sum(present[1:], present[0]) if present else None
