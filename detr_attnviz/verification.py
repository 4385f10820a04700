"""Proof, on the user's own model and picture, that the maps are the model's own attention.

At every site the module itself is asked for its weights on the same inputs, and the recorded map is compared
with them; the forward is run with and without recording; and the picture is run once more inside a larger,
padded canvas to see that padding gets nothing.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from detr_attnviz.detector import Detector, exact_inference
from detr_attnviz.errors import CaptureError
from detr_attnviz.pictures import read_picture
from detr_attnviz.recording.hooks import Records, record
from detr_attnviz.recording.multihead import arguments_of

if TYPE_CHECKING:
    from PIL import Image

TOLERANCE = 1e-6
ROW_TOLERANCE = 1e-5


@dataclass(frozen=True)
class SiteProof:
    """How far one site's map is from the truth.

    ``difference`` is the largest to the module's own per-head weights, ``row_error`` the largest |row sum − 1|,
    ``padding_mass`` the largest attention that a query gives to padding, None where nothing was padded.
    """

    site: str
    shape: tuple[int, ...]
    difference: float
    row_error: float
    padding_mass: float | None

    @property
    def passed(self) -> bool:
        """NaN never passes: every comparison with it is false."""
        return self.difference <= TOLERANCE and self.row_error <= ROW_TOLERANCE and not self.padding_mass


@dataclass(frozen=True)
class Verification:
    """The proof for one picture: one entry per site, and whether recording left the output as it was."""

    sites: tuple[SiteProof, ...]
    output_unchanged: bool

    @property
    def passed(self) -> bool:
        """Every site passed and recording changed nothing."""
        return self.output_unchanged and all(site.passed for site in self.sites)


def verify(
    detector: Detector,
    image: "str | Path | Image.Image",
    *,
    shortest_px: int | None = None,
    longest_px: int | None = None,
) -> Verification:
    """Compares every site's map of ``image`` with what the module itself computes.

    Raises: ImageError for a picture that cannot be read; CaptureError for a model without
    ``nn.MultiheadAttention``, whose own weights nobody can be asked for.
    """
    prepared = detector.prepare(read_picture(image), shortest_px=shortest_px, longest_px=longest_px)
    with exact_inference(detector.device):
        plain = detector.family.forward(prepared.inputs)
        with _own_weights(detector) as own, record(detector.sites, copy=True) as records:
            recorded = detector.family.forward(prepared.inputs)
        is_same = torch.equal(plain.logits, recorded.logits) and torch.equal(plain.boxes, recorded.boxes)
        padding = _padding_masses(detector, prepared.inputs)
        proofs = tuple(_proof(site.name, records, own, padding) for site in detector.sites)
    return Verification(proofs, is_same)


def _proof(site: str, records: Records, own: Mapping[str, Tensor], padding: Mapping[str, float]) -> SiteProof:
    found = records[site].map()
    return SiteProof(
        site,
        tuple(found.shape[1:]),
        difference=float((found - own[site].to(found)).abs().max()),
        row_error=float((found.sum(-1) - 1).abs().max()),
        padding_mass=padding.get(site),
    )


@contextmanager
def _own_weights(detector: Detector) -> Iterator[dict[str, Tensor]]:
    """Each site's weights as its module returns them, asked again on the inputs of every call."""
    own: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for site in detector.sites:
            if not isinstance(site.module, nn.MultiheadAttention):
                raise CaptureError(f"{site.name} is no nn.MultiheadAttention: its own weights cannot be asked for")

            def ask(
                module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any, name: str = site.name
            ) -> None:
                asked = arguments_of(args, kwargs) | {"need_weights": True, "average_attn_weights": False}
                own[name] = module.forward(**asked)[1]

            stack.callback(site.module.register_forward_hook(ask, with_kwargs=True).remove)
        yield own


def _padding_masses(detector: Detector, inputs: Mapping[str, Tensor]) -> dict[str, float]:
    padded = detector.family.padded(inputs)
    if padded is None:
        return {}
    with record(detector.sites, copy=True) as records:
        detector.family.forward(padded.inputs)
    masses = {}
    for site in detector.sites:
        if site.kind != "decoder-self":
            maps = records[site.name].map()
            masses[site.name] = float(maps[..., padded.is_padding.flatten()].sum(-1).max())
    return masses
