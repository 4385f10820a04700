"""Relevance as its authors' code computes it on DETR (arXiv 2103.15679), in our words: one query after the other.

Attention is materialised with its graph, every query goes backward once, and R_ii, R_qq and R_qi are whole matrices.
One forward serves all queries and no parameter wants a gradient, which their code leaves undone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.peers.official_model import OfficialDetr

Weights = dict[str, Tensor]


def relevance(model: OfficialDetr, pixels: Tensor, queries: Sequence[int]) -> Tensor:
    """``[queries tokens]``."""
    model.requires_grad_(False)
    with _explicit(model.transformer) as weights:
        logits = model(pixels)["pred_logits"][0]
    best = logits[:, :-1].argmax(-1)
    return torch.stack([_of_one(logits[query, best[query]], weights, query) for query in queries])


def _of_one(score: Tensor, weights: Weights, query: int) -> Tensor:
    gradients = torch.autograd.grad(score, list(weights.values()), retain_graph=True)
    effects = {
        name: (gradient * attention).clamp(min=0).mean(1)[0].detach()
        for (name, attention), gradient in zip(weights.items(), gradients, strict=True)
    }
    first = next(effect for name, effect in effects.items() if name.endswith("multihead_attn"))
    count, tokens = first.shape
    r_ii, r_qq = (torch.eye(size, device=first.device) for size in (tokens, count))
    r_qi = torch.zeros_like(first)
    for name, effect in effects.items():
        if name.startswith("encoder"):
            r_ii = r_ii + effect @ r_ii
        elif name.endswith("self_attn"):
            r_qq, r_qi = r_qq + effect @ r_qq, r_qi + effect @ r_qi
        else:
            r_qi = r_qi + _normalised(r_qq).T @ effect @ _normalised(r_ii)
    return r_qi[query]


def _normalised(r: Tensor) -> Tensor:
    eye = torch.eye(len(r), device=r.device)
    return (r - eye) / (r - eye).sum(-1, keepdim=True) + eye


@contextmanager
def _explicit(transformer: nn.Module) -> Iterator[Weights]:
    """Attention written out while the block runs; its weights in the order of the forward, part of the graph."""
    weights: Weights = {}
    modules = {name: part for name, part in transformer.named_modules() if isinstance(part, nn.MultiheadAttention)}
    for name, module in modules.items():
        module.forward = partial(_attend, module, weights, name)  # type: ignore[method-assign]
    try:
        yield weights
    finally:
        for module in modules.values():
            del module.forward


def _attend(
    module: nn.MultiheadAttention,
    weights: Weights,
    name: str,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None = None,
) -> tuple[Tensor, None]:
    parts = zip((query, key, value), module.in_proj_weight.chunk(3), module.in_proj_bias.chunk(3), strict=True)
    q, k, v = (
        nn.functional.linear(x, weight, bias).unflatten(-1, (module.num_heads, -1)).permute(1, 2, 0, 3)
        for x, weight, bias in parts
    )
    logits = q / module.head_dim**0.5 @ k.mT
    if key_padding_mask is not None:
        logits = logits.masked_fill(key_padding_mask[:, None, None], -torch.inf)
    attention = logits.softmax(-1)
    if not attention.requires_grad:
        attention.requires_grad_()
    weights[name] = attention
    return module.out_proj((attention @ v).permute(2, 0, 1, 3).flatten(2)), None
