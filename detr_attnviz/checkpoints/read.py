"""Opens a checkpoint without running any code from it: pickled, safetensors, or a Hugging Face folder.

Pickles are loaded with ``weights_only=True``. Beside tensors, plain containers and numbers only ``argparse.Namespace``
and ``pathlib`` paths are let in, the latter as pure paths, which cannot touch a disk and so also load on the other
operating system. Tensors are memory-mapped where the format permits it.
"""

import argparse
import hashlib
import json
import pickle
import threading
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from detr_attnviz.checkpoints.suspicion import other_kind, suspicious_globals
from detr_attnviz.errors import CheckpointError, ChoiceError, UnsafeCheckpointError

Weights = Literal["model", "ema"]

MODEL_NAMES = ("model", "state_dict", "model_state_dict", "module", "net", "network")
EMA_NAMES = ("model_ema", "ema", "ema_model", "ema_state_dict", "state_dict_ema", "ema_params")
ARGS_NAMES = ("args", "hyper_parameters", "config", "cfg", "hparams")
FOLDER_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".pkl")

_PATH_CLASSES: tuple[tuple[type, str], ...] = tuple(
    (pure, f"{module}.{name}")
    for module in ("pathlib", "pathlib._local")
    for name, pure in (
        ("Path", PurePath),
        ("PurePath", PurePath),
        ("PosixPath", PurePosixPath),
        ("PurePosixPath", PurePosixPath),
        ("WindowsPath", PureWindowsPath),
        ("PureWindowsPath", PureWindowsPath),
    )
)
_ALLOWED = (argparse.Namespace, *_PATH_CLASSES)
_allow_list_lock = threading.Lock()


@dataclass(frozen=True)
class Checkpoint:
    """One state dict of a checkpoint, with what else its file tells.

    ``tensors`` is flat and keeps the names found. ``args`` holds a training script's arguments, a Hugging Face
    ``config.json`` or our own metadata, empty if there is none. ``flavour`` is ``training``, ``hub``, ``bare``,
    ``ema``, ``safetensors`` or ``folder``. ``notes`` are sentences that a user should know.
    """

    path: Path
    tensors: dict[str, Tensor]
    args: dict[str, object] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    flavour: str = "bare"
    notes: tuple[str, ...] = ()


def read(path: str | Path, *, weights: Weights = "model") -> Checkpoint:
    """Read a checkpoint file or folder; ``weights`` chooses between the plain and the averaged (EMA) state dict.

    Raises:
        UnsafeCheckpointError: a pickle asks for a Python object that is not on the short list; it is named.
        CheckpointError: missing, empty, cut off, not a checkpoint, or without weights.
        ChoiceError: ``weights="ema"`` and the file has no average.
    """
    path = Path(path)
    if weights not in ("model", "ema"):
        raise ChoiceError(f"weights {weights!r} is unknown; expected 'model' or 'ema'")
    if path.is_dir():
        return _read_folder(path, weights)
    if _is_safetensors(path):
        return _read_safetensors(path, weights)
    return _choose(path, _load_pickle(path), weights)


