"""Loads a detector, and traces one picture through it with everything recorded."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from threading import RLock

import torch
from PIL import Image
from torch import Tensor, nn

from detr_attnviz import __version__
from detr_attnviz.errors import CaptureError, ChoiceError, ImageError
from detr_attnviz.families.base import Family, Precision, Prediction, Prepared
from detr_attnviz.families.open import ClassNames, OpenOptions, Source, Weights, default_source, open_family
from detr_attnviz.families.own_code import OwnCode, Postprocess, Preprocess, Score
from detr_attnviz.memory import OUT_OF_MEMORY, is_out_of_host_memory, is_out_of_memory
from detr_attnviz.pictures import read_picture
from detr_attnviz.recording.hooks import Records, outputs, record
from detr_attnviz.recording.tape import Place, Tape, taped
from detr_attnviz.sites import AttentionSite
from detr_attnviz.trace import Trace


def load(
    source: Source | None = None,
    *,
    device: str = "auto",
    nheads: int | None = None,
    dilation: bool | None = None,
    classes: ClassNames | None = None,
    weights: Weights = "auto",
    precision: Precision = "fp32",
    text: str | None = None,
    preprocess: Preprocess | None = None,
    postprocess: Postprocess | None = None,
    sites: Sequence[AttentionSite] | None = None,
    score: Score = "softmax",
    progress: Callable[[int, int | None], None] | None = None,
) -> "Detector":
    """A detector from a name ("demo", "detr-r50", "owner/name" of the Hub), a file, a folder or a built ``nn.Module``.

    Without ``source``: ``$ATTNVIZ_CHECKPOINT``, else detr-r50 if it is on disk, else the demo weights.
    ``nheads`` and ``dilation`` say what no tensor tells; ``classes`` names the classes (a sequence, id → name,
    a text file or a COCO-style JSON). ``weights`` is "model", "ema" for the averaged ones of a training checkpoint, or
    "auto": those that the model's own repository evaluates. ``device`` is "auto", "cpu", "cuda", "cuda:1", "mps"; a
    built module stays where it is on "auto". ``precision`` "fp32" is exact up to rounding; "official" keeps the
    official order of operations, for its very digits; "bf16" and "fp16" are what the backbone's convolutions compute
    in, while the transformer, and so attention itself, stays in float32. ``text`` is what Grounding DINO is to look
    for: "a cat. a remote control.".
    ``detector.notes`` holds what had to be assumed.

    For a built module alone: ``preprocess`` turns an upright RGB picture into what the module is called with,
    ``postprocess`` its output into logits and boxes, ``sites`` say where its attention is, and ``score`` "sigmoid" that
    every class has a probability of its own instead of a last one that is no-object; see docs/own-model.md.

    Raises: CheckpointError, DownloadError, MissingExtraError, ChoiceError.
    """
    note: tuple[str, ...] = ()
    if source is None:
        source, why = default_source()
        note = (why,)
    stays = device == "auto" and isinstance(source, nn.Module)
    own = OwnCode(preprocess, postprocess, sites, score)
    options = OpenOptions(nheads, dilation, classes, weights, progress, text, own)
    goal = None if stays else find_device(device)
    with (
        torch.inference_mode(False),
        _room_for(source, goal),
    ):  # weights made in that mode could never be part of a graph
        family = open_family(source, options)
        family.settle(goal, precision)
    return Detector(family, notes=(*note, *family.origin.notes))


@contextmanager
def _room_for(source: Source, device: torch.device | None) -> Iterator[None]:
    """Memory that runs out while a model is opened is one line; a built module goes back to where it was.

    Raises: ChoiceError.
    """
    weight = next(source.parameters(), None) if isinstance(source, nn.Module) else None
    was = None if weight is None else weight.device
    try:
        yield
    except OUT_OF_MEMORY as error:
        if not is_out_of_memory(error):
            raise
        if isinstance(source, nn.Module) and was is not None:
            source.to(was)
        name = type(source).__name__ if isinstance(source, nn.Module) else source
        where = "this machine" if device is None or is_out_of_host_memory(error) else str(device)
        instead = "" if where == "this machine" else ", or choose device cpu"
        raise ChoiceError(
            f"{name}: not enough memory on {where} for the model: end what else is there{instead}"
        ) from None


def find_device(name: str) -> torch.device:
    """The device called ``name``; "auto" is the first of CUDA, MPS and CPU that is there.

    Raises: ChoiceError when there is no such device.
    """
    has_mps = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ChoiceError(f"no device {name!r}: choose auto, cpu, cuda, cuda:N or mps") from None
    is_there = {"cpu": True, "mps": has_mps, "cuda": 0 <= (device.index or 0) < torch.cuda.device_count()}
    if not is_there.get(device.type, False):
        raise ChoiceError(f"device {name} is not available here; choose auto or cpu")
    return device


class Detector:
    """A loaded model and everything needed to trace pictures through it."""

    def __init__(self, family: Family, *, notes: tuple[str, ...] = ()) -> None:
        self.family = family
        self.notes = notes

    def __repr__(self) -> str:
        return f"Detector({self.family.origin.name!r}, {len(self.sites)} sites)"

    @property
    def name(self) -> str:
        """What the checkpoint is called: a known name, a file's or folder's name, or a module's class."""
        return self.family.origin.name

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by label id; empty strings where an id has none."""
        return self.family.class_names

    @cached_property
    def sites(self) -> tuple[AttentionSite, ...]:
        """Every place of attention, encoder first."""
        return self.family.sites()

    @property
    def threshold(self) -> float:
        """The lowest score that is shown unless the caller says: what models of this kind are drawn with."""
        return self.family.threshold

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        weights = (weight for site in self.sites for weight in site.module.parameters())
        return next((weight.device for weight in weights), torch.device("cpu"))

    @property
    def checkpoint_sha256(self) -> str:
        """The checkpoint file's sha256 in hex, or "" for a built module."""
        return self.family.origin.sha256

    @cached_property
    def provenance(self) -> dict[str, str]:
        """What pictures and manifests carry of the model: name, file, hash, heads, dilation, version."""
        origin = self.family.origin
        known = {
            "checkpoint": origin.name,
            "checkpoint_sha256": self.checkpoint_sha256,
            "weights": origin.weights if origin.weights != "model" else None,
            "precision": origin.precision if origin.precision != "fp32" else None,
            "heads": origin.heads,
            "dilation": origin.dilation,
            "text": origin.told.get("text"),
            "configuration_sha256": origin.configuration_sha256,
            "assumed": "; ".join(origin.notes),
        }
        values = {name: str(value) for name, value in known.items() if value not in (None, "")}
        return {**values, "software": f"detr_attnviz {__version__}"}

    def prepare(self, image: Image.Image, *, shortest_px: int | None = None, longest_px: int | None = None) -> Prepared:
        """An upright RGB picture as the model's inputs, and its grid."""
        return self.family.prepare(image, shortest_px=shortest_px, longest_px=longest_px)

    def forward(self, inputs: Mapping[str, Tensor]) -> tuple[Prediction, Records]:
        """One forward with every site recorded."""
        with exact_inference(self.device), record(self.sites, copy=not self.family.holds_still) as records:
            prediction = self.family.forward(inputs)
        return prediction, records

    def layer_predictions(self, inputs: Mapping[str, Tensor]) -> tuple[Prediction, ...]:
        """One forward, and what each decoder layer predicts in it; () for a model that does not tell."""
        with exact_inference(self.device):
            return self.family.layer_predictions(inputs)

    def tape(self, inputs: Mapping[str, Tensor], places: Sequence[Place]) -> tuple[Prediction, Records, Tape]:
        """One forward with every site recorded, whose output has gradients back to the tensors at ``places``.

        Raises: CaptureError for a model whose weights were made in inference mode.
        """
        if any(weight.is_inference() for site in self.sites for weight in site.module.parameters()):
            raise CaptureError(
                f"{self.name} was built under torch.inference_mode(), which gradients cannot go through: build or load "
                "it outside, or choose a method without gradients, such as raw"
            )
        with exact(self.device), taped(places) as tape:
            with record(self.sites, copy=not self.family.holds_still) as records:
                prediction = self.family.forward(inputs)
        return prediction, records, tape

    def trace(
        self,
        image: str | Path | Image.Image,
        *,
        shortest_px: int | None = None,
        longest_px: int | None = None,
    ) -> Trace:
        """One picture, one forward, everything recorded.

        ``shortest_px`` and ``longest_px`` bound the resized picture's sides; by default 800 and 1333, or
        what the checkpoint was made for.

        Raises: ImageError for a picture that cannot be read.
        """
        if not isinstance(image, (str, Path, Image.Image)):
            raise ImageError(
                f"{type(image).__name__} is no picture: give a path or a PIL.Image (Image.fromarray(array))"
            )
        picture = read_picture(image)
        prepared = self.prepare(picture, shortest_px=shortest_px, longest_px=longest_px)
        source = str(image) if isinstance(image, (str, Path)) else ""
        return self.trace_prepared([(picture, prepared, source)])[0]

    def trace_prepared(self, pictures: Sequence[tuple[Image.Image, Prepared, str]]) -> tuple[Trace, ...]:
        """One forward over pictures that were prepared to the same size, and a trace of each.

        A picture comes with what ``prepare`` made of it and its source. None is padded, so every map is the one
        that the picture gives alone: to the bit in a batch of one, else as exactly as a batched kernel rounds.

        Raises: ChoiceError for inputs of several sizes.
        """
        if not pictures:
            return ()
        inputs = _joined([prepared for _, prepared, _ in pictures])
        with exact(self.device), outputs(self.family.projection()) as projected:
            prediction, records = self.forward(inputs)
        own = [records] if len(pictures) == 1 else [records.picture(index) for index in range(len(pictures))]
        return tuple(
            self._trace(picture, prediction.picture(index), own[index], [one[index : index + 1] for one in projected])
            for index, picture in enumerate(pictures)
        )

    def _trace(
        self,
        picture: tuple[Image.Image, Prepared, str],
        prediction: Prediction,
        records: Records,
        projected: Sequence[Tensor],
    ) -> Trace:
        image, prepared, source = picture
        inputs = prepared.inputs
        if len(projected) == 1:
            inputs = self.family.resumed(inputs, projected[0])
        return Trace(
            image=image,
            grid=prepared.grid,
            detections=self.family.detections(prediction, prepared.grid),
            logits=prediction.logits[0].clone(),  # outside inference mode: a tensor like any other
            boxes=prediction.boxes[0].clone(),
            records=records,
            detector=self,
            prepared=prepared,
            resumed=inputs,
            source=source,
        )


