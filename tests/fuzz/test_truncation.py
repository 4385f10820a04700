"""A checkpoint cut off anywhere is refused, and neither it nor a hostile one takes more memory than twice its size."""

import argparse
import io
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from detr_attnviz.checkpoints.read import read
from detr_attnviz.errors import AttnVizError
from tests.fuzz.memory import MOST_BYTES, begin_peak, peak

STEPS = 64


def _written(kind: str) -> bytes:
    state = {f"layer.{number}.weight": torch.rand(64, 1024) for number in range(16)}
    if kind == "safetensors":
        return save(state)
    file = io.BytesIO()
    content = {"model": state, "args": argparse.Namespace(nheads=8), "epoch": 3}
    torch.save(content, file, _use_new_zipfile_serialization=kind == "zip")
    return file.getvalue()


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_a_file_cut_at_every_64th_is_refused(tmp_path: Path, kind: str) -> None:
    whole, path = _written(kind), tmp_path / "checkpoint"
    path.write_bytes(whole)
    assert len(read(path).tensors) == 16
    for step in range(STEPS):
        path.write_bytes(whole[: len(whole) * step // STEPS])
        before = begin_peak()
        with pytest.raises(AttnVizError) as caught:
            read(path)
        assert peak() - before <= 2 * len(whole) + MOST_BYTES
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
