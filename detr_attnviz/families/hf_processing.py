"""Prepares pictures for transformers' models by the image processor that transformers has for them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from detr_attnviz.checkpoints.preparation import LONGEST_PX, MOST_PX, SHORTEST_PX
from detr_attnviz.checkpoints.saved import quoted, whole
from detr_attnviz.errors import CheckpointError, ChoiceError
from detr_attnviz.families.base import Resize
from detr_attnviz.families.hf_table import KNOWN, Known
from detr_attnviz.families.native import resized_rule

if TYPE_CHECKING:
    from PIL import Image

Saved = Mapping[str, object]

_CONFIG = "preprocessor_config.json"
_SUFFIXES = ("Fast", "Pil")
_MOST_LETTERS = 300
_TRIAL_PX = 32


@dataclass(frozen=True)
class Processing:
    """An image processor of transformers and the size that it resizes to, in transformers' words.

    ``size`` has ``shortest_edge`` and ``longest_edge``, or sides that do not depend on the picture. Both sides of an
    input must be multiples of ``multiple_px``; with ``may_pad`` they are made so by padding that the model is told of.
    Without it nothing is padded, by the processor neither: it would be picture to the model.
    """

    processor: Any
    size: Mapping[str, int]
    multiple_px: int = 1
    may_pad: bool = False
    notes: tuple[str, ...] = ()

    def inputs(
        self, image: "Image.Image", shortest_px: int | None = None, longest_px: int | None = None
    ) -> dict[str, Tensor]:
        """``images [1 3 height_px width_px]``, and ``is_real [1 height_px width_px]`` if some of that is padding.

        Raises: ChoiceError for a size that the model cannot take; CheckpointError for a description that the processor
            stumbles over with this picture only.
        """
        options: dict[str, Any] = {"size": _never_nothing(resized(self.size, shortest_px, longest_px), *image.size)}
        if shortest_px is not None or longest_px is not None:
            options["do_resize"] = True
        if not self.may_pad:
            options["do_pad"] = False
        with _described(self.processor):
            found = self.processor(images=image, return_tensors="pt", **options)
        images = found["pixel_values"].to(torch.float32)
        is_real = (
            found["pixel_mask"].bool() if "pixel_mask" in found else torch.ones_like(images[:, 0], dtype=torch.bool)
        )
        below, right = (-side % self.multiple_px for side in images.shape[-2:])
        if below or right:
            if not self.may_pad:
                raise _odd_sides(images, self.multiple_px)
            images, is_real = (F.pad(values, (0, right, 0, below)) for values in (images, is_real))
        return {"images": images} if is_real.all() else {"images": images, "is_real": is_real}


def processing_of(known: Known, saved: Saved | None, multiple_px: int) -> Processing:
    """The processor that ``saved`` describes, or the family's usual one.

    Pillow resizes wherever transformers leaves a choice, as the models were trained; so torchvision does not matter.

    Raises: CheckpointError for a description that transformers does not understand, or a package that it misses.
    """
    notes: list[str] = []
    name = _name_in(saved) or known.processor
    try:
        processor = _class_of(name).from_dict(dict(saved or {}))
    except ImportError as error:
        raise CheckpointError(
            f"{name}, which prepares pictures for {known.title}, needs torchvision, which is not installed: "
            "pip install torchvision"
        ) from error
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(f"transformers cannot make {name} of {_CONFIG}: {first_line(error)}") from error
    size = _size_of(processor, known if saved is None else None, notes)
    _refuse_large(size, processor)
    _try(processor, size)
    if saved is None:
        notes.append(f"no {_CONFIG}: pictures are prepared as usual for {known.title}, {_in_words(size)}")
    if not known.has_mask and processor.do_pad and processor.pad_size:
        notes.append(f"pad_size in {_CONFIG} is left out: {known.title} cannot be told what is padding")
    return Processing(processor, size, multiple_px, known.has_mask, tuple(notes))


def resized(size: Mapping[str, int], shortest_px: int | None, longest_px: int | None) -> Mapping[str, int]:
    """``size`` with what the caller overrides; a fixed size keeps its proportions.

    Raises: ChoiceError for sides that exclude each other.
    """
    if "shortest_edge" in size:
        rule = resized_rule(Resize(size["shortest_edge"], size["longest_edge"]), shortest_px, longest_px)
        return {"shortest_edge": rule.shortest_px, "longest_edge": rule.longest_px}
    rule = resized_rule(Resize(min(size.values()), max(size.values())), shortest_px, longest_px)
    ratio = min(rule.shortest_px / min(size.values()), rule.longest_px / max(size.values()))
    return {name: max(1, round(side * ratio)) for name, side in size.items()}


def _never_nothing(size: Mapping[str, int], width_px: int, height_px: int) -> dict[str, int]:
    """``size``, or both sides of a picture so narrow that transformers would round one of them to nothing."""
    short, long = sorted((width_px, height_px))
    if "shortest_edge" not in size or round(size["longest_edge"] * short / long):
        return dict(size)
    width_px, height_px = Resize(size["shortest_edge"], size["longest_edge"]).size(width_px, height_px)
    return {"height": height_px, "width": width_px}


def real_size(inputs: Mapping[str, Tensor]) -> tuple[int, int]:
    """(height, width) of the resized picture without its padding."""
    if "is_real" not in inputs:
        height, width = inputs["images"].shape[-2:]
        return height, width
    is_real = inputs["is_real"][0]
    return int(is_real.any(1).sum()), int(is_real.any(0).sum())


def first_line(error: Exception) -> str:
    """What an error of another package says, without the pages that may follow or what no terminal can show."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = "".join(letter if letter.isprintable() else " " for letter in " ".join(lines[:2]))
    return f"{said[:_MOST_LETTERS]}…" if len(said) > _MOST_LETTERS else said or type(error).__name__


