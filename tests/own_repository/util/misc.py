"""Pictures of several sizes as one tensor and a mask, padded to a multiple of 64 as some forks do."""

from collections.abc import Sequence

import torch
from torch import Tensor


class NestedTensor:
    """``mask`` is True where there is padding."""

    def __init__(self, tensors: Tensor, mask: Tensor) -> None:
        self.tensors = tensors
        self.mask = mask


def nested_tensor_from_tensor_list(pictures: Sequence[Tensor]) -> NestedTensor:
    height, width = (max(-(-picture.shape[axis] // 64) * 64 for picture in pictures) for axis in (1, 2))
    tensors = torch.zeros(len(pictures), 3, height, width)
    mask = torch.ones(len(pictures), height, width, dtype=torch.bool)
    for index, picture in enumerate(pictures):
        tensors[index, :, : picture.shape[1], : picture.shape[2]] = picture
        mask[index, : picture.shape[1], : picture.shape[2]] = False
    return NestedTensor(tensors, mask)
