"""What every family of detectors offers: prepare a picture, run, name its sites, read its output."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from detr_attnviz.checkpoints.preparation import IMAGENET_MEAN, IMAGENET_STD, LONGEST_PX, SHORTEST_PX
from detr_attnviz.checkpoints.read import sha256_of
from detr_attnviz.detections import Detection
from detr_attnviz.errors import ChoiceError
from detr_attnviz.grid import Grid
from detr_attnviz.models.fuse import Precision as Precision
from detr_attnviz.sites import AttentionSite

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import nn


THRESHOLDS: Mapping[str, float] = {"softmax": 0.7, "sigmoid": 0.5, "text": 0.25}
"""The lowest score that is usually shown, by how scores are made; "text" is of models that are told what to find.

Sources: facebookresearch/detr's demo; the default of transformers' post-processing, also for the last two.
"""


@dataclass(frozen=True)
class Prepared:
    """One picture as the model wants it: inputs by name, batch axis first, and how its tokens lie.

    A model of several feature maps has ``levels``, the finest first, and its ``grid`` is their ``common_grid``.
    """

    inputs: Mapping[str, Tensor]
    grid: Grid
    levels: tuple[Grid, ...] = ()


@dataclass(frozen=True)
class Padded:
    """A prepared picture inside a larger canvas: inputs, and which cells ``[rows cols]`` are padding."""

    inputs: Mapping[str, Tensor]
    is_padding: Tensor


@dataclass(frozen=True)
class Prediction:
    """Raw output: logits ``[batch queries classes]`` and boxes ``[batch queries 4]``, cxcywh in 0–1."""

    logits: Tensor
    boxes: Tensor

    def picture(self, index: int) -> "Prediction":
        """The output for one picture of the batch; its batch axis is 1."""
        return Prediction(self.logits[index : index + 1], self.boxes[index : index + 1])


@dataclass(frozen=True)
class Origin:
    """Where a model came from, and everything about it that no tensor told.

    ``heads`` and ``dilation`` are what the maps were made with; ``weights`` is "model" or "ema", ``precision`` what
    the backbone computes in. ``notes`` are sentences a user should read. ``told`` is what the caller said of the model,
    by the names that ``load`` has for it. ``configuration_sha256`` is of what besides its weights makes a model of
    transformers what it is, "" for others.
    """

    name: str
    path: str | None = None
    heads: int | None = None
    dilation: bool | None = None
    weights: str | None = None
    precision: str | None = None
    notes: tuple[str, ...] = ()
    told: Mapping[str, Any] = field(default_factory=dict)
    configuration_sha256: str = ""

    @cached_property
    def sha256(self) -> str:
        """The checkpoint's sha256 in hex, or "" for a built module."""
        return sha256_of(self.path) if self.path else ""


class Family(Protocol):
    """One family of detectors around one loaded model."""

    origin: Origin
    class_names: tuple[str, ...]
    holds_still: bool  # True when the model never changes its activations in place
    threshold: float  # the lowest score that is shown unless the caller says
    takes_batches: bool  # True when it is sure that several pictures may share a forward

    def prepare(
        self, image: "Image.Image", *, shortest_px: int | None = None, longest_px: int | None = None
    ) -> Prepared:
        """An upright RGB picture to inputs, still in the host's memory: no device is touched, from any thread."""

    def padded(self, inputs: Mapping[str, Tensor]) -> Padded | None:
        """The same picture with padding to the right and below, or None for a model without a mask."""

    def forward(self, inputs: Mapping[str, Tensor]) -> Prediction:
        """One inference on the model's device; the caller chooses what is recorded around it."""

    def layer_predictions(self, inputs: Mapping[str, Tensor]) -> tuple[Prediction, ...]:
        """What each decoder layer predicts in one inference, first layer first; () for a model that does not tell.

        The last one is what ``forward`` gives.
        """
        return ()

    def sites(self) -> tuple[AttentionSite, ...]:
        """Every place of attention, encoder first, in the order of the forward."""

    def projection(self) -> "nn.Module | None":
        """The convolution that takes the backbone's last features ``[B C rows cols]``, or None if none is known."""

    def resumed(self, inputs: Mapping[str, Tensor], projected: Tensor) -> Mapping[str, Tensor]:
        """Inputs of a forward that need not run the backbone again: ``projected`` is what ``projection`` gave before.

        The same ``inputs`` for a model that can only start from the picture.
        """

    def scores(self, logits: Tensor) -> Tensor:
        """Logits ``[… queries classes]`` as probabilities; no-object, where there is one, is left out."""

    def detections(self, prediction: Prediction, grid: Grid) -> tuple[Detection, ...]:
        """Every object query of a batch of one."""

    def settle(self, device: "torch.device | None", precision: Precision) -> None:
        """Moves the model to ``device`` (None: it stays) and makes it fast there; called once, before any forward.

        Raises: ChoiceError for a precision that this model or device has not.
        """


@dataclass(frozen=True)
class Resize:
    """The official resizing rule: shortest side to ``shortest_px``, but longest at most ``longest_px``."""

    shortest_px: int = SHORTEST_PX
    longest_px: int = LONGEST_PX
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __post_init__(self) -> None:
        if not 1 <= self.shortest_px <= self.longest_px:
            raise ChoiceError(
                f"shortest side {self.shortest_px} px and longest side {self.longest_px} px: "
                "the shortest must be at least 1 and at most the longest"
            )

    def size(self, width_px: int, height_px: int) -> tuple[int, int]:
        """(width, height) after resizing.

        Source: facebookresearch/detr, datasets/transforms.py: the longer side is truncated, and when the cap
        binds the shortest becomes the rounded ratio.
        """
        short, long = sorted((width_px, height_px))
        target = self.shortest_px
        if long / short * target > self.longest_px:
            target = round(self.longest_px * short / long)
        if short == target:
            return width_px, height_px
        target, scaled = (target, int(target * long / short)) if target else (1, self.longest_px)
        return (target, scaled) if width_px < height_px else (scaled, target)
