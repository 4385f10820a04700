"""Finds weights that hold no numbers: NaN or infinity, which every map that they touch would show as nothing."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from detr_attnviz.errors import few


def note_on_broken(tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """A sentence that names every tensor with values that are not finite, and counts them; none if all are."""
    broken = list(_broken(tensors))
    if not broken:
        return ()
    named = few([f"{name}: {count:,} of {tensors[name].numel():,}" for name, count in broken])
    what = "tensor holds" if len(broken) == 1 else "tensors hold"
    return (
        f"{len(broken)} {what} NaN or infinity ({named}): scores, boxes and maps that come by them are no numbers; "
        "get the checkpoint from before its training broke",
    )


def _broken(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, int]]:
    for name, tensor in sorted(tensors.items()):
        if (tensor.is_floating_point() or tensor.is_complex()) and tensor.device.type != "meta":
            if count := _not_finite(tensor):
                yield name, count


def _not_finite(tensor: Tensor) -> int:
    if tensor.element_size() == 1 or tensor.dtype == torch.complex32:  # nothing is added up in these
        try:
            tensor = tensor.to(torch.complex64 if tensor.is_complex() else torch.float32)
        except (RuntimeError, NotImplementedError):  # numbers of four bits, which know no others
            return 0
    # A sum is finite only if all are; one that is not may have been too large, so they are counted.
    return 0 if bool(torch.isfinite(tensor.sum())) else int((~torch.isfinite(tensor)).sum())
