"""A rehearsal finds in honest files what torch then reads."""

import argparse
import io
import pickle
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import torch
from torch import nn

from detr_attnviz.checkpoints.rehearsal import rehearse
from detr_attnviz.checkpoints.stream import rehearse_stream
from tests.checkpoints.states import official_state


def content_of(form: str, folder: Path, content: Any) -> Any:
    """The rehearsal of what torch.save wrote."""
    torch.save(content, folder / "x.pth", _use_new_zipfile_serialization=form == "zip")
    if form == "legacy":
        return rehearse_stream(folder / "x.pth")[3]
    with zipfile.ZipFile(folder / "x.pth") as archive:
        return rehearse(io.BytesIO(archive.read("x/data.pkl")))


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_storages_and_sizes_are_those_of_the_tensors(form: str, tmp_path: Path) -> None:
    state: dict[str, Any] = dict(official_state())
    state |= {
        "part": state["query_embed.weight"][2:5, ::3],
        "turned": state["query_embed.weight"].T,
        "one": torch.tensor(3),
    }
    state |= {
        "none": torch.ones(0, 3),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "weight": nn.Parameter(torch.ones(2)),
    }
    found = content_of(form, tmp_path, {"model": state, "epoch": 3})
    assert (found.asked, found.trouble) == ((), "")
    assert found.tensor_bytes == sum(value.numel() * value.element_size() for value in state.values())
    expected = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in state.values()}
    assert sum(storage.size_bytes for storage in found.storages.values()) == sum(expected.values())


@pytest.mark.parametrize("form", ["zip", "legacy"])
@pytest.mark.parametrize(
    "beside",
    [
        argparse.Namespace(nheads=8, output_dir=PurePosixPath("/runs"), lr=1e-4, betas=(0.9, 0.999), names=["a", "b"]),
        {"set": {1, 2}, "bytes": b"abc", "array": bytearray(b"abc"), "complex": 1j, "none": None, "long": 1 << 80},
        {"device": torch.device("cuda:1"), "size": torch.Size([2, 3]), "dtype": torch.float64},
        torch.optim.lr_scheduler.MultiStepLR(torch.optim.SGD([nn.Parameter(torch.ones(1))]), [3, 4]).state_dict(),
        torch.optim.AdamW([nn.Parameter(torch.ones(1))]).state_dict(),
        nn.Linear(2, 3).state_dict(),
    ],
)
def test_what_training_scripts_save_asks_for_nothing(form: str, beside: object, tmp_path: Path) -> None:
    found = content_of(form, tmp_path, {"model": official_state(), "beside": beside})
    assert (found.asked, found.trouble) == ((), "")


def test_float8_lies_in_a_storage_without_a_kind(tmp_path: Path) -> None:
    found = content_of(
        "zip", tmp_path, {"a": torch.ones(6).to(torch.float8_e4m3fn), "b": torch.ones(3, dtype=torch.uint16)}
    )
    assert (found.asked, found.trouble, found.tensor_bytes) == ((), "", 12)


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_of_every_protocol_comes_out_as_it_is(protocol: int) -> None:
    content = [1, -5, 1 << 40, True, False, None, 2.5, "text", ("a", ("b", 3)), ["c", ["d"]], ()]
    file = io.BytesIO(pickle.dumps(content, protocol=protocol) + b"behind")
    found = rehearse(file)
    assert (found.trouble, found.asked, found.result) == ("", (), content)
    assert file.read() == b"behind"
