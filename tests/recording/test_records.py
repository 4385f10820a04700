"""Asking a record: chosen queries, heads and columns."""

import copy
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from detr_attnviz.errors import CaptureError, ChoiceError
from detr_attnviz.recording import records as records_file
from detr_attnviz.recording.hooks import capture
from detr_attnviz.recording.records import DenseRecord
from detr_attnviz.sites import AttentionCall


@pytest.fixture
def masked_record() -> DenseRecord:
    module = nn.MultiheadAttention(12, 3)
    query, key = torch.randn(4, 2, 12), torch.randn(7, 2, 12)
    with torch.no_grad(), capture(module) as records:
        module(query, key, key, attn_mask=torch.randn(6, 4, 7))
    return records["MultiheadAttention"]


def test_sizes(masked_record: DenseRecord) -> None:
    sizes = (masked_record.batch, masked_record.heads, masked_record.queries, masked_record.tokens)
    assert sizes == (2, 3, 4, 7)


def test_nbytes_counts_each_tensor_once(masked_record: DenseRecord) -> None:
    assert masked_record.nbytes == 4 * (4 * 2 * 12 + 7 * 2 * 12 + 6 * 4 * 7)  # query, key (which is value) and mask


def test_chosen_queries_and_heads_are_parts_of_the_whole(masked_record: DenseRecord) -> None:
    whole = masked_record.map()
    assert_close(masked_record.map([3, 0], [2]), whole[:, [2]][:, :, [3, 0]])
    assert_close(masked_record.map(heads=[1, 0]), whole[:, [1, 0]])


def test_columns_are_columns_whatever_the_chunks(masked_record: DenseRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_file, "_COLUMN_CHUNK_VALUES", 50)
    assert_close(masked_record.columns([6, 1], [0, 2]), masked_record.map()[:, [0, 2]][..., [6, 1]])


@pytest.mark.parametrize(
    ("queries", "heads", "words"),
    [([4], None, "no query 4: query must be in 0–3"), ([-1], None, "no query -1"), (None, [3], "head must be in 0–2")],
)
def test_index_out_of_range_names_the_range(
    masked_record: DenseRecord, queries: list[int] | None, heads: list[int] | None, words: str
) -> None:
    with pytest.raises(ChoiceError, match=words):
        masked_record.map(queries, heads)


def test_token_out_of_range(masked_record: DenseRecord) -> None:
    with pytest.raises(ChoiceError, match="token must be in 0–6"):
        masked_record.columns([7])


def test_a_single_number_will_do(masked_record: DenseRecord) -> None:
    assert torch.equal(masked_record.map(3, 1), masked_record.map([3], [1]))
    assert torch.equal(masked_record.columns(2, 1), masked_record.columns([2], [1]))


def test_empty_choices_and_batches() -> None:
    module = nn.MultiheadAttention(12, 3)
    query, key = torch.randn(4, 0, 12), torch.randn(7, 0, 12)
    with torch.no_grad(), capture(module) as records:
        module(query, key, key)
    record = records["MultiheadAttention"]
    assert record.map().shape == (0, 3, 4, 7)
    assert record.columns([1], []).shape == (0, 0, 4, 1)


def test_values_and_inputs_of_one_picture_of_a_batch() -> None:
    module = nn.MultiheadAttention(12, 3, batch_first=True)
    query, key = torch.randn(2, 4, 12), torch.randn(2, 7, 12)
    with torch.no_grad(), capture(module) as records:
        module(query, key, key + 1)
    whole, second = records["MultiheadAttention"], records.picture(1)["MultiheadAttention"]
    assert torch.equal(second.values, whole.values[1:])
    assert torch.equal(second.out, whole.out)
    assert all(torch.equal(own, all_[1:]) for own, all_ in zip(second.inputs, whole.inputs, strict=True))
    assert torch.equal(second.project(key[1:], "k"), whole.call.key[1:])


def test_values_changed_in_place_leave_maps_but_not_values() -> None:
    module = nn.MultiheadAttention(12, 3)
    query, key, value = torch.randn(4, 2, 12), torch.randn(7, 2, 12), torch.randn(7, 2, 12)
    with torch.no_grad(), capture(module, copy=False) as records:
        module(query, key, value)
    value.zero_()
    record = records["MultiheadAttention"]
    assert record.map().shape == (2, 3, 4, 7)
    with pytest.raises(CaptureError, match=r"what went into attention changed in place"):
        _ = record.values


def plain_reader(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AttentionCall:
    return AttentionCall(args[0][:, None], args[1][:, None], 1.0)


def telling_reader(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AttentionCall:
    return AttentionCall(args[0][:, None], args[1][:, None], 1.0, value=args[1][:, None], out=torch.eye(4)[None])


class Dot(nn.Module):
    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        return (query @ key.mT).softmax(-1) @ key


def test_a_reader_that_does_not_tell_of_values_is_named() -> None:
    module, query, key = Dot(), torch.randn(1, 2, 4), torch.randn(1, 3, 4)
    with torch.no_grad(), capture(module, readers={Dot: plain_reader}) as records:
        module(query, key)
    with pytest.raises(CaptureError, match=r"reader of Dot does not say what attention carries: .*value="):
        _ = records["Dot"].values
    with pytest.raises(CaptureError, match=r"nn.MultiheadAttention only; Dot has a reader of its own"):
        _ = records["Dot"].inputs


def test_a_reader_that_tells_of_values() -> None:
    module, query, key = Dot(), torch.randn(1, 2, 4), torch.randn(1, 3, 4)
    with torch.no_grad(), capture(module, readers={Dot: telling_reader}) as records:
        output = module(query, key)
    record = records["Dot"]
    assert_close((record.map() @ record.values @ record.out)[:, 0], output)


def test_threads_that_ask_leave_the_module_as_it_is() -> None:
    module = nn.MultiheadAttention(64, 4)
    query = torch.randn(200, 1, 64)
    with torch.no_grad(), capture(module) as records:
        expected = module(query, query, query, average_attn_weights=False)[1]
        module.in_proj_weight.add_(1.0)
    weights = dict(module.named_parameters())
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(lambda: DenseRecord.map(fresh(records["MultiheadAttention"]))) for _ in range(40)]
            assert all(torch.allclose(one.result(), expected, atol=1e-6) for one in asked)
    finally:
        sys.setswitchinterval(interval)
    assert all(dict(module.named_parameters())[name] is weight for name, weight in weights.items())


def fresh(record: DenseRecord) -> DenseRecord:
    """The same record, of which nothing has been asked yet."""
    again = copy.copy(record)
    again.__dict__.pop("call", None)
    return again
