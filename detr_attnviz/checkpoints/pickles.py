"""Loads what ``torch.save`` wrote, in its zip or its older format, without running any code from the file.

``weights_only=True`` always. Beside tensors, plain containers and numbers only ``argparse.Namespace`` and ``pathlib``
paths are let in, the latter as pure paths: they cannot touch a disk, and so a path saved on another operating system
loads too.
"""

import argparse
import pickle
import re
import threading
import warnings
import zipfile
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

import torch

from detr_attnviz.checkpoints.suspicion import other_kind, suspicious_globals
from detr_attnviz.errors import CheckpointError, UnsafeCheckpointError

AGAIN = "download or copy it again"

_PATH_CLASSES = (
    ("Path", PurePath),
    ("PurePath", PurePath),
    ("PosixPath", PurePosixPath),
    ("PurePosixPath", PurePosixPath),
    ("WindowsPath", PureWindowsPath),
    ("PureWindowsPath", PureWindowsPath),
)
_ALLOWED = (
    argparse.Namespace,
    *((pure, f"{module}.{name}") for module in ("pathlib", "pathlib._local") for name, pure in _PATH_CLASSES),
)
_allow_list_lock = threading.Lock()


def load_pickle(path: Path) -> object:
    """The plain objects in a pickled file; tensors are memory-mapped if its format permits.

    Raises:
        UnsafeCheckpointError: it asks for any other Python object, which is named.
        CheckpointError: it cannot be read, and why.
    """
    with open(path, "rb") as file:
        head = file.read(64)
    is_zip = head.startswith(b"PK\x03\x04")
    if not is_zip and not head.startswith(b"\x80"):
        raise _refusal(path, other_kind(head) or f"an unknown format (it begins with {head[:8]!r})")
    can_map = is_zip and _is_mappable_zip(path)
    try:
        return _torch_load(path, mmap=can_map)
    except (pickle.UnpicklingError, AttributeError, TypeError, NotImplementedError) as error:
        raise _refusal(path, _reason(error)) from None
    except Exception as error:  # damaged bytes make an unpickler trip over anything
        raise CheckpointError(f"{path}: cut off or damaged ({_reason(error)}); {AGAIN}") from None


def _torch_load(path: Path, *, mmap: bool) -> object:
    """``torch.load`` under our allow list, which torch keeps process-wide: one at a time, left as it was found."""
    with _allow_list_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        already = torch.serialization.get_safe_globals()
        with torch.serialization.safe_globals([entry for entry in _ALLOWED if entry not in already]):  # type: ignore[misc]
            try:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
            except (RuntimeError, OSError):  # some file systems cannot be mapped
                if not mmap:
                    raise
            return torch.load(path, map_location="cpu", weights_only=True)


def _is_mappable_zip(path: Path) -> bool:
    """Whether nothing in it is compressed: a map would show the compressed bytes as numbers."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except Exception as error:  # zipfile too trips over anything in a damaged directory
        raise CheckpointError(f"{path}: cut off or damaged ({_reason(error)}); {AGAIN}") from None
    names = {member.filename.rpartition("/")[2] for member in members}
    if "constants.pkl" in names:
        raise CheckpointError(
            f"{path}: not a checkpoint but a TorchScript archive (a compiled program); "
            "save the original model's state_dict() instead"
        )
    if "data.pkl" not in names:
        raise CheckpointError(f"{path}: not a checkpoint but another zip archive; unpack it first")
    return all(member.compress_type == zipfile.ZIP_STORED for member in members)


def _refusal(path: Path, reason: str) -> CheckpointError:
    if names := suspicious_globals(path):
        return UnsafeCheckpointError(
            f"{path}: refused, and nothing in it was run: it asks Python for {', '.join(names[:5])}; expected tensors, "
            "numbers and texts only. Where it was made, save model.state_dict() or a .safetensors file instead"
        )
    return CheckpointError(f"{path}: not a checkpoint but {reason}")


def _reason(error: Exception) -> str:
    """One short line of what torch says at length, advice to switch the safe loading off left out."""
    text = " ".join(str(error).split())
    if re.search(r"Unsupported operand \d+", text):
        return "a pickle of another protocol than 2; where it was made, save it with torch.save's default protocol"
    text = text.partition("WeightsUnpickler error: ")[2] or text
    text = text.partition(" Check the documentation")[0] or type(error).__name__
    return text if len(text) <= 160 else text[:159] + "…"
