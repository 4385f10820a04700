"""Writes split attention weights to a file: ``<module>.q_weight`` … ``<module>.out_bias``."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from detr_attnviz.checkpoints.attention import AttentionWeights
from detr_attnviz.checkpoints.tensors import TensorFileError, save_tensors
from detr_attnviz.errors import OutputError
from detr_attnviz.files import reason_of, whole

Writer = Callable[[Path, Mapping[str, Tensor]], None]


def export(path: str | Path, modules: Iterable[AttentionWeights]) -> int:
    """Write the modules' split weights as ``.safetensors``, ``.npz`` or ``.pth``, whole or not at all; return how many.

    Values and types are those of the checkpoint, except that ``.npz`` has no bfloat16: it holds float32 instead,
    which is exact.

    Raises:
        OutputError: another suffix, or the file cannot be written.
    """
    path = Path(path)
    write = writer_for(path)
    tensors = named_parts(modules)
    with whole(path) as draft:
        try:
            write(draft, tensors)
        except (TensorFileError, RuntimeError) as error:
            raise OutputError(f"cannot write {path}: {_reason(error)}; make room, or write to another disk") from error
    return len(tensors)


def writer_for(path: Path) -> Writer:
    """What writes files of this suffix.

    Raises:
        OutputError: nothing does.
    """
    write = WRITERS.get(path.suffix.lower())
    if write is None:
        raise OutputError(
            f"{path}: cannot export to {path.suffix or 'a name without suffix'}; use {', '.join(WRITERS)}"
        )
    return write


def named_parts(modules: Iterable[AttentionWeights]) -> dict[str, Tensor]:
    """Every split tensor under ``<module>.<part>``."""
    return {
        f"{weights.name}.{part}" if weights.name else part: tensor.detach()
        for weights in modules
        for part, tensor in weights.parts.items()
    }


def _write_npz(path: Path, tensors: Mapping[str, Tensor]) -> None:
    arrays = {name: (t.float() if t.dtype == torch.bfloat16 else t).numpy() for name, t in tensors.items()}
    with open(path, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _write_pth(path: Path, tensors: Mapping[str, Tensor]) -> None:
    with open(path, "wb") as file:  # torch's own opening hides the operating system's reason
        torch.save({name: tensor.clone() for name, tensor in tensors.items()}, file)


def _reason(error: BaseException) -> str:
    """The operating system's reason, where one led to this error; else the library's words."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return reason_of(cause)
        cause = cause.__cause__ or cause.__context__
    return " ".join(str(error).split())


WRITERS: Mapping[str, Writer] = {
    ".safetensors": save_tensors,
    ".npz": _write_npz,
    ".pth": _write_pth,
}
