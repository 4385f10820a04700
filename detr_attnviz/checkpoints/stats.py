"""Describes attention weights by numbers: plain rows, per module and per head.

Everything comes from Gram matrices in float64. The squared singular values of a product such as WqᵀWk are the
eigenvalues of (WqWqᵀ)(WkWkᵀ), only as large as a head's dim, and the inner products of two heads' QK matrices are block
sums of (WqWqᵀ) ∘ (WkWkᵀ). Squaring costs half of the digits of *small* singular values; the largest one and the
sum of squares, all that is reported here, keep theirs, so no SVD of a full product is needed.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from detr_attnviz.checkpoints.attention import AttentionKind, AttentionWeights, find_attention

__all__ = ["AttentionWeights", "HeadStats", "ModuleStats", "find_attention", "module_stats"]

EXACT_SIZE = 1024
"""Largest matrix whose eigenvalues are all computed; above it the largest one is iterated to a relative 1e-7."""


@dataclass(frozen=True)
class HeadStats:
    """One head's numbers; ``nan`` where a weight is not finite or Wo is missing.

    ``stable_rank`` of A is ‖A‖²_F / ‖A‖²₂, at least 1 and at most the head's dim: how many directions matter. QK is
    WqᵀWk (what the logits compare), OV is Wo·Wv (what attending brings).
    """

    head: int
    q_norm: float
    k_norm: float
    v_norm: float
    out_norm: float
    qk_norm: float
    ov_norm: float
    qk_stable_rank: float
    ov_stable_rank: float


@dataclass(frozen=True)
class ModuleStats:
    """One attention module as a plain row.

    Norms are Frobenius norms, ``*_spectral`` the largest singular value. The module's own ``qk_stable_rank`` and
    ``ov_stable_rank`` are those of the full products, all heads together, and need no head count. ``heads`` is
    ``None`` where it is unknown or does not divide the rows; then ``per_head`` and the similarities are empty.
    ``qk_similarity[a][b]`` is the cosine ⟨A, B⟩ / (‖A‖‖B‖), from -1 to 1, of the QK matrices of heads a and b, taken
    as long vectors; ``ov_similarity`` likewise for OV.
    """

    module: str
    kind: AttentionKind
    layer: int | None
    layout: str
    dtype: str
    heads: int | None
    shapes: dict[str, tuple[int, ...]]
    q_norm: float
    k_norm: float
    v_norm: float
    out_norm: float
    q_spectral: float
    k_spectral: float
    v_spectral: float
    out_spectral: float
    qk_stable_rank: float
    ov_stable_rank: float
    nan: int
    inf: int
    per_head: tuple[HeadStats, ...] = ()
    qk_similarity: tuple[tuple[float, ...], ...] = ()
    ov_similarity: tuple[tuple[float, ...], ...] = ()


def module_stats(attention: AttentionWeights, heads: int | None = None) -> ModuleStats:
    """The numbers of one module; ``heads`` adds those per head if it divides the rows of Wq.

    Half precision is promoted. NaN and Inf are counted and make the numbers they touch ``nan``, never an error.
    """
    q = attention.q_weight.detach().double()
    count = heads if heads and heads > 0 and q.shape[0] % heads == 0 else None
    dim = q.shape[0] // (count or 1)
    k, v = attention.k_weight.detach().double(), attention.v_weight.detach().double()
    out = None if attention.out_weight is None else attention.out_weight.detach().double()
    shared = [_repeated(matrix, q.shape[0], dim) for matrix in (k, v)]
    gram_k, gram_v = (matrix @ matrix.T for matrix in shared)
    grams = _Grams(q @ q.T, gram_k, gram_v, None if out is None else out.T @ out)
    per_head, qk_similarity, ov_similarity = _per_head(grams, count) if count else ((), (), ())
    parts = attention.parts
    return ModuleStats(
        module=attention.name,
        kind=attention.kind,
        layer=attention.layer,
        layout=attention.layout,
        dtype=str(attention.q_weight.dtype).removeprefix("torch."),
        heads=count,
        shapes={name: tuple(tensor.shape) for name, tensor in parts.items()},
        q_norm=float(q.norm()),
        k_norm=float(k.norm()),
        v_norm=float(v.norm()),
        out_norm=math.nan if out is None else float(out.norm()),
        q_spectral=_spectral(q, grams.q),
        k_spectral=_spectral(k, gram_k if shared[0] is k else None),
        v_spectral=_spectral(v, gram_v if shared[1] is v else None),
        out_spectral=math.nan if out is None else _spectral(out, grams.out),
        qk_stable_rank=_whole_rank(grams.q, grams.k),
        ov_stable_rank=_whole_rank(grams.v, grams.out),
        nan=sum(int(_wide(tensor).isnan().sum()) for tensor in parts.values()),
        inf=sum(int(_wide(tensor).isinf().sum()) for tensor in parts.values()),
        per_head=per_head,
        qk_similarity=qk_similarity,
        ov_similarity=ov_similarity,
    )


def _wide(tensor: Tensor) -> Tensor:
    """In float64: not every eighth of precision has its own test for infinity."""
    return tensor if tensor.is_complex() else tensor.double()


class _Grams(NamedTuple):
    """WqWqᵀ, WkWkᵀ, WvWvᵀ ``[rows rows]`` and WoᵀWo ``[cols cols]``."""

    q: Tensor
    k: Tensor
    v: Tensor
    out: Tensor | None


def _repeated(matrix: Tensor, rows: int, dim: int) -> Tensor:
    """Keys and values that several query heads share, repeated for each of them (grouped-query attention)."""
    times, rest = divmod(rows, matrix.shape[0])
    if rest or times < 2 or matrix.shape[0] % dim:
        return matrix
    return matrix.unflatten(0, (-1, dim)).repeat_interleave(times, dim=0).flatten(0, 1)  # type: ignore[no-any-return]


def _per_head(
    grams: _Grams, heads: int
) -> tuple[tuple[HeadStats, ...], tuple[tuple[float, ...], ...], tuple[tuple[float, ...], ...]]:
    """Numbers of every head, and the heads' similarity in QK and in OV."""
    single = [_trace_norms(gram, heads) for gram in grams]
    qk_norm, qk_rank, qk_similarity = _products(grams.q, grams.k, heads)
    ov_norm, ov_rank, ov_similarity = _products(grams.v, grams.out, heads)
    columns = (*single, qk_norm, ov_norm, qk_rank, ov_rank)
    rows = tuple(HeadStats(head, *numbers) for head, numbers in enumerate(zip(*columns, strict=True)))
    return rows, qk_similarity, ov_similarity


