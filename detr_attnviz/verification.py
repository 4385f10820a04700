"""Proof, on the user's own model and picture, that the maps are the model's own attention.

At every site of dense attention the module itself is asked for its weights on the same inputs, and the recorded map is
compared with them. Sampled attention gives out no weights of cells: there the module's own output is made again, by
mixing its values as the maps say. The forward is run with and without recording; and the picture is run once more
inside a larger, padded canvas to see that padding gets nothing.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from detr_attnviz.detector import Detector, exact_inference
from detr_attnviz.errors import CaptureError
from detr_attnviz.families.base import Prepared
from detr_attnviz.pictures import read_picture
from detr_attnviz.proof import OWN_TOLERANCE, ROUNDINGS, TOLERANCE, SiteProof, Verification
from detr_attnviz.recording.hooks import Records, record
from detr_attnviz.recording.multihead import arguments_of
from detr_attnviz.recording.records import DenseRecord
from detr_attnviz.recording.sampled import SampledRecord
from detr_attnviz.sites import AttentionSite, Mixed

if TYPE_CHECKING:
    from PIL import Image

_CHUNK_VALUES = 16_000_000  # 64 MB of float32 while a map is compared
_SOME_CELLS = 64  # of an encoder, whose queries would take as many maps of all levels
_SOME_QUERIES = 64


def verify(
    detector: Detector,
    image: "str | Path | Image.Image",
    *,
    shortest_px: int | None = None,
    longest_px: int | None = None,
) -> Verification:
    """Compares every map of ``image`` with what the model itself says, at every site.

    A site with a reader of one's own is proven when it has ``AttentionSite.own``, which asks the module, and listed as
    unproven without.

    Raises: ImageError for a picture that cannot be read; CaptureError for an ``own`` that does not fit its site.
    """
    return verify_prepared(
        detector, detector.prepare(read_picture(image), shortest_px=shortest_px, longest_px=longest_px)
    )


def verify_prepared(detector: Detector, prepared: Prepared, *, with_padding: bool = True) -> Verification:
    """The same for a picture that ``Detector.prepare`` has made ready; not run once more ``with_padding`` if False.

    Raises: CaptureError.
    """
    proofs: dict[str, SiteProof] = {}
    with exact_inference(detector.device):
        plain = detector.family.forward(prepared.inputs)
        with record(detector.sites, copy=True) as records:

            def prove(site: AttentionSite, truth: Tensor | Mixed) -> None:
                proofs[site.name] = _proof(site, records[site.name], truth)

            with _told(detector.sites, prove):
                recorded = detector.family.forward(prepared.inputs)
        is_same = _is_same(plain.logits, recorded.logits) and _is_same(plain.boxes, recorded.boxes)
        output = {"logits": recorded.logits, "boxes": recorded.boxes}
        not_finite = tuple(name for name, values in output.items() if not values.isfinite().all())
        masses = _padding_masses(detector, prepared.inputs) if with_padding else {}
        found = [proofs.get(site.name) or _unproven(site, records) for site in detector.sites]
    return Verification(
        tuple(replace(proof, padding_mass=masses.get(proof.site)) for proof in found), is_same, not_finite
    )


def _is_same(one: Tensor, other: Tensor) -> bool:
    """To the bit; also where both are NaN, about which the sites have their say."""
    return one.shape == other.shape and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


@contextmanager
def _told(sites: Sequence[AttentionSite], tell: Callable[[AttentionSite, Tensor | Mixed], None]) -> Iterator[None]:
    """Passes on what every site's own module says, call by call; records are there by then if they came first."""
    thread = get_ident()

    def of_this_thread(site: AttentionSite, truth: Tensor | Mixed) -> None:
        if get_ident() == thread:
            tell(site, truth)

    with ExitStack() as stack:
        for site in sites:
            own = site.own or (_multihead_weights if isinstance(site.module, nn.MultiheadAttention) else None)
            if own is not None:
                stack.callback(own(site.module, partial(of_this_thread, site)))
        yield