def _name_in(saved: Saved | None) -> str | None:
    """The processor's class, also where it was still called a feature extractor."""
    found = (saved or {}).get("image_processor_type") or (saved or {}).get("feature_extractor_type")
    return found.replace("FeatureExtractor", "ImageProcessor") if isinstance(found, str) else None


def _class_of(name: str) -> Any:
    """Of the processors that are known here: others of transformers fetch files that a description names."""
    import transformers

    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    usual = sorted({known.processor for known in KNOWN.values() if hasattr(transformers, known.processor)})
    if name not in usual:
        raise CheckpointError(
            f"{quoted('image_processor_type', name)} in {_CONFIG} prepares pictures for no DETR that transformers "
            f"{transformers.__version__} has; known are {', '.join(usual)}; correct it, or remove the file for the "
            "family's usual one"
        )
    return getattr(transformers, f"{name}Pil", None) or getattr(transformers, name)


def _size_of(processor: Any, usual: Known | None, notes: list[str]) -> Mapping[str, int]:
    if usual is not None and usual.size is not None:
        return usual.size
    found = {str(name): side for name, side in dict(processor.size).items() if side}
    size = {name: side for name, value in found.items() if (side := whole(value)) is not None}
    if len(size) < len(found):
        raise CheckpointError(f"{quoted('size', found)} in {_CONFIG}; expected whole numbers of pixels above 0")
    for names in (("shortest_edge", "longest_edge"), ("height", "width"), ("max_height", "max_width")):
        if all(name in size for name in names):
            return {name: size[name] for name in names}
    shortest, longest = size.get("shortest_edge"), size.get("longest_edge")
    if shortest is None and longest is None:
        raise CheckpointError(
            f"{quoted('size', size)} in {_CONFIG}; expected shortest_edge and longest_edge, or height and width"
        )
    if shortest is None:
        assert longest is not None
        edges = {"shortest_edge": longest, "longest_edge": longest}
    else:
        edges = {"shortest_edge": shortest, "longest_edge": round(shortest * LONGEST_PX / SHORTEST_PX)}
    notes.append(f"{quoted('size', size)} in {_CONFIG} has one side only: {_in_words(edges)}")
    return edges


def _refuse_large(size: Mapping[str, int], processor: Any) -> None:
    """A longest side alone may be without bound; every picture would be made as large as the others."""
    sides = size.values() if "shortest_edge" not in size else (min(size.values()),)
    padded = (
        dict(processor.pad_size or {}).values()
        if getattr(processor, "do_pad", False) and hasattr(processor, "pad_size")
        else ()
    )
    if any(whole(side) is None or side > MOST_PX for side in (*sides, *padded) if side is not None):
        raise CheckpointError(
            f"{quoted('size', dict(size))} or {quoted('pad_size', getattr(processor, 'pad_size', None))} in {_CONFIG}; "
            f"expected whole numbers up to {MOST_PX:,} px; correct it there"
        )


def _try(processor: Any, size: Mapping[str, int]) -> None:
    """Prepares a small picture, so that a description that no picture survives is met before a folder of them."""
    from PIL import Image

    with _described(processor):
        blank = Image.new("RGB", (_TRIAL_PX, _TRIAL_PX))
        processor(images=blank, return_tensors="pt", size=dict.fromkeys(size, _TRIAL_PX))


@contextmanager
def _described(processor: Any) -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"{type(processor).__name__} cannot prepare pictures as {_CONFIG} says: {first_line(error)}; correct it"
        ) from error


def _in_words(size: Mapping[str, int]) -> str:
    if "shortest_edge" in size:
        return f"shortest side {size['shortest_edge']}, longest at most {size['longest_edge']}"
    return " × ".join(str(side) for side in size.values())


def _odd_sides(images: Tensor, multiple_px: int) -> ChoiceError:
    height, width = images.shape[-2:]
    near = max(1, round(min(height, width) / multiple_px)) * multiple_px
    return ChoiceError(
        f"the model takes sides that are multiples of {multiple_px} px; the picture came to {width} × {height}: "
        f"try shortest_px {near}"
    )
