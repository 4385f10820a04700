"""Opens transformers' object detectors: read from a checkpoint, or built by a caller."""

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from detr_attnviz.checkpoints.class_names import showable
from detr_attnviz.checkpoints.config import check_class_names, too_few_names
from detr_attnviz.checkpoints.folder import configs_in
from detr_attnviz.checkpoints.hub import cached_folder
from detr_attnviz.errors import CheckpointError, ChoiceError
from detr_attnviz.families.base import Origin
from detr_attnviz.families.hf_build import built, known_of, quiet, rejections
from detr_attnviz.families.hf_family import HFFamily
from detr_attnviz.families.hf_layout import layout_of
from detr_attnviz.families.hf_processing import processing_of
from detr_attnviz.families.hf_prompt import Prompt, prompt_of
from detr_attnviz.families.hf_table import KNOWN, Known
from detr_attnviz.families.module import evaluating

_MOST_TOKENS = 256


@dataclass(frozen=True)
class Asked:
    """What a caller may say about a model of transformers: names of its classes, and what it is to look for."""

    class_names: Sequence[str] | None = None
    text: str | None = None


def is_transformers(module: nn.Module) -> bool:
    """Whether a module is a model of transformers, which is not imported to say no."""
    return any(kind.__module__.partition(".")[0] == "transformers" for kind in type(module).__mro__)


def open_saved(
    config: Mapping[str, object], tensors: Mapping[str, Tensor], origin: Origin, asked: Asked | None = None
) -> HFFamily:
    """The family of a ``config.json`` (with its ``preprocessor_config``) and tensors, read from ``origin.path``.

    Raises:
        CheckpointError: another model, a configuration that transformers rejects, or tensors that do not fit it.
        MissingExtraError: transformers is not installed.
        ChoiceError: a text or class names that the model has no use for, or no text where it needs one.
    """
    source = Path(origin.path or "")
    known, asked = known_of(config.get("model_type"), str(source)), asked or Asked()
    _check_text(known, asked)
    model = built(config, tensors, str(source))
    folder = source if source.is_dir() else source.parent
    return _family(model.requires_grad_(False), known, _preparation(config), folder, origin, asked, is_own=True)


def open_built(module: nn.Module, asked: Asked | None = None) -> HFFamily:
    """The family of a model that a caller built, which stays as it is.

    Its image processor (and tokenizer) are looked for where its weights came from, if that is on disk.

    Raises: ChoiceError for one that is no object detector, or of no known family; CheckpointError for one that reads
        a text and names no folder with a tokenizer; and as ``open_saved``.
    """
    config: Any = module.config
    if config.model_type not in KNOWN or not isinstance(
        getattr(module, "model", getattr(module, "vit", None)), nn.Module
    ):
        raise ChoiceError(
            f"{type(module).__name__} is no object detector of transformers that is known here: expected the "
            f"…ForObjectDetection of one of {', '.join(KNOWN)}; capture(module) records whatever attention it has"
        )
    known, asked = KNOWN[config.model_type], asked or Asked()
    _check_text(known, asked)
    came_from = config.name_or_path
    if known.needs_text and not came_from:
        raise CheckpointError(
            f"{type(module).__name__} was built without a tokenizer: set config.name_or_path to the folder of one"
        )
    folder = cached_folder(came_from) or Path(came_from or ".")
    saved = _preparation(configs_in(folder)) if came_from and os.path.isdir(folder) else None
    return _family(module, known, saved, folder, Origin(type(module).__name__), asked, is_own=False)


def _family(
    model: nn.Module,
    known: Known,
    saved: Mapping[str, object] | None,
    folder: Path,
    origin: Origin,
    asked: Asked,
    *,
    is_own: bool,
) -> HFFamily:
    config: Any = model.config
    with quiet(), nullcontext() if is_own else evaluating(model):
        prompt = _prompt(known, asked, folder, config)
        with rejections(str(folder)) if is_own else nullcontext():  # such as a probability of dropout above 1
            layout = layout_of(model, known)
        processing = processing_of(known, saved, layout.multiple_px)
    heads = getattr(config, "decoder_attention_heads", None) or getattr(config, "num_attention_heads", None)
    return HFFamily(
        model,
        known,
        processing,
        layout,
        prompt.phrases if prompt else _class_names(config, asked),
        replace(origin, heads=heads, notes=(*origin.notes, *processing.notes, *_unnamed(config, asked))),
        prompt=prompt,
        is_own=is_own,
    )


def _preparation(config: Mapping[str, object]) -> Mapping[str, object] | None:
    found = config.get("preprocessor_config")
    return found if isinstance(found, Mapping) else None


def _check_text(known: Known, asked: Asked) -> None:
    """Before seconds go into the model."""
    if known.needs_text and not (asked.text or "").strip():
        raise ChoiceError(f'{known.title} looks for what a text names: give --text "a cat. a remote control."')
    if known.needs_text and asked.class_names:
        raise ChoiceError(f"{known.title} has the phrases of its text for classes: leave class names out")
    if asked.text is not None and not known.needs_text:
        raise ChoiceError(f"{known.title} has classes of its own and takes no text: leave it out")


def _prompt(known: Known, asked: Asked, folder: Path, config: Any) -> Prompt | None:
    if not known.needs_text:
        return None
    return prompt_of(asked.text or "", folder, getattr(config, "max_text_len", _MOST_TOKENS))


def _unnamed(config: Any, asked: Asked) -> tuple[str, ...]:
    """A note where a caller's names are too few."""
    if asked.class_names is None or len(asked.class_names) >= config.num_labels:
        return ()
    return (too_few_names(len(asked.class_names), config.num_labels),)


def _class_names(config: Any, asked: Asked) -> tuple[str, ...]:
    """The caller's, else the configuration's, whose placeholders ``LABEL_0`` … say nothing."""
    if asked.class_names is not None:
        return check_class_names(tuple(asked.class_names), config.num_labels)
    names = {int(label): str(name) for label, name in (config.id2label or {}).items()}
    if all(name == f"LABEL_{label}" for label, name in names.items()):
        return ()
    return showable([names.get(label, "") for label in range(config.num_labels)], "id2label in its config.json")
