"""Which of a file's state dicts is taken when the user leaves the choice."""

from typing import Any

import pytest
import torch

from detr_attnviz.checkpoints.choice import choose
from detr_attnviz.errors import CheckpointError

PLAIN, AVERAGED = torch.zeros(2), torch.ones(2)


def training_file(key: str) -> dict[str, Any]:
    """As RT-DETR's and D-FINE's training scripts save it."""
    return {"model": {key: PLAIN}, "ema": {"module": {key: AVERAGED}, "updates": 7, "warmups": 3}, "last_epoch": 3}


@pytest.mark.parametrize("prefix", ["", "module."])
def test_averaged_weights_are_usual_for_rt_detr_and_d_fine(prefix: str) -> None:
    key = prefix + "decoder.dec_score_head.0.weight"
    found = choose(training_file(key), "auto", "x.pth")
    assert torch.equal(found.state[key], AVERAGED)
    assert found.flavour == "ema"
    assert found.notes == ("averaged (EMA) weights taken from 'ema.module'; the file also has plain ones in 'model'",)


def test_plain_weights_are_usual_for_all_others() -> None:
    found = choose(training_file("class_embed.weight"), "auto", "x.pth")
    assert torch.equal(found.state["class_embed.weight"], PLAIN)
    assert "plain weights taken from 'model'" in found.notes[0]


def test_plain_weights_asked_for_are_taken() -> None:
    key = "decoder.dec_score_head.0.weight"
    assert torch.equal(choose(training_file(key), "model", "x.pth").state[key], PLAIN)


def test_usual_weights_of_a_file_that_has_plain_ones_only() -> None:
    found = choose({"model": {"decoder.dec_score_head.0.weight": PLAIN}}, "auto", "x.pth")
    assert found.notes == ()


def test_keys_of_any_kind_are_named_on_one_line() -> None:
    content = {("a", torch.ones(3, 3)): 1, "line\nbreak": 2, "x" * 5000: 3}
    with pytest.raises(CheckpointError) as caught:
        choose(content, "auto", "x.pth")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
