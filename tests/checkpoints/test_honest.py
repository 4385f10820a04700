"""What honest files hold loads, however odd: a wall that keeps owners out protects nobody."""

import collections
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from detr_attnviz.checkpoints.read import read
from detr_attnviz.errors import CheckpointError, UnsafeCheckpointError
from tests.checkpoints.assembled import as_zip, call, name, number, pickled, row, table, tensor, text

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.float16)}


def assert_state(found: dict[str, torch.Tensor]) -> None:
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[name], STATE[name]) for name in STATE)


@pytest.fixture(params=["zip", "legacy"])
def save(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Path]:
    """Writes with torch.save in both of its formats."""

    def write(content: Any) -> Path:
        torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=request.param == "zip")
        return tmp_path / "x.pth"

    return write


def stirred() -> nn.Parameter:
    parameter = nn.Parameter(torch.ones(2))
    parameter._is_initialized = True  # type: ignore[attr-defined]
    return parameter


@pytest.mark.parametrize(
    "beside",
    {
        "expanded": torch.zeros(1).expand(256),
        "windows": torch.arange(10.0).unfold(0, 4, 1),
        "a part at the end": torch.arange(10.0)[10:],
        "a tensor with attributes": stirred(),
        "long whole numbers": list(range(1 << 62, (1 << 62) + 1500)),
        "keys of pairs": {(1, 2): "a", ("a", ("b", 3)): torch.ones(1)},
        "an ordered dictionary": collections.OrderedDict([("a", 1)]),
        "a counter": collections.Counter("abca"),
        "random states": [torch.get_rng_state(), random.getstate()],
        "a large list": [float(number) for number in range(100_000)],
    }.items(),
    ids=lambda item: item[0],
)
def test_what_honest_training_scripts_save_too(save: Callable[..., Path], beside: tuple[str, Any]) -> None:
    assert_state(read(save({"model": STATE, "beside": beside[1]})).tensors)


FLOATS_OF_A_BYTE = (torch.float8_e4m3fn, torch.float8_e5m2)


@pytest.mark.parametrize("dtype", [*FLOATS_OF_A_BYTE, torch.bfloat16, torch.uint16, torch.bool])
def test_numbers_of_every_kind(tmp_path: Path, dtype: torch.dtype) -> None:
    state = {"a": torch.ones(3).to(dtype)}
    torch.save(state, tmp_path / "x.pth")
    found = read(tmp_path / "x.pth")
    assert found.tensors["a"].dtype == dtype
    assert found.notes == ()
    if dtype in FLOATS_OF_A_BYTE:
        save_file(state, tmp_path / "x.safetensors")
        assert read(tmp_path / "x.safetensors").tensors["a"].dtype == dtype


def test_expanded_tensors_are_weights_like_others(save: Callable[..., Path]) -> None:
    (tensor,) = read(save({"model": {"a": torch.full((1,), 3.0).expand(4, 5)}})).tensors.values()
    assert torch.equal(tensor, torch.full((4, 5), 3.0))


def test_methods_that_a_file_puts_over_its_own_are_not_called(tmp_path: Path) -> None:
    inner = name("collections", "OrderedDict") + row() + b"R(" + text("a") + tensor([6], [1], items=6) + b"u"
    shadowing = table(*(part for method in ("items", "get", "keys") for part in (text(method), number(5)))) + b"b"
    weights = tensor([6], [1], items=6).removeprefix(name("torch._utils", "_rebuild_tensor_v2")).removesuffix(b"R")
    shadowed = call(
        "torch._tensor", "_rebuild_from_type_v2", name("torch._utils", "_rebuild_tensor_v2"), name("torch", "Tensor"),
        weights, table(*(part for method in ("detach", "sum", "numel") for part in (text(method), number(5)))),
    )  # fmt: skip
    as_zip(tmp_path / "x.pth", pickled(table(text("model"), inner + shadowing)), {"0": struct.pack("<6f", *range(6))})
    assert torch.equal(read(tmp_path / "x.pth").tensors["a"], torch.arange(6.0))
    as_zip(tmp_path / "y.pth", pickled(table(text("a"), shadowed)), {"0": struct.pack("<6f", *range(6))})
    assert torch.equal(read(tmp_path / "y.pth").tensors["a"], torch.arange(6.0))


@pytest.mark.filterwarnings("ignore:.*deprecated:UserWarning")
@pytest.mark.parametrize("kind", ["sparse", "quantized", "without values"])
def test_tensors_that_are_no_plain_numbers_are_called_so(save: Callable[..., Path], kind: str) -> None:
    special = {
        "sparse": torch.eye(3).to_sparse(),
        "quantized": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        "without values": torch.empty(2, device="meta"),
    }
    with pytest.raises(CheckpointError, match=rf"no plain numbers \(by .*{kind}.*save them as dense tensors") as caught:
        read(save({"model": STATE | {"c": special[kind]}}))
    assert not isinstance(caught.value, UnsafeCheckpointError)
