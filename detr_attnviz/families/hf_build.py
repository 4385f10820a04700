"""Lets transformers make a model of a configuration, and loads it strictly with tensors that were read here.

Nothing is fetched, no backbone either, and no code comes from where the tensors are.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from itertools import dropwhile
from traceback import walk_tb
from typing import Any

import torch
from torch import Tensor, nn

from detr_attnviz.checkpoints.saved import quoted
from detr_attnviz.errors import AttnVizError, CheckpointError, CheckpointKeysError, MissingExtraError
from detr_attnviz.families.hf_limits import check_counts, filled_by
from detr_attnviz.families.hf_processing import first_line
from detr_attnviz.families.hf_settings import settings_of
from detr_attnviz.families.hf_table import KNOWN, Known


def known_of(model_type: object, source: str) -> Known:
    """What is known of a family.

    Raises: CheckpointError for another model, listing those that are known.
    """
    if isinstance(model_type, str) and model_type in KNOWN:
        return KNOWN[model_type]
    raise CheckpointError(
        f"{source}: {quoted('model_type', model_type)} in its configuration is no DETR that is known here; known are "
        f"{', '.join(KNOWN)}; attnviz inspect-weights shows the attention weights of many other models"
    )


def built(config: Mapping[str, object], tensors: Mapping[str, Tensor], source: str) -> nn.Module:
    """The object detector that ``config`` describes, with ``tensors``, in float32 and ``eval()``.

    Raises:
        MissingExtraError: transformers is not installed.
        CheckpointError: it is too old, or rejects the configuration.
        CheckpointKeysError: tensors are missing, left over, or of another shape.
    """
    known = known_of(config.get("model_type"), source)
    kind, made = _configuration(config, known, source)
    with quiet(), rejections(source), filled_by(tensors, source):
        model, found = kind.from_pretrained(
            None,
            config=made,
            state_dict=dict(tensors),
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # else the first one raises, and the others stay unknown
            output_loading_info=True,
        )
    missing = {key for key in found["missing_keys"] if not key.endswith("num_batches_tracked")}
    unexpected = {key for key in found["unexpected_keys"] if not key.endswith("num_batches_tracked")}
    wrong = {key if isinstance(key, str) else key[0] for key in found["mismatched_keys"]}
    if missing or unexpected or wrong:
        raise CheckpointKeysError(
            source, missing=missing - wrong, unexpected=unexpected, wrong_shape=wrong, model=known.title
        )
    made_model: nn.Module = model.eval()
    return made_model


@contextmanager
def quiet() -> Iterator[None]:
    """transformers' reports and progress bars rest: what they would say is raised or noted here."""
    from transformers.utils import logging

    verbosity, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()


@contextmanager
def rejections(source: str) -> Iterator[None]:
    """Puts what transformers finds wrong into one line; its own error stays attached as the cause."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"{source}: transformers cannot make a model of its config.json ({first_line(error)}); correct it there"
        ) from error


@contextmanager
def running(source: str) -> Iterator[None]:
    """Puts what a configuration makes transformers stumble over into one line; no room, and faults of ours, stay."""
    try:
        yield
    except (AttnVizError, MemoryError):
        raise
    except Exception as error:
        if "memory" in str(error).lower() or _came_by_us(error):
            raise
        raise CheckpointError(
            f"{source}: transformers cannot run the model of its config.json on this picture ({first_line(error)}); "
            "correct config.json and what prepares pictures, or try another size"
        ) from error


def _came_by_us(error: Exception) -> bool:
    """Whether code of this package, such as a hook, stands between the model's call and the fault."""
    package = __name__.partition(".")[0]
    homes = [str(frame.f_globals.get("__name__", "")).partition(".")[0] for frame, _ in walk_tb(error.__traceback__)]
    inside = dropwhile(lambda home: home == package, homes)
    return package in inside


def _configuration(config: Mapping[str, object], known: Known, source: str) -> tuple[Any, Any]:
    """The model's class and its configuration."""
    if find_spec("transformers") is None:
        raise MissingExtraError(f"{source}: {known.title}", "hf")
    _check_version(known, source)
    from transformers.models.auto import configuration_auto, modeling_auto

    model_type = str(config["model_type"])
    kinds = (
        modeling_auto.MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING
        if known.needs_text
        else modeling_auto.MODEL_FOR_OBJECT_DETECTION_MAPPING
    )
    check_counts(config, source)
    with quiet(), rejections(source):
        made = configuration_auto.CONFIG_MAPPING[model_type].from_dict(settings_of(config, source))
        _need_timm(getattr(made, "backbone_config", None), source)
        return kinds[type(made)], made


def _need_timm(backbone: Any, source: str) -> None:
    if getattr(backbone, "model_type", None) == "timm_backbone" and find_spec("timm") is None:
        raise CheckpointError(f"{source}: its backbone comes from timm, which is not installed: pip install timm")


def _check_version(known: Known, source: str) -> None:
    found = version("transformers")
    if _numbers(found) < _numbers(known.since):
        raise CheckpointError(
            f"{source}: {known.title} needs transformers {known.since} or newer; found {found}: "
            f'pip install "transformers>={known.since}"'
        )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())
