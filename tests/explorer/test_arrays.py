import base64
import re

import numpy as np
import pytest
import torch

from detr_attnviz.explorer.arrays import Arrays, as_floats, as_integers, as_shares, largest_part


def test_what_is_added_comes_back_from_its_tag() -> None:
    arrays = Arrays()
    values = np.array([[1.5, -2.0, 3.25]], dtype=np.float32)
    assert arrays.add(values) == {"id": "a0", "dtype": "float32", "shape": [1, 3]}
    (tag,) = arrays.tags()
    found = re.fullmatch(rb'<script type="application/octet-stream" id="a0">(.+)</script>\n', tag)
    assert found is not None
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(found[1]), "<f4"), values[0])


def test_big_endian_and_strided_arrays_are_written_little_endian_and_in_order() -> None:
    arrays = Arrays()
    entry = arrays.add(np.arange(6, dtype=">i2").reshape(2, 3).T)
    assert entry == {"id": "a0", "dtype": "int16", "shape": [3, 2]}
    (tag,) = arrays.tags()
    assert base64.b64encode(np.array([0, 3, 1, 4, 2, 5], "<i2").tobytes()) in tag


def test_the_same_content_is_written_once_and_a_picture_is_no_array() -> None:
    arrays = Arrays()
    first, again = arrays.add(np.arange(4)), arrays.add(np.arange(4).reshape(2, 2))
    assert first["id"] == again["id"] == "a0"
    assert arrays.add(np.arange(5))["id"] == "a1"
    assert arrays.add_file(np.arange(4).tobytes()) == "p0"
    assert len(list(arrays.tags())) == 3


def test_integers_keep_every_dimension_to_half_a_step_of_its_own() -> None:
    values = torch.randn(2, 50, 3) * torch.tensor([1e-3, 1.0, 1e3])
    packed = as_integers(values)
    assert packed.values.dtype == np.int16
    assert packed.scale is not None
    assert packed.scale.shape == (2, 3)
    half_a_step = values.abs().amax(1, keepdim=True) / 32767 * 0.501
    assert bool(((packed.restored - values).abs() <= half_a_step).all())
    np.testing.assert_array_equal(packed.restored, packed.values.astype(np.float32) * packed.scale[:, None])


def test_shares_have_sixteen_bits_above_zero() -> None:
    weights = torch.rand(2, 5, 4).softmax(-1)
    packed = as_shares(weights)
    assert packed.values.dtype == np.uint16
    assert packed.values.max() == 65535
    assert packed.scale is not None
    assert packed.scale.shape == (2,)
    torch.testing.assert_close(packed.restored, weights, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [0.0, 1e-44])
def test_numbers_too_small_to_have_a_step_become_zeros_with_a_scale(size: float) -> None:
    packed = as_integers(torch.full((1, 3, 2), size))
    assert packed.scale is not None
    assert (packed.scale > 0).all()
    assert bool((packed.restored == 0).all())


def test_floats_stay_what_they_are() -> None:
    values = torch.tensor([[[0.1, float("nan"), float("inf")]]], dtype=torch.float64)
    packed = as_floats(values)
    assert packed.scale is None
    np.testing.assert_array_equal(packed.values, values.float().numpy())


def test_a_map_without_numbers_is_only_like_another_without() -> None:
    nan = float("nan")
    assert largest_part(torch.tensor([0.1, nan]), torch.tensor([0.5, nan])) == pytest.approx(0.2)
    assert largest_part(torch.tensor([nan]), torch.tensor([0.5])) == float("inf")
    assert largest_part(torch.tensor([0.0]), torch.tensor([0.0])) == 0


def test_maps_of_nothing_but_the_dregs_of_float32_count_as_zero() -> None:
    assert largest_part(torch.tensor([4e-40]), torch.tensor([8e-40])) == 0
    assert largest_part(torch.tensor([4e-20]), torch.tensor([8e-20])) == 0.5
    assert largest_part(torch.tensor([1e-3]), torch.tensor([8e-40])) > 1


def test_the_same_bytes_of_another_kind_of_number_are_another_array() -> None:
    arrays = Arrays()
    assert arrays.add(np.zeros(4, np.uint16))["id"] != arrays.add(np.zeros(2, np.float32))["id"]