def sha256_of(path: str | Path) -> str:
    """The sha256 of a checkpoint as 64 hex digits; of a folder, over its weight files one after the other."""
    path = Path(path)
    digest = hashlib.sha256()
    for file_path in _weight_files(path) if path.is_dir() else [path]:
        try:
            with open(file_path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise _unreadable(file_path, error) from None
    return digest.hexdigest()


def _unreadable(path: Path, error: OSError) -> CheckpointError:
    if isinstance(error, FileNotFoundError):
        return CheckpointError(f"{path}: no such file; expected a checkpoint file or a folder with one")
    return CheckpointError(f"{path}: cannot be read ({error.strerror or error})")


def _is_safetensors(path: Path) -> bool:
    """By content: eight bytes of header length, then a JSON header. Refuses what is well known to be something else."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            head = file.read(64)
    except OSError as error:
        raise _unreadable(path, error) from None
    if size == 0:
        raise CheckpointError(f"{path}: the file is empty; download or copy it again")
    header_bytes = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and header_bytes < max(size, 1 << 24):
        return True
    if kind := other_kind(head):
        raise CheckpointError(f"{path}: not a checkpoint but {kind}")
    if path.suffix == ".safetensors":
        raise CheckpointError(f"{path}: not a safetensors file (it begins with {head[:8]!r}); download it again")
    return False


def _read_safetensors(path: Path, weights: Weights) -> Checkpoint:
    tensors, metadata = _load_safetensors(path)
    args = _config_in(metadata) or _configs_beside(path)
    return _finish(path, tensors, args, metadata, "safetensors", weights, has_ema=False)


def _load_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:  # type: ignore[no-untyped-call]
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cut off or damaged ({_one_line(error)}); download or copy it again") from None


def _config_in(metadata: Mapping[str, str]) -> dict[str, object]:
    try:
        config = json.loads(metadata.get("config", "{}"))
    except ValueError:
        return {}
    return config if isinstance(config, dict) else {}


def _read_folder(folder: Path, weights: Weights) -> Checkpoint:
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    args = _configs_in_folder(folder)
    files = _weight_files(folder)
    for path in files:
        if len(files) == 1 and not _is_safetensors(path):
            inner = _choose(path, _load_pickle(path), weights)
            return Checkpoint(folder, inner.tensors, inner.args | args, inner.metadata, "folder", inner.notes)
        if _is_safetensors(path):
            part, found = _load_safetensors(path)
        else:
            part, found = _only_tensors(_load_pickle(path)), {}
        tensors |= part
        metadata |= found
    return _finish(folder, tensors, args or _config_in(metadata), metadata, "folder", weights, has_ema=False)


def _weight_files(folder: Path) -> list[Path]:
    """The folder's weight files in reading order: the usual names first, else its one file with a usual suffix."""
    for name in FOLDER_FILES:
        if (folder / name).is_file():
            return _shards(folder / name) if name.endswith(".json") else [folder / name]
    candidates = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
    if len(candidates) == 1:
        return candidates
    if candidates:
        names = ", ".join(path.name for path in candidates[:5])
        raise CheckpointError(f"{folder}: holds {len(candidates)} checkpoints ({names}); name one of them")
    raise CheckpointError(f"{folder}: a folder without weights; expected one of {', '.join(FOLDER_FILES)}")


def _shards(index: Path) -> list[Path]:
    weight_map = _json_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index}: no weight_map in this index; expected tensor names and their shard files")
    names = sorted({str(name) for name in weight_map.values()})
    strange = [name for name in names if name in ("", ".", "..") or set(name) & set("/\\:\0")]
    if strange:
        raise UnsafeCheckpointError(f"{index}: shard {strange[0]!r} is not a plain file name inside the folder")
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise CheckpointError(f"{index}: {len(missing)} of {len(names)} shards are missing ({', '.join(missing[:5])})")
    return [index.parent / name for name in names]


def _json_object(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({_one_line(error)})") from None
    return value if isinstance(value, dict) else {}


def _configs_in_folder(folder: Path) -> dict[str, object]:
    """``config.json`` as it is, and ``preprocessor_config.json`` under that name."""
    args = _json_object(folder / "config.json") if (folder / "config.json").is_file() else {}
    if (folder / "preprocessor_config.json").is_file():
        args = args | {"preprocessor_config": _json_object(folder / "preprocessor_config.json")}
    return args


def _configs_beside(path: Path) -> dict[str, object]:
    return _configs_in_folder(path.parent) if path.name in FOLDER_FILES else {}


def _load_pickle(path: Path) -> object:
    """Whatever plain objects a pickled file holds.

    Raises:
        UnsafeCheckpointError: it asks for anything else.
        CheckpointError: it cannot be read.
    """
    can_map = _check_zip(path)
    try:
        return _torch_load(path, mmap=can_map)
    except (pickle.UnpicklingError, AttributeError, TypeError, NotImplementedError) as error:
        raise _refusal(path, error) from None
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, OSError, AssertionError) as error:
        raise CheckpointError(f"{path}: cut off or damaged ({_one_line(error)}); download or copy it again") from None


def _torch_load(path: Path, *, mmap: bool) -> object:
    """``torch.load`` under our allow list, which is process-wide in torch: one at a time, and left as it was found."""
    with _allow_list_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        already = torch.serialization.get_safe_globals()
        with torch.serialization.safe_globals([entry for entry in _ALLOWED if entry not in already]):  # type: ignore[arg-type]
            try:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
            except (RuntimeError, OSError):
                if not mmap:
                    raise
            return torch.load(path, map_location="cpu", weights_only=True)


