"""Split weights come back from every format with the same values and types."""

import os
import stat
import subprocess
import sys
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

SUFFIXES = (".safetensors", ".pth", ".npz")
CROSS = "transformer.decoder.layers.1.multihead_attn"


@pytest.mark.parametrize("suffix", SUFFIXES)
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


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_folder_that_is_not_there(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(OutputError, match="cannot write .*none does not exist; make it first"):
        export(tmp_path / "none" / f"x{suffix}", find_attention(transformer_state()))


@pytest.mark.skipif(sys.platform == "win32", reason="no limits, no modes")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    code = (
        "import resource, sys, torch\n"
        "from detr_attnviz.checkpoints.attention import find_attention\n"
        "from detr_attnviz.checkpoints.export import export\n"
        "from detr_attnviz.errors import OutputError\n"
        "modules = find_attention({'in_proj_weight': torch.zeros(768, 256)})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "try:\n    export(sys.argv[1], modules)\nexcept OutputError as error:\n    print(error)\n"
    )
    goal = tmp_path / f"x{suffix}"
    ran = subprocess.run([sys.executable, "-c", code, str(goal)], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"cannot write {goal}: " in ran.stdout
    assert "file too large" in ran.stdout.lower()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no modes")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_others_may_read_the_file_if_the_umask_lets_them(tmp_path: Path, suffix: str) -> None:
    before = os.umask(0o022)
    try:
        export(tmp_path / f"x{suffix}", find_attention(transformer_state()))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / f"x{suffix}").stat().st_mode) == 0o644
