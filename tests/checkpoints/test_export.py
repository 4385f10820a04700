"""Split weights come back from every format with the same values and types."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from detr_attnviz.checkpoints.attention import find_attention
from detr_attnviz.checkpoints.export import export, named_parts
from detr_attnviz.checkpoints.read import read
from detr_attnviz.errors import OutputError
from tests.checkpoints.states import transformer_state

CROSS = "transformer.decoder.layers.1.multihead_attn"


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".npz"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_export_then_read_is_bit_exact(tmp_path: Path, suffix: str, dtype: torch.dtype) -> None:
    state = {key: tensor.to(dtype) for key, tensor in transformer_state().items()}
    modules = find_attention(state)
    path = tmp_path / f"split{suffix}"
    assert export(path, modules) == 5 * 8
    if suffix == ".npz":
        with np.load(path) as arrays:
            found = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    else:
        found = read(path).tensors
    expected = named_parts(modules)
    assert found.keys() == expected.keys()
    assert all(found[name].dtype == dtype and torch.equal(found[name], expected[name]) for name in expected)
    assert torch.equal(found[f"{CROSS}.k_weight"], state[f"{CROSS}.in_proj_weight"][32:64])
    assert list(tmp_path.iterdir()) == [path]


def test_bfloat16_becomes_float32_in_npz_and_stays_elsewhere(tmp_path: Path) -> None:
    modules = find_attention(dict(nn.MultiheadAttention(4, 2, dtype=torch.bfloat16).state_dict()))
    export(tmp_path / "x.npz", modules)
    export(tmp_path / "x.safetensors", modules)
    with np.load(tmp_path / "x.npz") as arrays:
        assert torch.equal(torch.from_numpy(arrays["q_weight"]), modules[0].q_weight.float())
    assert load_file(tmp_path / "x.safetensors")["q_weight"].dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["x.txt", "x", "x.npy"])
def test_other_suffix_names_those_that_work(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"use \.safetensors, \.npz, \.pth"):
        export(tmp_path / name, ())
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write|cannot be written"):
        export(tmp_path / "none" / "x.npz", ())
