"""What transformers' models themselves say of their attention, arranged as the sites' maps are."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from detr_attnviz.families.hf_dense import dense_sites
from detr_attnviz.recording.hooks import Records, record
from detr_attnviz.sites import AttentionSite
from tests.hf import tiny_sampled
from tests.hf.tiny_dense import FAMILIES, WITH_MASK

EVERY = (*FAMILIES, *tiny_sampled.FAMILIES)
WINDOWED = ("lw_detr", "rf_detr")


def eager(model: nn.Module) -> nn.Module:
    if cast(Any, model.config)._attn_implementation != "eager":
        cast(Any, model).set_attn_implementation("eager")
    return model


def recorded(model: nn.Module, inputs: Mapping[str, Tensor], **options: Any) -> tuple[Records, Any]:
    with torch.no_grad(), record(dense_sites(model)) as records:
        output = model(**inputs, **options)
    return records, output


def caller_of(site: AttentionSite) -> nn.Module:
    return site.module._modules.get("attention") or site.module


def returned(model: nn.Module, inputs: Mapping[str, Tensor], part: int = 1) -> dict[str, Tensor]:
    """What every site's attention module returned in an eager forward: its output (part 0) or its weights (1)."""
    found: dict[str, Tensor] = {}
    handles = []
    for site in dense_sites(model):
        module = caller_of(site) if part == 1 else site.module

        def keep(module: nn.Module, args: object, output: Any, name: str = site.name) -> None:
            found[name] = output[part] if isinstance(output, tuple) else output

        handles.append(module.register_forward_hook(keep))
    with torch.no_grad():
        eager(model)(**inputs, output_attentions=True)
    for handle in handles:
        handle.remove()
    return found


def with_mask(model_type: str, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The second picture ends before the canvas does, where the family can be told."""
    if model_type in (*WITH_MASK, *tiny_sampled.WITH_MASK):
        inputs["pixel_mask"] = torch.ones_like(inputs["pixel_values"][:, 0], dtype=torch.long)
        inputs["pixel_mask"][1, :, 64:] = 0
    return inputs


def in_one_picture(weights: Tensor, model_type: str, name: str) -> Tensor:
    """Weights as a module returned them, arranged as the site's map: what is shown, windows put together."""
    room, _, kind = name.split(".")
    if model_type == "yolos":
        parts = {"encoder": slice(1, -6), "decoder": slice(-6, None)}
        return weights[:, :, parts[room], parts["encoder" if kind == "cross" else room]]
    if model_type not in WINDOWED or room == "decoder":
        return weights
    return assembled(weights, class_tokens=1 if model_type == "rf_detr" else 0)


def assembled(weights: Tensor, class_tokens: int, rows: int = 8, cols: int = 8, side: int = 2) -> Tensor:
    """Maps of all cells to all cells out of ``side × side`` windows' maps, or of one map in windows' order."""
    places = [place_in_windows(row, col, rows, cols, side) for row in range(rows) for col in range(cols)]
    tokens = rows * cols // side**2 + class_tokens
    is_global = weights.shape[-1] == side**2 * tokens
    batch = weights.shape[0] if is_global else weights.shape[0] // side**2
    found = weights.new_zeros(batch, weights.shape[1], rows * cols, rows * cols)
    for query, (window, at) in enumerate(places):
        for cell, (other, place) in enumerate(places):
            if is_global:
                own, key = window * tokens + class_tokens + at, other * tokens + class_tokens + place
                found[:, :, query, cell] = weights[:, :, own, key]
            elif window == other:
                found[:, :, query, cell] = weights[window :: side**2, :, class_tokens + at, class_tokens + place]
    return found


def place_in_windows(row: int, col: int, rows: int, cols: int, side: int) -> tuple[int, int]:
    high, wide = rows // side, cols // side
    return row // high * side + col // wide, row % high * wide + col % wide


def rows_in_one_picture(written: Tensor, model_type: str, name: str) -> Tensor:
    room, _, _ = name.split(".")
    if model_type == "yolos":
        return written[:, 1:-6] if room == "encoder" else written[:, -6:]
    if model_type not in WINDOWED or room == "decoder":
        return written
    classes = 1 if model_type == "rf_detr" else 0
    windows = written.reshape(2, 4, -1, written.shape[-1])[:, :, classes:]
    places = [place_in_windows(row, col, 8, 8, 2) for row in range(8) for col in range(8)]
    return torch.stack([windows[:, window, at] for window, at in places], dim=1)
