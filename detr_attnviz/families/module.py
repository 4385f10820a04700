"""A DETR that somebody else built: an ``nn.Module`` run as it is, watched at its ``nn.MultiheadAttention``."""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from detr_attnviz.detections import Detection
from detr_attnviz.errors import ChoiceError
from detr_attnviz.families.base import Origin, Prediction, Prepared, Resize
from detr_attnviz.families.native import grid_of, normalised, refuse_precision, resized_rule, softmax_detections
from detr_attnviz.grid import Grid
from detr_attnviz.models.fuse import Precision
from detr_attnviz.sites import AttentionSite, SiteKind

if TYPE_CHECKING:
    from PIL import Image

_PLACE = re.compile(r"(?:^|\.)(encoder|decoder)\.layers\.(\d+)\.(self_attn|multihead_attn|cross_attn|encoder_attn)$")
_PROJECTION = re.compile(r"(?:^|\.)(?:input_proj|input_projection)$")
_PROBE_PX = 256


class ModuleFamily:
    """A built detector called as ``module(images)`` with ``images [1 3 height_px width_px]``.

    Its output holds ``pred_logits`` (or ``logits``; the last class is no-object) and ``pred_boxes``, as a
    mapping or as attributes. Two small blank pictures are run at the start to learn the stride. The module stays on
    its device and in its mode; only while it runs here it is in ``eval()``.
    """

    holds_still = False
    takes_batches = False

    def __init__(self, module: nn.Module, resize: Resize, class_names: tuple[str, ...], origin: Origin) -> None:
        self.model = module
        self.resize = resize
        self.class_names = class_names
        self.origin = origin
        self._sites = tuple(_sites(module))
        self.stride_px, self.rounds_up = self._probe()

    def prepare(
        self, image: "Image.Image", *, shortest_px: int | None = None, longest_px: int | None = None
    ) -> Prepared:
        pixels = normalised(image, resized_rule(self.resize, shortest_px, longest_px))
        return Prepared({"images": pixels}, grid_of(image, pixels, self.stride_px, rounds_up=self.rounds_up))

    def padded(self, inputs: Mapping[str, Tensor]) -> None:
        return None

    def forward(self, inputs: Mapping[str, Tensor]) -> Prediction:
        with evaluating(self.model):
            output = self.model(inputs["images"].to(self._device()))
        return Prediction(_part(output, "pred_logits", "logits"), _part(output, "pred_boxes"))

    def sites(self) -> tuple[AttentionSite, ...]:
        return self._sites

    def projection(self) -> nn.Module | None:
        found = [part for name, part in self.model.named_modules() if _PROJECTION.search(name)]
        return found[0] if len(found) == 1 and isinstance(found[0], nn.Conv2d) else None

    def resumed(self, inputs: Mapping[str, Tensor], projected: Tensor) -> Mapping[str, Tensor]:
        return inputs

    def detections(self, prediction: Prediction, grid: Grid) -> tuple[Detection, ...]:
        return softmax_detections(prediction, grid, self.class_names)

    def settle(self, device: torch.device | None, precision: Precision) -> None:
        refuse_precision(precision)
        if device is not None:
            self.model.to(device)

    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _probe(self) -> tuple[int, bool]:
        """The stride, and whether a cell that the picture fills in part counts."""
        tokens = self._tokens_of(_PROBE_PX)
        side = math.isqrt(tokens)
        if side == 0 or side * side != tokens or _PROBE_PX % side:
            raise ChoiceError(
                f"a {_PROBE_PX}×{_PROBE_PX} picture gave {tokens or 'no'} tokens: the cells of a single square grid "
                "were expected; use capture(module) and lay out the tokens yourself"
            )
        stride_px = _PROBE_PX // side
        return stride_px, stride_px == 1 or self._tokens_of(_PROBE_PX + stride_px // 2) > tokens

    def _tokens_of(self, side_px: int) -> int:
        """Keys of the first cross-attention for a blank square picture."""
        seen: list[int] = []
        cross = next(site.module for site in self._sites if site.kind == "decoder-cross")

        def count(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            key = kwargs["key"] if "key" in kwargs else args[1]
            seen.append(key.shape[1] if module.batch_first else key.shape[0])

        handle = cross.register_forward_pre_hook(count, with_kwargs=True)
        try:
            with torch.no_grad():
                self.forward({"images": torch.zeros(1, 3, side_px, side_px)})
        finally:
            handle.remove()
        return seen[0] if seen else 0


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """``eval()`` while the block runs, and every part's own mode again afterwards."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def _sites(module: nn.Module) -> list[AttentionSite]:
    """The sites of the one transformer inside, encoder first."""
    stacks: dict[str, list[tuple[tuple[bool, int, bool], AttentionSite]]] = {}
    for name, part in module.named_modules():
        place = _PLACE.search(name)
        if place is None or not isinstance(part, nn.MultiheadAttention):
            continue
        room, layer, is_self = place[1], int(place[2]), place[3] == "self_attn"
        kind: SiteKind = "encoder-self" if room == "encoder" else "decoder-self" if is_self else "decoder-cross"
        site = AttentionSite(f"{room}.{layer}.{'self' if is_self else 'cross'}", kind, layer, part)
        stacks.setdefault(name[: place.start(1)], []).append(((room == "decoder", layer, not is_self), site))
    looking = {
        prefix: sites for prefix, sites in stacks.items() if any(site.kind == "decoder-cross" for _, site in sites)
    }
    if len(looking) != 1:
        found = f"several transformers ({', '.join(sorted(looking))})" if looking else "none"
        raise ChoiceError(
            f"{type(module).__name__} should have one nn.MultiheadAttention per layer at "
            f"decoder.layers.N.multihead_attn; found {found}: use capture(module) to record whatever attention it has"
        )
    (stack,) = looking.values()
    return [site for _, site in sorted(stack, key=lambda entry: entry[0])]


def _part(output: Any, *names: str) -> Tensor:
    for name in names:
        value = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if isinstance(value, Tensor):
            return value
    raise ChoiceError(f"the module's output has no {' or '.join(names)}: found {type(output).__name__}")
