"""Opens a checkpoint without running any code from it: pickled, safetensors, or a Hugging Face folder.

Tensors are memory-mapped where the file permits it.
"""

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from detr_attnviz.checkpoints.choice import Weights, choose, only_tensors
from detr_attnviz.checkpoints.digest import sha256_of as sha256_of  # callers find all reading here
from detr_attnviz.checkpoints.finite import note_on_broken
from detr_attnviz.checkpoints.folder import configs_beside, configs_in, weight_files
from detr_attnviz.checkpoints.kinds import AGAIN, file_size, other_kind, unreadable, with_advice
from detr_attnviz.checkpoints.pickles import load_pickle
from detr_attnviz.checkpoints.tensors import TensorFileError, load_tensors
from detr_attnviz.errors import BrokenWeightsWarning, CheckpointError, ChoiceError

MOST_TENSORS = 100_000
MOST_LIST_BYTES = 1 << 24
"""Of a safetensors file's header, which names its tensors."""


@dataclass(frozen=True)
class Checkpoint:
    """One state dict of a checkpoint, with what else its file tells.

    ``tensors`` is flat and keeps the names found. ``args`` holds a training script's arguments, a Hugging Face
    ``config.json`` (its ``preprocessor_config.json`` under that key) or our own metadata; empty if there is none.
    ``metadata`` holds single values beside the weights, such as ``epoch``. ``flavour`` is ``training``, ``hub``,
    ``bare``, ``ema``, ``safetensors`` or ``folder``. ``notes`` are sentences that a user should know.
    """

    path: Path
    tensors: dict[str, Tensor]
    args: dict[str, object] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    flavour: str = "bare"
    notes: tuple[str, ...] = ()


def read(path: str | Path, *, weights: Weights = "auto") -> Checkpoint:
    """Read a checkpoint file or folder; ``weights`` chooses between plain ("model") and averaged ("ema") ones.

    "auto" takes the plain ones where there are both, but the averaged ones of RT-DETR and D-FINE, as their authors do.
    Weights that hold NaN or infinity are named in a ``BrokenWeightsWarning`` and in ``notes``.

    Raises:
        UnsafeCheckpointError: it asks for Python objects beyond plain weights, or for files outside its folder.
        CheckpointError: missing, empty, cut off, not a checkpoint, or without tensors.
        ChoiceError: averaged weights asked for, none there.
    """
    path = Path(path)
    if os.path.isdir(path):
        return _read_folder(path, weights)
    if is_safetensors(path):
        tensors, metadata = _load_safetensors(path)
        _refuse_average(path, weights)
        return _checked(
            Checkpoint(path, tensors, _config_in(metadata) or configs_beside(path), metadata, "safetensors")
        )
    choice = choose(load_pickle(path), weights, str(path))
    args = choice.args or configs_beside(path)
    return _checked(Checkpoint(path, choice.state, args, choice.metadata, choice.flavour, choice.notes))


def is_safetensors(path: Path) -> bool:
    """Whether a file is safetensors by content, whatever its name: eight bytes of length, then a JSON header.

    Raises:
        CheckpointError: missing, empty, or well known to be something else.
    """
    size = file_size(path)
    try:
        with open(path, "rb") as file:
            head = file.read(64)
    except OSError as error:
        raise unreadable(path, error) from None
    if size == 0:
        raise CheckpointError(f"{path}: the file is empty; {AGAIN}")
    list_bytes = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and (list_bytes < 1 << 27 or path.suffix == ".safetensors"):
        if list_bytes > MOST_LIST_BYTES:
            raise CheckpointError(
                f"{path}: damaged, or made to mislead: its list of tensors would take {list_bytes >> 20:,} MB; no "
                f"detector's does; {AGAIN}"
            )
        return True
    if kind := other_kind(head):
        raise CheckpointError(f"{path}: not a checkpoint but {with_advice(kind)}")
    if path.suffix == ".safetensors":
        raise CheckpointError(f"{path}: not a safetensors file (it begins with {head[:8]!r}); {AGAIN}")
    return False


def _load_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        return load_tensors(path)
    except TensorFileError as error:
        raise CheckpointError(f"{path}: cut off or damaged ({error}); {AGAIN}") from None


def _config_in(metadata: Mapping[str, str]) -> dict[str, object]:
    try:
        config = json.loads(metadata.get("config", "{}"))
    except (ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}


def _read_folder(folder: Path, weights: Weights) -> Checkpoint:
    files = weight_files(folder)
    config = configs_in(folder)
    if len(files) == 1:
        inner = read(files[0], weights=weights)
        return Checkpoint(folder, inner.tensors, inner.args | config, inner.metadata, "folder", inner.notes)
    _refuse_average(folder, weights)
    tensors: dict[str, Tensor] = {}
    for path in files:
        tensors |= _load_safetensors(path)[0] if is_safetensors(path) else only_tensors(load_pickle(path))
    return _checked(Checkpoint(folder, tensors, config, {}, "folder"))


def _refuse_average(path: Path, weights: Weights) -> None:
    if weights == "ema":
        raise ChoiceError(f"{path}: no averaged (EMA) weights to choose; it holds one set of weights only")


def _checked(checkpoint: Checkpoint) -> Checkpoint:
    """With a note on weights that are no numbers.

    Raises: CheckpointError when there is no tensor, or more than any detector has.
    """
    count = len(checkpoint.tensors)
    if not count:
        raise CheckpointError(f"{checkpoint.path}: holds no tensors")
    if count > MOST_TENSORS:
        raise CheckpointError(
            f"{checkpoint.path}: holds {count:,} tensors; expected some hundred, at most {MOST_TENSORS:,}"
        )
    broken = note_on_broken(checkpoint.tensors)
    for note in broken:
        warnings.warn(f"{checkpoint.path}: {note}", BrokenWeightsWarning, stacklevel=3)
    return replace(checkpoint, notes=(*checkpoint.notes, *broken))
