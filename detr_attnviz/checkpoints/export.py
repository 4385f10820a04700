"""Writes split attention weights to a file: ``<module>.q_weight`` … ``<module>.out_bias``."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from detr_attnviz.checkpoints.attention import AttentionWeights
from detr_attnviz.errors import OutputError
from detr_attnviz.files import whole


def export(path: str | Path, modules: Iterable[AttentionWeights]) -> int:
    """Write the modules' split weights as ``.safetensors``, ``.npz`` or ``.pth``, whole or not at all; return how many.

    Values and types are those of the checkpoint, except that ``.npz`` has no bfloat16: it holds float32 instead,
    which is exact.

    Raises:
        OutputError: another suffix, or the file cannot be written.
    """
    path = Path(path)
    write = WRITERS.get(path.suffix.lower())
    if write is None:
        raise OutputError(
            f"{path}: cannot export to {path.suffix or 'a name without suffix'}; use {', '.join(WRITERS)}"
        )
    tensors = named_parts(modules)
    with whole(path) as draft:
        write(draft, tensors)
    return len(tensors)


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


def _write_safetensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, path)


def _write_pth(path: Path, tensors: Mapping[str, Tensor]) -> None:
    torch.save({name: tensor.clone() for name, tensor in tensors.items()}, path)


WRITERS: Mapping[str, Callable[[Path, Mapping[str, Tensor]], None]] = {
    ".safetensors": _write_safetensors,
    ".npz": _write_npz,
    ".pth": _write_pth,
}