def _check_zip(path: Path) -> bool:
    """Whether a memory map is possible: torch's zip format, nothing in it compressed."""
    with open(path, "rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    if not is_zip:
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except zipfile.BadZipFile:
        raise CheckpointError(f"{path}: cut off (its zip directory is missing); download or copy it again") from None
    names = {member.filename.rpartition("/")[2] for member in members}
    if "constants.pkl" in names:
        raise CheckpointError(
            f"{path}: a TorchScript archive (a compiled program), not a checkpoint; "
            "save the original model's state_dict() instead"
        )
    if "data.pkl" not in names:
        raise CheckpointError(f"{path}: a zip archive without a checkpoint in it; unpack it first")
    return all(member.compress_type == zipfile.ZIP_STORED for member in members)


def _refusal(path: Path, error: Exception) -> CheckpointError:
    if names := suspicious_globals(path):
        return UnsafeCheckpointError(
            f"{path}: refused, nothing in it was run: it asks Python for {', '.join(names[:5])}; expected tensors, "
            "numbers and texts only. Where it was made, save model.state_dict() or a .safetensors file instead"
        )
    return CheckpointError(f"{path}: not a checkpoint that torch can read safely ({_one_line(error)})")


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "…"


def _choose(path: Path, content: object, weights: Weights) -> Checkpoint:
    """The state dict that was asked for among everything that a pickled file holds."""
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}; expected a dictionary of tensors")
    plain, averaged = _find(content, MODEL_NAMES), _find(content, EMA_NAMES)
    if plain is None and _is_state_dict(content):
        plain = "", content
    if plain is None and averaged is None:
        keys = ", ".join(str(key) for key in list(content)[:8]) or "nothing"
        raise CheckpointError(f"{path}: no tensors found; it holds {keys}")
    if weights == "ema" and averaged is None:
        raise ChoiceError(f"{path}: no averaged (EMA) weights in this file; only {plain[0] or 'a bare state dict'!r}")  # type: ignore[index]
    takes_average = weights == "ema" or plain is None
    place, state = averaged if takes_average else plain  # type: ignore[misc]
    args = _args_of(content) or _configs_beside(path)
    flavour = "ema" if takes_average else _flavour(place, content)
    numbers = {str(key): str(value) for key, value in content.items() if type(value) in (int, float, str)}
    other = plain if takes_average else averaged
    note = _note_on_choice(place, other[0] if other else None, takes_average)
    return _finish(path, state, args, numbers, flavour, weights, has_ema=True, notes=note)


def _find(content: Mapping[Any, Any], names: Iterable[str]) -> tuple[str, Mapping[Any, Any]] | None:
    """The first state dict under one of these names, or one level below it (``ema.module``)."""
    for name in names:
        inner = content.get(name)
        if not isinstance(inner, Mapping):
            continue
        if _is_state_dict(inner):
            return name, inner
        if deeper := _find(inner, MODEL_NAMES):
            return f"{name}.{deeper[0]}", deeper[1]
    return None


def _is_state_dict(value: Mapping[Any, Any]) -> bool:
    return any(isinstance(key, str) and isinstance(tensor, Tensor) for key, tensor in value.items())


def _flavour(place: str, content: Mapping[Any, Any]) -> str:
    if not place:
        return "bare"
    return "hub" if len(content) == 1 else "training"


def _note_on_choice(place: str, other: str | None, takes_average: bool) -> tuple[str, ...]:
    if other is None:
        return (f"averaged (EMA) weights taken from {place!r}: the file has no others",) if takes_average else ()
    kinds = ("averaged (EMA)", "plain") if takes_average else ("plain", "averaged (EMA)")
    return (
        f"{kinds[0]} weights taken from {place!r}; the file also has {kinds[1]} ones in {other or 'its top level'!r}",
    )


def _args_of(content: Mapping[Any, Any]) -> dict[str, object]:
    for name in ARGS_NAMES:
        found = content.get(name)
        if isinstance(found, argparse.Namespace):
            found = vars(found)
        if isinstance(found, Mapping) and found:
            return {str(key): str(value) if isinstance(value, PurePath) else value for key, value in found.items()}
    return {}


def _only_tensors(content: object) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        return {}
    return {str(key): tensor.detach() for key, tensor in content.items() if isinstance(tensor, Tensor)}


def _finish(
    path: Path,
    state: Mapping[Any, Any],
    args: dict[str, object],
    metadata: dict[str, str],
    flavour: str,
    weights: Weights,
    *,
    has_ema: bool,
    notes: tuple[str, ...] = (),
) -> Checkpoint:
    if weights == "ema" and not has_ema:
        raise ChoiceError(f"{path}: this kind of file holds one set of weights; no averaged (EMA) ones to choose")
    tensors = _only_tensors(state)
    if not tensors:
        raise CheckpointError(f"{path}: holds no tensors")
    skipped = sorted(str(key) for key, value in state.items() if not isinstance(value, Tensor))
    if skipped and flavour != "bare":
        notes += (f"{len(skipped)} values that are no tensors were skipped ({', '.join(skipped[:5])})",)
    return Checkpoint(path, tensors, args, metadata, flavour, notes)
