"""Asking a record: chosen queries, heads and columns."""

import copy
import math
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
    return records.dense("MultiheadAttention")


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


class Split(nn.Module):
    """Two heads of four dimensions, of which the first two are content and the others space; the last token is hidden
    from maps.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.query, self.key = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        return x + memory.mean(1, keepdim=True)


def read_split(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AttentionCall:
    assert isinstance(module, Split)
    query, key = (
        linear(x).unflatten(-1, (2, 4)).transpose(1, 2)
        for linear, x in zip((module.query, module.key), args, strict=True)
    )
    terms = {"content": slice(0, 2), "spatial": slice(2, 4)}
    mask = torch.zeros(1, 1, 1, key.shape[2])
    mask[..., 0] = -math.inf
    return AttentionCall(query, key, 0.5, mask, value=key, shown=slice(0, -1), terms=terms)


@pytest.fixture
def split_record() -> DenseRecord:
    module = Split()
    with capture(module, readers={Split: read_split}) as records:
        module(torch.randn(2, 3, 8), torch.randn(2, 6, 8))
    return records.dense("Split")


def test_terms_of_the_logits_add_up_to_them(split_record: DenseRecord) -> None:
    assert split_record.terms == ("content", "spatial")
    parts = [split_record.logits(term=term) for term in split_record.terms]
    torch.testing.assert_close(parts[0] + parts[1], split_record.logits())
    assert not torch.allclose(parts[0], parts[1])


def test_a_terms_map_is_the_softmax_of_that_term_alone(split_record: DenseRecord) -> None:
    call = split_record.call
    for term, dims in (("content", slice(0, 2)), ("spatial", slice(2, 4))):
        logits = 0.5 * call.query[..., dims] @ call.key[..., dims].mT
        logits[..., 0] = -math.inf
        torch.testing.assert_close(split_record.map(term=term), logits.softmax(-1)[..., :-1])
        torch.testing.assert_close(
            split_record.columns([2], term=term), split_record.map(term=term)[..., [2]], rtol=0, atol=0
        )


def test_tokens_that_are_not_shown_keep_their_part_of_the_softmax(split_record: DenseRecord) -> None:
    assert (split_record.tokens, split_record.call.key.shape[2]) == (5, 6)
    logits = split_record.call.query @ split_record.call.key.mT * 0.5
    logits[..., 0] = -math.inf
    torch.testing.assert_close(split_record.map(), logits.softmax(-1)[..., :-1])
    assert (split_record.map().sum(-1) < 1).all()
    assert split_record.is_seen is not None
    assert split_record.is_seen.flatten().tolist() == [False, True, True, True, True]
    with pytest.raises(ChoiceError, match="no token 5"):
        split_record.columns(5)


def test_a_picture_of_the_batch_keeps_terms_and_what_is_shown(split_record: DenseRecord) -> None:
    alone = split_record.picture(1)
    for term in ("", "spatial"):
        torch.testing.assert_close(alone.map(term=term), split_record.map(term=term)[[1]])
    assert alone.tokens == 5


@pytest.mark.parametrize("name", ["position", "Content"])
def test_a_term_that_is_not_there_is_named(split_record: DenseRecord, masked_record: DenseRecord, name: str) -> None:
    with pytest.raises(ChoiceError, match=f"no term '{name}': terms here are content, spatial"):
        split_record.map(term=name)
    with pytest.raises(ChoiceError, match=f"no term '{name}': the logits of MultiheadAttention are of one piece"):
        masked_record.logits(term=name)
