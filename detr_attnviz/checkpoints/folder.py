"""Finds the weight files and the configuration of a Hugging Face folder."""

import json
import os
from pathlib import Path

from detr_attnviz.errors import CheckpointError, UnsafeCheckpointError, few

FOLDER_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".pkl")


def weight_files(folder: Path) -> list[Path]:
    """The folder's weight files in reading order: the usual names first, else its only file with a usual suffix.

    Raises:
        CheckpointError: none, several to choose from, or shards missing.
        UnsafeCheckpointError: an index that names files outside the folder.
    """
    for name in FOLDER_FILES:
        if os.path.isfile(folder / name):
            return _shards(folder / name) if name.endswith(".json") else [folder / name]
    candidates = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and os.path.isfile(path))
    if len(candidates) == 1:
        return candidates
    if candidates:
        names = ", ".join(path.name for path in candidates[:5])
        raise CheckpointError(f"{folder}: holds {len(candidates)} checkpoints ({names}); name one of them")
    raise CheckpointError(f"{folder}: a folder without weights; expected one of {', '.join(FOLDER_FILES)} in it")


def configs_in(folder: Path) -> dict[str, object]:
    """``config.json`` as it is, and what prepares pictures under the key ``preprocessor_config``."""
    config = _json_object(folder / "config.json") if os.path.isfile(folder / "config.json") else {}
    preparation = _preparation_in(folder)
    return config if preparation is None else config | {"preprocessor_config": preparation}


def _preparation_in(folder: Path) -> object:
    """From a file of its own, or from that of a processor for pictures and text."""
    if os.path.isfile(folder / "preprocessor_config.json"):
        return _json_object(folder / "preprocessor_config.json")
    if os.path.isfile(folder / "processor_config.json"):
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
    names = sorted({str(name) for name in weight_map.values()})
    strange = [name for name in names if name in ("", ".", "..") or set(name) & set("/\\:\0")]
    if strange:
        raise UnsafeCheckpointError(
            f"{index}: refused, because shard {strange[0]!r} is no plain file name; expected files inside the folder"
        )
    missing = [name for name in names if not os.path.isfile(index.parent / name)]
    if missing:
        raise CheckpointError(
            f"{index}: {len(missing)} of {len(names)} shards are missing ({few(missing)}); fetch the whole folder again"
        )
    return [index.parent / name for name in names]


def _json_object(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({error}); correct it, or fetch it again") from None
    if not isinstance(value, dict):
        raise CheckpointError(
            f"{path}: holds a JSON {type(value).__name__}; expected an object; correct it, or fetch it again"
        )
    return value
