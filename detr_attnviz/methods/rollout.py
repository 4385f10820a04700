"""Attention multiplied through all layers, as if nothing but where is looked decided what is written.

Abnar & Zuidema 2020, "Quantifying Attention Flow in Transformers" (arXiv 2005.00928). Through an encoder and a decoder
as Chefer, Gur, Wolf 2021 (arXiv 2103.15679) compare with it: the queries' rollout, the last cross-attention, the
cells' rollout.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from detr_attnviz.errors import ChoiceError
from detr_attnviz.methods.heads import row_chunks
from detr_attnviz.methods.layers import decoder_sites_for, records_of
from detr_attnviz.recording.kept import checked
from detr_attnviz.recording.records import DenseRecord
from detr_attnviz.trace import Trace


def rollout(trace: Trace, queries: Sequence[int]) -> Float[Tensor, "queries rows cols"]:
    """The queries' rows of ``R_qqᵀ A R_ii``, with A the last cross-attention.

    R_ii and R_qq are the products of ``(A + I) / 2`` over the self-attention of the encoder and the decoder, later
    layers on the left; heads are averaged in every layer. Of all products only the chosen queries' rows are made.

    Raises: ChoiceError when a kind of attention is missing, or does not lie over the picture's cells.
    """
    encoder = records_of(trace, "encoder-self", "rollout")
    listening, looking = decoder_sites_for(trace.detector, "rollout")
    decoder, cross = [trace.records.dense(site.name) for site in listening], trace.records.dense(looking[-1].name)
    _check_sizes([*encoder, cross], math.prod(trace.grid.canvas))
    _check_sizes(decoder, cross.queries)
    # Row q of R_qqᵀ is column q of R_qq, and R_qq comes to it with its first layer first.
    column = torch.eye(cross.queries, dtype=cross.call.query.dtype, device=cross.call.query.device)
    column = column[:, checked(list(queries), cross.queries, "query")]
    for record in decoder:
        column = (_attention_times(record, column) + column) / 2  # eq. 1: rows of A + I sum to 2
    row = _times_attention(column.T, cross)
    for record in reversed(encoder):
        row = (_times_attention(row, record) + row) / 2
    return trace.on_grid(looking[-1].name, row)


def _attention_times(record: DenseRecord, columns: Float[Tensor, "tokens chosen"]) -> Float[Tensor, "queries chosen"]:
    """``A columns``"""
    return torch.cat([rows.mean(0) @ columns for _, rows in row_chunks(record)])


def _times_attention(rows: Float[Tensor, "chosen queries"], record: DenseRecord) -> Float[Tensor, "chosen tokens"]:
    """``rows A``"""
    total = rows.new_zeros(len(rows), record.tokens)
    for part, attention in row_chunks(record):
        total += rows[:, part] @ attention.mean(0)
    return total


def _check_sizes(records: Sequence[DenseRecord], tokens: int) -> None:
    wrong = [record.tokens for record in records if record.tokens != tokens]
    if wrong:
        raise ChoiceError(
            f"method rollout multiplies attention over the same tokens in every layer: found {wrong[0]} where "
            f"{tokens} were expected; methods of one layer, such as raw, do without"
        )