def _joined(pictures: Sequence[Prepared]) -> Mapping[str, Tensor]:
    first = pictures[0].inputs
    if len(pictures) == 1:
        return first
    if not all(isinstance(value, Tensor) for value in first.values()):
        raise ChoiceError("a preprocess of one's own prepares pictures one by one: run each in a forward of its own")
    sizes = {tuple((name, *value.shape) for name, value in prepared.inputs.items()) for prepared in pictures}
    if len(sizes) > 1:
        raise ChoiceError(f"pictures of one forward must be prepared to one size; found {sorted(sizes)}")
    # Those that a full GPU had no room for are still in the host's memory.
    return {
        name: torch.cat([prepared.inputs[name].to(value.device) for prepared in pictures])
        for name, value in first.items()
    }


_one_at_a_time = RLock()


@contextmanager
def exact_inference(device: torch.device) -> Iterator[None]:
    """``exact`` in inference mode."""
    with exact(device), torch.inference_mode():
        yield


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """True float32 on ``device``: a caller's autocast and CUDA's TF32 are off inside.

    One thread at a time: switches are the process's, and hooks hear whoever runs the module.
    """
    with (
        _one_at_a_time,
        _without_tf32() if device.type == "cuda" else nullcontext(),
        torch.autocast(device.type, enabled=False),
    ):
        yield


@contextmanager
def _without_tf32() -> Iterator[None]:
    matmul, convolution = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(matmul, "fp32_precision"):  # once a host has used these, reading the older switches is an error
        was = matmul.fp32_precision, convolution.conv.fp32_precision  # type: ignore[attr-defined]
        matmul.fp32_precision = convolution.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
        try:
            yield
        finally:
            matmul.fp32_precision, convolution.conv.fp32_precision = was  # type: ignore[attr-defined]
        return
    older = torch.get_float32_matmul_precision(), convolution.allow_tf32
    torch.set_float32_matmul_precision("highest")
    convolution.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(older[0])
        convolution.allow_tf32 = older[1]
