"""Reads a call of dense attention in transformers' models: as the interface got it, or from a module's own Linears."""

from collections.abc import Mapping
from dataclasses import replace
from inspect import signature
from typing import Any, cast

import torch
from torch import Tensor, nn

from detr_attnviz.checkpoints.packed import per_head_out
from detr_attnviz.errors import CaptureError
from detr_attnviz.sites import AttentionCall

_OUTPUTS = ("o_proj", "out_proj", "output_proj", "output.dense", "output")


def read_interface(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AttentionCall:
    """A call that ``hf_attention.listen`` heard; ``module`` is the one that holds the output projection.

    Raises: CaptureError for a mask that is no tensor.
    """
    query, key, value, mask = args
    scale = kwargs.get("scaling")
    return AttentionCall(
        query,
        key,
        query.shape[-1] ** -0.5 if scale is None else scale,
        _additive(mask, query),
        value,
        out_of(module, query.shape[1]),
    )


def read_two_terms(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AttentionCall:
    """Cross-attention of Conditional DETR: half of each head's dim compares content, half sine positions.

    In the first layer the content half holds more than content: the query's learned position is added to its side, and
    the tokens' positions to theirs.
    """
    call = read_interface(module, args, kwargs)
    return replace(call, terms=_halves(call.query))


def read_dab_decoder(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AttentionCall:
    """Attention of DAB-DETR's decoder, which gets query, key and value projected already.

    Cross-attention has Conditional DETR's two terms; ``keep_query_pos`` adds positions to the content half of every
    layer, not of the first alone.
    """
    given = _given(module, args, kwargs)
    heads = cast(int, module.attention_heads)
    query, key, value = (_heads(given[name], heads) for name in ("hidden_states", "key_states", "value_states"))
    terms = _halves(query) if query.shape[-1] == 2 * value.shape[-1] else {}
    return AttentionCall(
        query, key, cast(float, module.scaling), given["attention_mask"], value, out_of(module, heads), terms=terms
    )


def read_own_projections(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AttentionCall:
    """Attention of Table Transformer and of DAB-DETR's encoder: positions are added to query and key, not to value."""
    given = _given(module, args, kwargs)
    queries = given["hidden_states"]
    placed = _sum(queries, given["object_queries"])
    tokens = given["key_value_states"]
    keys = placed if tokens is None else _sum(tokens, given.get("spatial_position_embeddings"))
    heads = cast(int, module.num_heads)
    query, key, value = (
        _heads(module.get_submodule(name)(x), heads)
        for name, x in (("q_proj", placed), ("k_proj", keys), ("v_proj", queries if tokens is None else tokens))
    )
    mask = given["attention_mask"]
    return AttentionCall(query, key, cast(float, module.scaling), mask, value, out_of(module, heads))


def read_three_inputs(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AttentionCall:
    """Attention of Grounding DINO's decoder: queries, keys and values come ready and are projected inside."""
    given = _given(module, args, kwargs)
    heads = cast(int, module.num_attention_heads)
    query, key, value = (
        _heads(module.get_submodule(name)(given[inputs]), heads)
        for name, inputs in (("query", "queries"), ("key", "keys"), ("value", "values"))
    )
    return AttentionCall(query, key, query.shape[-1] ** -0.5, given["attention_mask"], value, out_of(module, heads))


def read_hidden(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AttentionCall:
    """Self-attention of a vision transformer, from the one tensor that went in.

    It is a third of what query, key and value take to hold on to, and in these models that is what recording costs.
    """
    given = _given(module, args, kwargs)
    caller = module._modules.get("attention") or module
    parts = caller._modules
    names = ("q_proj", "k_proj", "v_proj") if "q_proj" in parts else ("query", "key", "value")
    heads = cast(int, caller.num_attention_heads)
    query, key, value = (_heads(caller.get_submodule(name)(given["hidden_states"]), heads) for name in names)
    mask = _additive(given.get("attention_mask"), query)
    return AttentionCall(query, key, cast(float, caller.scaling), mask, value, out_of(module, heads))


def out_of(module: nn.Module, heads: int) -> Tensor | None:
    """How each head's result is written, ``[heads dim width]``; None where no plain ``Linear`` writes it."""
    parts = dict(module.named_modules())
    found = next((parts[name] for name in _OUTPUTS if isinstance(parts.get(name), nn.Linear)), None)
    return None if found is None else per_head_out(cast(nn.Linear, found).weight, heads).transpose(1, 2)


def _halves(query: Tensor) -> dict[str, slice]:
    half = query.shape[-1] // 2
    return {"content": slice(0, half), "spatial": slice(half, 2 * half)}


def _given(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    call = signature(type(module).forward).bind(module, *args, **kwargs)
    call.apply_defaults()
    return call.arguments


def _sum(x: Tensor, positions: Tensor | None) -> Tensor:
    return x if positions is None else x + positions


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)  # type: ignore[no-any-return]


def _additive(mask: Any, query: Tensor) -> Tensor | None:
    """sdpa marks what may be seen with True, Flash Attention padding with 0 in ``[batch tokens]``; eager adds."""
    if mask is None:
        return None
    if not isinstance(mask, Tensor):
        raise CaptureError(
            f"the model masks attention with a {type(mask).__name__}, which cannot be read: load it with "
            "attn_implementation='sdpa'"
        )
    seen: Tensor = mask[:, None, None, :].bool() if mask.dim() == 2 else mask
    if seen.dtype != torch.bool:
        return seen.to(query.dtype)
    return torch.zeros_like(seen, dtype=query.dtype).masked_fill_(~seen, -torch.inf)