def _trace_norms(gram: Tensor | None, heads: int) -> list[float]:
    """Frobenius norm of each head's block, from the trace of its part of the Gram matrix."""
    if gram is None or gram.shape[0] % heads:
        return [math.nan] * heads
    return gram.diagonal().unflatten(0, (heads, -1)).sum(1).sqrt().tolist()  # type: ignore[no-any-return]


def _products(
    left: Tensor, right: Tensor | None, heads: int
) -> tuple[list[float], list[float], tuple[tuple[float, ...], ...]]:
    """Norms, stable ranks and pairwise cosines of the heads' products whose factors have these Gram matrices."""
    if right is None or left.shape != right.shape:
        return [math.nan] * heads, [math.nan] * heads, ()
    inner = (left * right).unflatten(1, (heads, -1)).unflatten(0, (heads, -1)).sum((1, 3))
    squares = inner.diagonal()
    top = _largest_eigenvalue(_head_blocks(left, heads), _head_blocks(right, heads))
    similarity = inner / (squares[:, None] * squares[None, :]).sqrt()
    cosines = tuple(tuple(row) for row in similarity.clamp(-1, 1).tolist())
    return squares.sqrt().tolist(), (squares / top).tolist(), cosines


def _head_blocks(gram: Tensor, heads: int) -> Float64[Tensor, "heads dim dim"]:
    blocks = gram.unflatten(1, (heads, -1)).unflatten(0, (heads, -1))  # [heads dim heads dim]
    return blocks.diagonal(dim1=0, dim2=2).permute(2, 0, 1)  # type: ignore[no-any-return]


def _whole_rank(left: Tensor, right: Tensor | None) -> float:
    if right is None or left.shape != right.shape:
        return math.nan
    return float((left * right).sum() / _largest_eigenvalue(left[None], right[None])[0])


def _spectral(matrix: Tensor, gram: Tensor | None) -> float:
    """The largest singular value; ``gram`` is used where it is the smaller of the two that the matrix has."""
    rows, cols = matrix.shape
    if gram is None or gram.shape[0] > min(rows, cols):
        gram = matrix @ matrix.T if rows <= cols else matrix.T @ matrix
    return math.sqrt(max(float(_largest_eigenvalue(gram[None])[0]), 0.0)) if gram.isfinite().all() else math.nan


def _largest_eigenvalue(
    left: Float64[Tensor, "heads dim dim"], right: Float64[Tensor, "heads dim dim"] | None = None
) -> Float64[Tensor, " heads"]:
    """The largest eigenvalue of ``left @ right``, both symmetric without negative eigenvalues; nan where not finite."""
    is_finite = left.isfinite().all(-1).all(-1)
    if right is not None:
        is_finite &= right.isfinite().all(-1).all(-1)
        right = torch.where(is_finite[:, None, None], right, 0.0)
    left = torch.where(is_finite[:, None, None], left, 0.0)
    if left.shape[-1] > EXACT_SIZE:
        top = torch.stack([_iterated(a, None if right is None else right[head]) for head, a in enumerate(left)])
    else:
        top = torch.linalg.eigvalsh(left if right is None else _symmetric_product(left, right))[:, -1]
    return torch.where(is_finite, top, math.nan)


def _symmetric_product(left: Tensor, right: Tensor) -> Tensor:
    """Fᵀ · right · F with F·Fᵀ = left, which has the eigenvalues of ``left @ right`` and is symmetric.

    F is a Cholesky factor, or where ``left`` is singular, which has none, made of eigenvectors at ten times the cost.
    """
    factor, failed = torch.linalg.cholesky_ex(left)
    if failed.any():
        values, vectors = torch.linalg.eigh(left)
        factor = vectors * values.clamp_min(0).sqrt()[:, None, :]
    return factor.mT @ right @ factor  # type: ignore[no-any-return]


def _iterated(left: Tensor, right: Tensor | None) -> Tensor:
    """Subspace iteration with eight vectors, started the same way every time."""
    size = left.shape[0]
    basis = torch.cos(torch.outer(torch.arange(size).double(), torch.arange(1, 9).double()))
    top = left.new_zeros(())
    for _ in range(500):
        basis = torch.linalg.qr(basis)[0]
        image = left @ (basis if right is None else right @ basis)
        before, top = top, torch.linalg.eigvals(basis.T @ image).real.max()
        if (top - before).abs() <= 1e-7 * top.abs():
            break
        basis = image
    return top
