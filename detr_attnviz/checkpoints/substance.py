"""Whether tensors have what their shapes promise: numbers of their own, one beside the other, and as many as they say.

A pickle may hold tensors without numbers, in sparse or other special layouts, or a terabyte that repeats one number.
Whatever copies such tensors, as a model does, must refuse them first.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from detr_attnviz.errors import CheckpointError, few

SPARE_BYTES = 500 << 20
"""What tensors may claim beyond twice the bytes that they have: small ones are often views of each other."""


def refuse_hollow(tensors: Mapping[str, Tensor], before: str = "") -> None:
    """Raise for tensors that are not plain, or that claim far more numbers than there are.

    ``before`` stands before the message: where no caller puts the file's name there.

    Raises:
        CheckpointError: naming them.
    """
    special = [f"{name} ({kind})" for name, tensor in tensors.items() if (kind := _special(tensor))]
    if special:
        raise CheckpointError(
            f"{before}tensors that are no plain numbers: {few(sorted(special), 4)}; where it was made, save them "
            "as dense tensors on the CPU"
        )
    held = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors.values()}
    claimed, there = sum(map(_claimed_bytes, tensors.values())), sum(held.values())
    if claimed > 2 * there + SPARE_BYTES:
        largest = max(tensors, key=lambda name: _claimed_bytes(tensors[name]))
        raise CheckpointError(
            f"{before}tensors claim {claimed / 1e9:,.1f} GB but hold {there / 1e9:,.3f} GB: {largest} "
            f"{list(tensors[largest].shape)} repeats its numbers; where it was made, save tensor.contiguous()"
        )


def _special(tensor: Tensor) -> str:
    """What makes a tensor other than plain numbers, empty if nothing does."""
    if tensor.is_nested:
        return "nested"
    if tensor.layout != torch.strided:
        return "sparse"
    if tensor.is_quantized:
        return "quantized"
    if tensor.is_meta:
        return "without values"
    return ""


def _claimed_bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
