"""Finds the weight files and the configuration of a Hugging Face folder."""

import json
import os
from pathlib import Path

from detr_attnviz.checkpoints.documents import read_small
from detr_attnviz.checkpoints.saved import quoted
from detr_attnviz.errors import CheckpointError, UnsafeCheckpointError, few

FOLDER_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".pkl")
_MOST_SHARDS = 10_000


def weight_files(folder: Path) -> list[Path]:
    """The folder's weight files in reading order: the usual names first, else its only file with a usual suffix.

    Raises:
        CheckpointError: none, several to choose from, shards missing, or a folder that may not be looked into.
        UnsafeCheckpointError: an index that names files outside the folder.
    """
    for name in FOLDER_FILES:
        if _is_file(folder / name):
            return _shards(folder / name) if name.endswith(".json") else [folder / name]
    candidates = sorted(path for path in _listed(folder) if path.suffix in SUFFIXES and _is_file(path))
    if len(candidates) == 1:
        return candidates
    if candidates:
        names = ", ".join(path.name for path in candidates[:5])
        raise CheckpointError(f"{folder}: holds {len(candidates)} checkpoints ({names}); name one of them")
    raise CheckpointError(f"{folder}: a folder without weights; expected one of {', '.join(FOLDER_FILES)} in it")


def configs_in(folder: Path) -> dict[str, object]:
    """``config.json`` as it is, and what prepares pictures under the key ``preprocessor_config``."""
    config = _json_object(folder / "config.json") if _is_there(folder / "config.json") else {}
    preparation = _preparation_in(folder)
    return config if preparation is None else config | {"preprocessor_config": preparation}


def _preparation_in(folder: Path) -> object:
    """From a file of its own, or from that of a processor for pictures and text."""
    if _is_there(folder / "preprocessor_config.json"):
        return _json_object(folder / "preprocessor_config.json")
    if _is_there(folder / "processor_config.json"):
        return _json_object(folder / "processor_config.json").get("image_processor")
    return None


def configs_beside(path: Path) -> dict[str, object]:
    """The configuration in a file's folder if its name says that it lies in a Hugging Face one."""
    return configs_in(path.parent) if path.name in FOLDER_FILES else {}


def _shards(index: Path) -> list[Path]:
    weight_map = _json_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(
            f"{index}: no weight_map in this index; expected tensor names and their shard files; "
            "fetch the whole folder again"
        )
    strange = [name for name in weight_map.values() if not _is_plain_name(name)]
    if strange:
        raise UnsafeCheckpointError(
            f"{index}: refused, because {quoted('shard', strange[0])} is no plain file name; expected files inside the "
            "folder"
        )
    names = sorted(set(weight_map.values()))
    if len(names) > _MOST_SHARDS:
        raise CheckpointError(
            f"{index}: names {len(names):,} shards; expected at most {_MOST_SHARDS:,}; fetch the whole folder again"
        )
    missing = [name for name in names if not _is_file(index.parent / name)]
    if missing:
        raise CheckpointError(
            f"{index}: {len(missing)} of {len(names)} shards are missing ({few(missing)}); fetch the whole folder again"
        )
    return [index.parent / name for name in names]


def _is_plain_name(name: object) -> bool:
    is_name = isinstance(name, str) and name not in ("", ".", "..") and len(name) <= 255 and name.isprintable()
    return is_name and not set(str(name)) & set("/\\:")


def _is_file(path: Path) -> bool:
    """Links count as what they lead to: the Hub's cache consists of them."""
    try:
        return path.is_file()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be looked at ({error.strerror}); give it read permission") from None


def _is_there(path: Path) -> bool:
    """Whether there is such a file; what only has its name is not passed over in silence."""
    if _is_file(path):
        return True
    if os.path.lexists(path):
        raise CheckpointError(f"{path}: a folder, a pipe or a link that leads nowhere; expected a file; replace it")
    return False


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be looked into ({error.strerror}); give it read permission") from None


def _json_object(path: Path) -> dict[str, object]:
    try:
        value = json.loads(read_small(path).decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{path}: not readable as JSON ({reason}); correct it, or fetch it again") from None
    if not isinstance(value, dict):
        raise CheckpointError(
            f"{path}: holds a JSON {type(value).__name__}; expected an object; correct it, or fetch it again"
        )
    return value
