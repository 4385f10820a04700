"""What a preprocess may give, and where the picture in it is."""

from collections import namedtuple
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from detr_attnviz.errors import ChoiceError
from detr_attnviz.families.given import Given

PICTURE = torch.rand(1, 3, 8, 12)
Pair = namedtuple("Pair", "image size")


class Echo(nn.Module):
    """Gives back what it was called with."""

    def forward(self, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, kwargs


@pytest.mark.parametrize(
    ("value", "picture_of"),
    [
        (PICTURE, lambda args, kwargs: args[0]),
        (PICTURE[0], lambda args, kwargs: args[0]),
        ({"size": torch.ones(1, 2), "pixel_values": PICTURE}, lambda args, kwargs: kwargs["pixel_values"]),
        ((torch.ones(2), {"pixels": PICTURE}), lambda args, kwargs: args[1]["pixels"]),
        ([PICTURE[0]], lambda args, kwargs: args[0][0]),
        ([{"image": PICTURE[0], "height": 8}], lambda args, kwargs: args[0][0]["image"]),
        (SimpleNamespace(tensors=PICTURE, mask=torch.zeros(1, 8, 12).bool()), lambda args, kwargs: args[0].tensors),
        ([Pair(PICTURE, (8, 12))], lambda args, kwargs: args[0][0].image),
    ],
)
def test_the_module_is_called_with_what_was_given_but_other_pixels(
    value: Any, picture_of: Callable[[Any, Any], Tensor]
) -> None:
    given = Given.of(value)
    assert torch.equal(given.pixels, PICTURE)
    before = picture_of(*given.call(Echo(), given.pixels))
    after = picture_of(*given.call(Echo(), 2 * PICTURE))
    assert torch.equal(after, 2 * before)


def test_other_objects_reach_the_module_as_they_are() -> None:
    sizes, extra = [(8, 12)], torch.ones(1, 2)
    args, kwargs = Given.of({"pixels": PICTURE, "sizes": sizes, "extra": extra}).call(Echo(), PICTURE)
    assert args == ()
    assert kwargs["sizes"] is sizes
    assert kwargs["extra"] is extra


def test_the_object_that_was_given_is_not_changed() -> None:
    nested = SimpleNamespace(tensors=PICTURE)
    Given.of(nested).call(Echo(), 0 * PICTURE)
    assert nested.tensors is PICTURE


def test_all_tensors_move_together() -> None:
    given = Given.of(SimpleNamespace(tensors=PICTURE, mask=torch.zeros(1, 8, 12).bool()))
    moved = given.to(torch.device("meta"))
    assert moved.picture is moved.value.tensors
    assert moved.value.mask.is_meta
    assert moved.shape == given.shape == (1, 3, 8, 12, 1, 8, 12)
    assert not given.picture.is_meta


@pytest.mark.parametrize(
    "value", [torch.rand(2, 3, 8, 12), torch.rand(8, 12, 3), {"mask": torch.ones(1, 8, 12) > 0}, 7]
)
def test_without_a_picture_the_shapes_are_named(value: Any) -> None:
    with pytest.raises(ChoiceError, match=r"preprocess gave (Tensor|dict|int) with .*: one picture \[1 3 height_px"):
        Given.of(value)


@pytest.mark.parametrize("picture_is", [0, 1])
def test_a_mask_tells_the_picture_from_its_padding(picture_is: int) -> None:
    mask = torch.full((1, 8, 12), 1 - picture_is)
    mask[:, :6, :9] = picture_is
    assert Given.of({"pixel_values": PICTURE, "mask": mask}).size_px == (6, 9)
    assert Given.of((PICTURE, mask.bool())).size_px == (6, 9)
    assert Given.of({"img": PICTURE, "masks": mask.float()}).size_px == (6, 9)
    assert Given.of({"img": PICTURE, "masks": mask[:, None].half()}).size_px == (6, 9)


def test_a_grey_picture_of_zeros_and_ones_is_no_mask() -> None:
    grey = torch.zeros(1, 1, 8, 12)
    grey[..., :3, :3] = 1
    assert Given.of(grey).size_px == (8, 12)


def test_without_a_mask_nothing_is_padding() -> None:
    assert Given.of({"pixel_values": PICTURE, "weights": torch.rand(1, 8, 12)}).size_px == (8, 12)


def test_a_picture_in_the_middle_of_its_padding_is_refused() -> None:
    mask = torch.ones(1, 8, 12, dtype=torch.bool)
    mask[:, 2:6, 3:9] = False
    with pytest.raises(ChoiceError, match="no picture at the top left with padding to the right and below"):
        assert Given.of((PICTURE, mask)).size_px
