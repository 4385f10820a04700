"""Relevance: attention and its gradients, carried through every layer to the cells.

Chefer, Gur and Wolf 2021, "Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder
Transformers" (arXiv 2103.15679), section 3 for encoder-decoder models. R_ii, R_qq and R_qi say how much cells depend
on cells, queries on queries, and queries on cells; only the rows that are asked for are ever computed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from detr_attnviz.methods.gradients import (
    most_at_once,
    outputs_of,
    rows_of,
    taped_scores,
)
from detr_attnviz.methods.layers import decoder_sites_for, sites_for
from detr_attnviz.recording.hooks import Records
from detr_attnviz.sites import AttentionSite
from detr_attnviz.trace import Trace

_BLOCK_VALUES = 1 << 20  # 4 MB, which stay in the cache


def relevance(trace: Trace, queries: Sequence[int]) -> Float[Tensor, "queries rows cols"]:
    """How much each query's class score rests on each cell; not negative, without a scale of its own.

    Runs the picture forward once more and all queries backward together, as many as fit a gigabyte.

    Raises: ChoiceError for a query that does not exist or a kind of attention that is missing; CaptureError when
    gradients do not reach attention, or a site's reader does not tell what attention carries.
    """
    encoder = sites_for(trace.detector, "encoder-self", "relevance")
    listening, looking = decoder_sites_for(trace.detector, "relevance")
    taped = taped_scores(trace, queries, outputs_of([*encoder, *listening, *looking]))
    kept = [taped.records.dense(site.name) for site in encoder]
    most = most_at_once(sum(4 * record.queries * record.tokens for record in kept))
    rows = []
    for first, gradients in taped.gradients(most):
        effects = _Effects(taped.records, gradients)
        some = list(queries[first : first + most])
        rows.append(_through_encoder(_from_decoder(effects, listening, looking, some), effects, encoder))
    return trace.on_grid(looking[-1].name, torch.cat(rows))


@dataclass(frozen=True)
class _Effects:
    """How attention weights worked on each score: eq. 5, Ā = mean over heads of (∇A ⊙ A)⁺, site by site."""

    records: Records
    gradients: Mapping[str, Tensor]

    def at(self, site: AttentionSite) -> Float[Tensor, "scores queries tokens"]:
        record, gradient = self.records.dense(site.name), rows_of(self.gradients[site.name])
        mixed = torch.einsum("snw,hdw->hsnd", gradient, record.out)  # how scores change with what each head mixed
        total = gradient.new_zeros((len(gradient), record.queries, record.tokens))
        values = record.values[0].mT.contiguous()
        step = max(1, _BLOCK_VALUES // record.tokens)
        change = gradient.new_empty(step, record.tokens)
        for start in range(0, record.queries, step):
            rows = range(record.queries)[start : start + step]
            for head, weights in enumerate(record.map(rows)[0]):
                for effect, of_score in zip(total[:, start : start + step], mixed[head], strict=True):
                    # ∇A: no graph ever holds it, one block of one score's at a time does
                    found = torch.mm(of_score[start : start + step], values[head], out=change[: len(rows)])
                    effect.addcmul_(found.relu_(), weights)  # as no weight is negative
        return total.div_(record.heads)


def _from_decoder(
    effects: _Effects, listening: Sequence[AttentionSite], looking: Sequence[AttentionSite], queries: Sequence[int]
) -> Float[Tensor, "scores tokens"]:
    """Each score's own row of R_qi, before N(R_ii), which is the last factor of all that is added to it."""
    others = cells = torch.zeros(())  # R_qq - I and R_qi
    for listens, looks in zip(listening, looking, strict=True):
        effect = effects.at(listens)
        if others.dim():
            others, cells = others + effect + effect @ others, cells + effect @ cells  # eq. 6 and 7, from old values
        else:
            others = effect
        effect = effects.at(looks)
        cells = cells + effect + _normalised(others).mT @ effect  # eq. 10
    return cells[range(len(queries)), queries]


def _through_encoder(
    rows: Float[Tensor, "scores tokens"], effects: _Effects, encoder: Sequence[AttentionSite]
) -> Float[Tensor, "scores tokens"]:
    """``rows · N(R_ii)`` by vectors only: with D_l = R_ii - I after layer l, u D_l = u Ā_l + (u + u Ā_l) D_(l-1).

    Neither the identity nor R_ii is ever subtracted from, so that small effects keep all their digits.
    """
    carried, layers = torch.zeros_like(rows), [effects.at(site) for site in encoder]
    sums = torch.zeros_like(rows)
    for effect in layers:
        sums = sums + (effect @ (1 + sums)[..., None])[..., 0]
    going = torch.where(sums > 0, rows / sums, 0)  # eq. 8 and 9: a zero row stays one
    for effect in reversed(layers):
        step = (going[:, None] @ effect)[:, 0]
        carried, going = carried + step, going + step
    return rows + carried


def _normalised(beyond: Float[Tensor, "scores queries queries"]) -> Float[Tensor, "scores queries queries"]:
    """``(R - I) / rowsum(R - I)`` of eq. 8 and 9, where a zero row stays one."""
    sums = beyond.sum(-1, keepdim=True)
    return torch.where(sums > 0, beyond / sums, 0)