def _multihead_weights(module: nn.Module, tell: Callable[[Tensor | Mixed], None]) -> Callable[[], None]:
    def ask(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        asked = arguments_of(args, kwargs) | {"need_weights": True, "average_attn_weights": False}
        tell(module.forward(**asked)[1])

    return module.register_forward_hook(ask, with_kwargs=True).remove


def _proof(site: AttentionSite, record: DenseRecord | SampledRecord, truth: Tensor | Mixed) -> SiteProof:
    tolerance = TOLERANCE if site.own is None else OWN_TOLERANCE
    if isinstance(truth, Mixed):
        errors = _mixing_errors(record, truth, _queries(site, record))
        return SiteProof(site.name, _shape(record), *errors, None, "output", tolerance)
    if isinstance(record, SampledRecord):
        raise CaptureError(
            f"{site.name} is sampled attention, which has no weights of cells that a module could give: let its own "
            "tell a Mixed"
        )
    difference, row_error = _errors(record, truth)
    if tolerance < difference < math.inf:
        tolerance = max(tolerance, ROUNDINGS * _rounding(record))
    return SiteProof(site.name, _shape(record), difference, row_error, None, tolerance=tolerance)


def _unproven(site: AttentionSite, records: Records) -> SiteProof:
    return SiteProof(site.name, _shape(records[site.name]), None, None, None, "nothing")


def _shape(record: DenseRecord | SampledRecord) -> tuple[int, ...]:
    last = record.tokens if isinstance(record, DenseRecord) else record.weights.shape[-1]
    return record.heads, record.queries, last


def _errors(record: DenseRecord, truth: Tensor) -> tuple[float, float]:
    """Largest differences of weights, and of row sums; NaN stays NaN."""
    if truth.shape != (record.batch, *_shape(record)):
        return math.inf, math.inf
    differences, rows = [], []
    for queries in _chunks(record):
        found = record.map() if queries is None else record.map(queries)
        own = (truth if queries is None else truth[:, :, queries]).to(found)
        sums = own.sum(-1) if record.call.shown else 1
        differences.append((found - own).abs().max())
        rows.append((found.sum(-1) - sums).abs().max())
    return float(torch.stack(differences).max()), float(torch.stack(rows).max())


def _rounding(record: DenseRecord) -> float:
    """Of the largest logit: no softmax in the same numbers is closer to the truth."""
    largest = [record.logits(queries).abs().max() for queries in _chunks(record)]
    return float(torch.stack(largest).max()) * torch.finfo(record.call.query.dtype).eps / 2


def _chunks(record: DenseRecord) -> Iterator[list[int] | None]:
    """Queries whose maps are made at once; None is all of them."""
    step = max(1, _CHUNK_VALUES // max(1, record.batch * record.heads * record.tokens))
    if step >= record.queries:
        yield None
        return
    for start in range(0, record.queries, step):
        yield list(range(start, min(start + step, record.queries)))


def _queries(site: AttentionSite, record: DenseRecord | SampledRecord) -> list[int]:
    """All objects of a decoder; of an encoder cells from the first to the last."""
    if site.kind != "encoder-self" or record.queries <= _SOME_CELLS:
        return list(range(record.queries))
    return [step * (record.queries - 1) // (_SOME_CELLS - 1) for step in range(_SOME_CELLS)]


def _mixing_errors(record: DenseRecord | SampledRecord, truth: Mixed, queries: list[int]) -> tuple[float, float]:
    """How far the output is from the values mixed as the maps say, and maps and outside from 1."""
    if truth.value.shape[:3] != (record.batch, record.heads, sum(_cells(record))):
        return math.inf, math.inf
    differences, sums = [], []
    for start in range(0, len(queries), _SOME_QUERIES):
        some = queries[start : start + _SOME_QUERIES]
        mixed, total = _mixed(record, truth.value, some)
        written = truth.write(mixed.transpose(1, 2).flatten(2).to(truth.value.dtype))
        differences.append((written - truth.output[:, some]).abs().max())
        sums.append((total - 1).abs().max())
    difference, peak = torch.stack(differences).max(), truth.output.abs().max()
    shares = difference if peak == 0 else difference / peak  # a module may write nothing at all
    return float(shares), float(torch.stack(sums).max())


def _mixed(record: DenseRecord | SampledRecord, value: Tensor, queries: list[int]) -> tuple[Tensor, Tensor]:
    """``[batch heads queries dim]``, and what all weights of a query sum to."""
    if isinstance(record, DenseRecord):
        maps = record.map(queries)
        return maps @ value.to(maps), maps.sum(-1)
    mixed, totals = [], []
    for level, part in enumerate(value.split(_cells(record), dim=2)):
        maps, outside = record.map(queries, level=level)
        mixed.append(maps.flatten(3) @ part.to(maps))
        totals.append(maps.sum((-2, -1)) + outside)
    return torch.stack(mixed).sum(0), torch.stack(totals).sum(0)


def _cells(record: DenseRecord | SampledRecord) -> list[int]:
    """Tokens that have values, level by level."""
    return [record.tokens] if isinstance(record, DenseRecord) else [rows * cols for rows, cols in record.shapes]


def _padding_masses(detector: Detector, inputs: Mapping[str, Tensor]) -> dict[str, float]:
    """Of dense attention to cells that the model is kept from: what is read of padding elsewhere is zero to it."""
    padded = detector.family.padded(inputs)
    masses: dict[str, float] = {}
    if padded is None:
        return masses
    is_padding = padded.is_padding.flatten()
    sites = [site for site in detector.sites if site.form == "dense" and site.kind != "decoder-self"]
    with record(sites, copy=True) as records:

        def weigh(site: AttentionSite, truth: Tensor | Mixed) -> None:
            if isinstance(truth, Mixed) or truth.shape[-1] != len(is_padding):
                return
            if not truth[..., is_padding.to(truth.device)].any():
                masses[site.name] = _mass(records[site.name], is_padding)

        with _told(sites, weigh):
            detector.family.forward(padded.inputs)
    return masses


def _mass(record: DenseRecord, is_padding: Tensor) -> float:
    """The largest that a query gives to padding, in any head."""
    largest = []
    for queries in _chunks(record):
        maps = record.map() if queries is None else record.map(queries)
        largest.append(maps[..., is_padding.to(maps.device)].sum(-1).max())
    return float(torch.stack(largest).max())
