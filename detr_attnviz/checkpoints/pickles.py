"""Loads what ``torch.save`` wrote, in its zip or its older format, without running any code from the file.

Every file is rehearsed first, which names whatever it asks for beyond plain weights and finds what its tensors claim
beyond what is there. What passes goes through ``weights_only=True``, always. Beside tensors, plain containers and
numbers only ``argparse.Namespace`` and ``pathlib`` paths are let in, the latter as pure paths: they cannot touch a
disk, and so a path saved on another operating system loads too.
"""

import argparse
import errno
import os
import pickle
import re
import threading
import warnings
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

import torch

from detr_attnviz.checkpoints.archive import Archive, ArchiveError, MaskedError, open_archive
from detr_attnviz.checkpoints.asked import SPECIAL_TENSORS, printable
from detr_attnviz.checkpoints.claims import MisleadingError
from detr_attnviz.checkpoints.kinds import AGAIN, other_kind, with_advice
from detr_attnviz.checkpoints.rehearsal import Rehearsal, rehearse
from detr_attnviz.checkpoints.spelling import spelled
from detr_attnviz.checkpoints.stream import asked_in_tar, is_tar, rehearse_stream
from detr_attnviz.checkpoints.substance import SPARE_BYTES
from detr_attnviz.errors import CheckpointError, UnsafeCheckpointError, few

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
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
_LEVELS = 8
_OF_THE_SYSTEM = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EACCES)
_allow_list_lock = threading.Lock()


