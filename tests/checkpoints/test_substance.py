"""Tensors that have not what their shapes promise are refused before anything copies them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from detr_attnviz.checkpoints.inspection import inspect
from detr_attnviz.checkpoints.naming import canonical
from detr_attnviz.checkpoints.originals.recognise import original
from detr_attnviz.checkpoints.substance import refuse_hollow
from detr_attnviz.errors import CheckpointError
from tests.checkpoints.originals.goldens import golden
from tests.checkpoints.states import official_state, transformer_state

SPECIAL: dict[str, Callable[[], Tensor]] = {
    "sparse": lambda: torch.eye(3).to_sparse(),
    "without values": lambda: torch.empty(3, device="meta"),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "quantized": lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
}


@pytest.mark.filterwarnings("ignore")  # torch's own, of nested and quantized tensors
@pytest.mark.parametrize("kind", SPECIAL)
def test_tensors_that_are_no_plain_numbers_are_named(kind: str) -> None:
    with pytest.raises(CheckpointError, match=rf"no plain numbers: odd \({kind}\); .* save them as dense") as caught:
        refuse_hollow({"odd": SPECIAL[kind](), "even": torch.ones(2)}, "x.pth: ")
    assert str(caught.value).startswith("x.pth: ")


def test_a_shape_that_claims_more_than_there_is() -> None:
    hollow = {"small": torch.ones(2), "giant.weight": torch.zeros(()).expand(10**6, 10**6)}
    with pytest.raises(
        CheckpointError, match=r"claim 4,000\.0 GB but hold 0\.000 GB: giant\.weight \[1000000, 1000000\]"
    ):
        refuse_hollow(hollow)


def test_views_of_each_other_are_no_claim() -> None:
    whole = torch.zeros(1000, 1000)
    refuse_hollow({f"head.{number}": whole for number in range(20)} | {"part": whole[:10], "other": whole.T})
    refuse_hollow({})


@pytest.mark.parametrize("read", [canonical, lambda state: original(golden("dab-detr").tensors | state, {})])
def test_every_reading_of_an_architecture_refuses_them(read: Callable[[dict[str, Tensor]], object]) -> None:
    with pytest.raises(CheckpointError, match=r"no plain numbers: input_proj\.bias \(sparse\)"):
        read((official_state() if read is canonical else {}) | {"input_proj.bias": torch.ones(32).to_sparse()})


def test_inspection_refuses_them_by_the_file_s_name(tmp_path: Path) -> None:
    path = tmp_path / "hollow.pth"
    torch.save(transformer_state() | {"x": torch.zeros(()).expand(10**6, 10**6)}, path)
    with pytest.raises(CheckpointError, match=r"hollow\.pth: .* its tensors come to 3,814,697 MB"):
        inspect(path)
