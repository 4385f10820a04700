"""How heads and layers become one map."""

import math

import pytest
import torch
from torch.testing import assert_close

from detr_attnviz.errors import ChoiceError
from detr_attnviz.methods import heads
from detr_attnviz.methods.heads import all_rows_focus, focus_of, row_chunks
from detr_attnviz.methods.raw import raw
from detr_attnviz.recording.hooks import capture
from detr_attnviz.trace import Trace
from tests.tiny import drawn_picture, tiny_detector


@pytest.fixture(scope="module")
def trace() -> Trace:
    return tiny_detector().trace(drawn_picture())


def test_focus_by_hand() -> None:
    everywhere, half, sharp = [0.25] * 4, [0.5, 0.5, 0, 0], [0, 0, 1, 0]
    rows = torch.tensor([everywhere, half, sharp])[:, None]  # [heads 1 tokens]
    assert_close(
        focus_of(rows, torch.full((1, 1), 4.0))[:, 0], torch.tensor([0, 1 / 3, 2 / 3])
    )  # log 4 − entropy is 0, log 2, 2 log 2


def test_heads_that_all_look_everywhere_count_the_same() -> None:
    assert_close(focus_of(torch.full((2, 3, 8), 1 / 8), torch.full((1, 1), 8.0)), torch.full((2, 3), 0.5))
    assert_close(focus_of(torch.ones(2, 3, 1), torch.ones(1, 1)), torch.full((2, 3), 0.5))


def test_entropy_weighted_is_a_mean_of_the_heads_that_still_sums_to_one(trace: Trace) -> None:
    found = raw(trace, "decoder.1.cross", head="entropy-weighted", queries=[3, 6])
    each = trace.attention("decoder.1.cross", queries=[3, 6])
    entropy = -(each * each.log()).sum((2, 3))
    weights = math.log(24) - entropy
    assert_close(found, (each * (weights / weights.sum(0))[..., None, None]).sum(0))
    assert_close(found.sum((1, 2)), torch.ones(2))


def test_entropy_weighted_columns_are_those_of_the_weighted_rows(trace: Trace) -> None:
    cell = trace.grid.token_at(70, 20)
    every_row = raw(trace, "encoder.0.self", head="entropy-weighted")
    column = raw(trace, "encoder.0.self", head="entropy-weighted", points=(70, 20), direction="to")
    assert_close(column[0].flatten(), every_row.flatten(1)[:, cell])


def test_rows_come_in_pieces_that_make_the_whole(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    record = trace.records["encoder.0.self"]
    whole = all_rows_focus(record)
    monkeypatch.setattr(heads, "_CHUNK_VALUES", 5 * 4 * 24)
    pieces = list(row_chunks(record))
    assert [part.stop - part.start for part, _ in pieces] == [5, 5, 5, 5, 4]
    assert_close(torch.cat([rows for _, rows in pieces], dim=1), record.map()[0])
    assert_close(all_rows_focus(record), whole)


def test_heads_are_joined_before_layers_are_averaged(trace: Trace) -> None:
    both = raw(trace, ["decoder.0.cross", "decoder.1.cross"], head="max", queries=[2])
    each = [trace.attention(f"decoder.{layer}.cross", queries=[2]).amax(0) for layer in (0, 1)]
    assert_close(both, (each[0] + each[1]) / 2)


@pytest.mark.parametrize("head", ["mean", "entropy-weighted", 2])
def test_means_of_layers_still_sum_to_one(trace: Trace, head: str | int) -> None:
    found = raw(trace, ["decoder.0.self", "decoder.1.self"], head=head, queries=[2, 9])
    assert_close(found.sum(1), torch.ones(2))


def test_a_head_that_is_none(trace: Trace) -> None:
    with pytest.raises(ChoiceError, match="head is 'best': it must be mean, max, entropy-weighted or a head's number"):
        raw(trace, "decoder.1.cross", head="best")


def test_tokens_that_a_mask_hides_do_not_make_a_head_sharper() -> None:
    """By hand: [.5 .5] is as flat as can be over two tokens, whatever else is there and hidden."""
    module = torch.nn.MultiheadAttention(4, 2, batch_first=True, bias=False)
    with torch.no_grad():
        module.in_proj_weight.zero_()
        module.in_proj_weight[2:4] = torch.eye(4)[2:]  # head 1 tells tokens apart
        module.in_proj_weight[6:8] = torch.eye(4)[2:]
    x = torch.zeros(1, 4, 4)
    x[0, 0, 2] = 2.0
    for hidden in (-torch.inf, -1e4, -1e9):
        mask = torch.tensor([[0.0, 0, hidden, hidden]])
        with torch.no_grad(), capture(module) as records:
            module(x, x, x, key_padding_mask=mask)
        assert_close(all_rows_focus(records["MultiheadAttention"])[:, 0], torch.tensor([0.0, 1.0]))