def load_pickle(path: Path) -> object:
    """The plain objects in a pickled file; tensors are memory-mapped if its format permits.

    Raises:
        UnsafeCheckpointError: it asks for any other Python object, which is named.
        CheckpointError: it cannot be read, and why.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(64)
        with spelled(path) as name:
            can_map = _checked_zip(path, name) if head.startswith(_ZIP) else _checked_stream(path, head)
            return _plain(_torch_load(name, mmap=can_map), _LEVELS, {})
    except CheckpointError:
        raise
    except ArchiveError as error:
        why = f"refused, as {error}; what torch.save writes is not so" if isinstance(error, MaskedError) else error
        raise CheckpointError(f"{path}: {why}") from None
    except MisleadingError as error:
        raise CheckpointError(f"{path}: damaged, or made to mislead: {error}; {AGAIN}") from None
    except (pickle.UnpicklingError, AttributeError, TypeError, NotImplementedError) as error:
        raise CheckpointError(f"{path}: not a checkpoint but {_reason(error)}") from None
    except Exception as error:  # damaged bytes make an unpickler trip over anything
        if fault := _fault_of_the_system(error):
            raise CheckpointError(f"{path}: cannot be read ({fault}); mend that, then run it again") from None
        raise CheckpointError(f"{path}: cut off or damaged ({_reason(error)}); {AGAIN}") from None


def _checked_zip(path: Path, name: Path) -> bool:
    """Whether the archive, which torch is given by ``name``, can be mapped.

    Raises: ArchiveError, MisleadingError or CheckpointError for one that torch is not to see.
    """
    archive = open_archive(path)
    played = rehearse(BytesIO(archive.pickle))
    _check([played], path)
    for storage in played.storages.values():
        held = archive.sizes.get(storage.key)
        if held is None:
            raise MisleadingError(f"storage {printable(storage.key)} is not in it")
        if held != storage.size_bytes:
            raise MisleadingError(
                f"storage {printable(storage.key)} has {held:,} bytes, and its tensors claim {storage.size_bytes:,}"
            )
    _check_same_reading(archive, name, played.storages)
    return archive.is_mappable


def _check_same_reading(archive: Archive, name: Path, storages: Iterable[str]) -> None:
    """That torch, whose zip reader is another one, finds what was looked at.

    Raises: MaskedError.
    """
    reader = torch._C.PyTorchFileReader(str(name))
    is_same = reader.get_record("data.pkl") == archive.pickle and all(
        reader.get_record_offset(f"data/{key}") == archive.places[key]  # type: ignore[attr-defined]
        for key in storages
    )
    if not is_same:
        raise MaskedError("it can be read in two ways")


def _checked_stream(path: Path, head: bytes) -> bool:
    """False, as the older format cannot be mapped.

    Raises: MisleadingError or CheckpointError for one that torch is not to see.
    """
    if is_tar(path):
        _refuse(asked_in_tar(path), path)
        raise CheckpointError(
            f"{path}: not a checkpoint but a tar archive (or one of PyTorch's first year); unpack it, or load it there "
            "and save model.state_dict() with a later PyTorch"
        )
    played = rehearse_stream(path)
    if not head.startswith(_PICKLE):
        if not played[0].trouble:  # other texts may begin like a pickle of the first protocols
            _refuse(played[0].asked, path)
        kind = other_kind(head) or f"an unknown format (it begins with {head[:8]!r})"
        raise CheckpointError(f"{path}: not a checkpoint but {with_advice(kind)}")
    _check(played, path)
    if len(played) == 1:
        raise CheckpointError(f"{path}: not a checkpoint but a pickle that torch.save did not write; save it with that")
    return False


def _check(played: Sequence[Rehearsal], path: Path) -> None:
    _refuse(sorted({name for one in played for name in one.asked}), path)
    if trouble := next((one for one in played if one.trouble), None):
        if trouble.is_misleading:
            raise MisleadingError(trouble.trouble)
        raise CheckpointError(f"{path}: cut off or damaged ({trouble.trouble}); {AGAIN}")
    claimed = sum(one.tensor_bytes for one in played)
    held = sum(storage.size_bytes for one in played for storage in one.storages.values())
    if claimed > 2 * held + SPARE_BYTES:
        raise MisleadingError(f"its tensors come to {claimed >> 20:,} MB, and what they share to {held >> 20:,} MB")


def _refuse(asked: Sequence[str], path: Path) -> None:
    if asked and all(SPECIAL_TENSORS.fullmatch(name) for name in asked):
        raise CheckpointError(
            f"{path}: holds tensors that are no plain numbers (by {few(asked, 5)}: sparse, nested, quantized, or "
            "without values); where it was made, save them as dense tensors on the CPU"
        )
    if asked:
        raise UnsafeCheckpointError(
            f"{path}: refused, and nothing in it was run: it asks Python for {few(asked, 5)}; expected tensors, "
            "numbers and texts only. Where it was made, save model.state_dict() or a .safetensors file instead"
        )


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


def _plain(value: object, levels: int, done: dict[tuple[int, int], object]) -> object:
    """Dictionaries and tensors without what a file may have put over their methods, so many levels down.

    Deeper, nobody looks. ``done`` has what was met before, as a file may hold one thing in many places, or in itself.
    """
    if isinstance(value, torch.Tensor):
        return torch.Tensor.detach(value).as_subclass(torch.Tensor)
    if not isinstance(value, dict) or not levels:
        return value
    if (id(value), levels) not in done:
        made = done[id(value), levels] = {}
        made.update({key: _plain(inner, levels - 1, done) for key, inner in dict.items(value)})
    return done[id(value), levels]


def _fault_of_the_system(error: Exception) -> str:
    """What the system lacks, in its words, which torch's readers hold in a text; "" where the file is at fault."""
    told = re.search(r"errno (\d+)", str(error))
    number = error.errno if isinstance(error, OSError) else int(told[1]) if told else None
    return os.strerror(number).lower() if number in _OF_THE_SYSTEM else ""


def _reason(error: Exception) -> str:
    """One short line of what torch says at length, advice to switch the safe loading off left out."""
    text = " ".join(str(error).split())
    if re.search(r"Unsupported operand \d+", text):
        return "a pickle of another protocol than 2; where it was made, save it with torch.save's default protocol"
    text = text.partition("WeightsUnpickler error: ")[2] or text
    text = text.partition(" Check the documentation")[0] or type(error).__name__
    return text if len(text) <= 160 else text[:159] + "…"
