"""Calls of dense attention as transformers' attention interface gets them."""

import pytest
import torch
from torch import Tensor, nn

from detr_attnviz.errors import CaptureError
from detr_attnviz.families.hf_calls import read_interface

QUERY = torch.tensor([[[[1.0, 0.0]]]])
KEY = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (None, None),
        (torch.tensor([[[[True, False]]]]), [0.0, -torch.inf]),
        (torch.tensor([[[[0.0, -3.0]]]]), [0.0, -3.0]),
        (torch.tensor([[1, 0]]), [0.0, -torch.inf]),
    ],
)
def test_masks_of_every_implementation_become_additive(mask: Tensor | None, expected: list[float] | None) -> None:
    call = read_interface(nn.Module(), (QUERY, KEY, KEY, mask), {"scaling": 2.0})
    assert (None if call.mask is None else call.mask.flatten().tolist()) == expected
    assert (call.scale, call.out) == (2.0, None)


def test_scale_is_that_of_the_dimension_where_none_is_given() -> None:
    assert read_interface(nn.Module(), (QUERY, KEY, KEY, None), {"scaling": None}).scale == 2**-0.5


def test_mask_that_is_no_tensor_is_refused() -> None:
    with pytest.raises(CaptureError, match=r"masks attention with a list.*attn_implementation='sdpa'"):
        read_interface(nn.Module(), (QUERY, KEY, KEY, [True]), {})
