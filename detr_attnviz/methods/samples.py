"""The samples behind maps of deformable attention: their places in the picture, and what of them is outside it."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from detr_attnviz.explanation import Samples
from detr_attnviz.grid import Grid
from detr_attnviz.methods.catalogue import head_number
from detr_attnviz.methods.heads import Chosen, sampled_focus
from detr_attnviz.recording.records import DenseRecord
from detr_attnviz.recording.sampled import SampledRecord
from detr_attnviz.trace import Trace

OUTSIDE = "outside the picture"
ON_OTHER_TOKENS = "on other tokens"


def samples_of(trace: Trace, sites: Sequence[str], chosen: Chosen) -> Samples | None:
    """Samples of the queries or points that are meant, of all ``sites`` together; of one level if one was chosen.

    Heads (and layers) that are joined share the weight as they do in the map. None when the sites are not sampled, or
    heads are joined by "max", which no sum of samples can give. References are those of the last site.
    """
    records = [record for record in map(trace.records.__getitem__, sites) if isinstance(record, SampledRecord)]
    if not records or chosen.head == "max":
        return None
    places, weights, levels = [], [], []
    for site, record in zip(sites, records, strict=True):
        rows, heads = chosen.rows(trace, site), chosen.heads or list(range(record.heads))
        shares = _shares_of_heads(record, chosen, rows)[:, :, None] / len(records)
        own = [index for index, level in enumerate(record.call.levels) if chosen.level in (None, level)]
        places.append(_by_query(record.locations[0][heads][:, rows][..., own, :]))
        weights.append(_by_query(record.weights[0][heads][:, rows][..., own] * shares))
        levels += [record.call.levels[index] for index in own] * len(heads)
    reference = records[-1].call.reference[0][chosen.rows(trace, sites[-1])]
    return Samples(
        places=_in_pixels(torch.cat(places, 1), trace.grid),
        weights=torch.cat(weights, 1).cpu().numpy().astype(np.float32),
        levels=tuple(levels),
        strides_px=tuple(grid.stride_px for grid in trace.levels),
        references=_in_pixels(reference, trace.grid),
    )


def rest_of(
    trace: Trace,
    sites: Sequence[str],
    chosen: Chosen,
    maps: Float[Tensor, "chosen *place"],
    samples: Samples | None,
) -> tuple[tuple[float, ...], str]:
    """For each map the share of attention that is not on it, and where that is; nothing when all of it is.

    ``samples`` are those that ``samples_of`` has for the maps.
    """
    records = [trace.records[site] for site in sites]
    if chosen.head == "max" or chosen.direction == "to" or not len(maps):
        return (), ""
    on_map = maps.flatten(1).sum(-1)
    if all(isinstance(record, SampledRecord) for record in records):
        whole = torch.as_tensor(samples.weights.sum(-1)).to(on_map) if samples is not None else on_map
        return tuple((whole - on_map).clamp(min=0).tolist()), OUTSIDE
    if any(isinstance(record, DenseRecord) and record.call.shown is not None for record in records):
        return tuple((1 - on_map).clamp(min=0).tolist()), ON_OTHER_TOKENS
    return (), ""


def _shares_of_heads(
    record: SampledRecord, chosen: Chosen, rows: list[int] | slice
) -> Float[Tensor, "heads chosen_or_one"]:
    """What each head counts: all alike, or the sharp ones more."""
    if chosen.head == "entropy-weighted":
        return sampled_focus(record, rows)
    count = record.heads if head_number(chosen.head) is None else 1
    return record.weights.new_full((count, 1), 1 / count)


def _by_query(values: Float[Tensor, "heads chosen *each"]) -> Float[Tensor, "chosen *each"]:
    return values.transpose(0, 1).flatten(1, 2)


def _in_pixels(places: Float[Tensor, "*any 2"], grid: Grid) -> Float[np.ndarray, "*any 2"]:
    """(x, y) in 0–1 of the padded input as original pixels."""
    height_px, width_px = grid.canvas_px or (grid.input_height_px, grid.input_width_px)
    scale = [width_px / grid.input_width_px * grid.width_px, height_px / grid.input_height_px * grid.height_px]
    return np.asarray(places.cpu().numpy() * np.array(scale), dtype=np.float32)
