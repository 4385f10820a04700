"""Reads and writes `.safetensors` files: the one place that knows that library."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from detr_attnviz.checkpoints.spelling import spelled


class TensorFileError(ValueError):
    """The library's complaint about a file, in one line; callers say which file and what to do."""


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Every tensor of a file, memory-mapped, and the texts of its metadata.

    Raises:
        TensorFileError: it is cut off, damaged or cannot be read.
    """
    try:
        with spelled(path) as name, safe_open(name, framework="pt", device="cpu") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise TensorFileError(" ".join(str(error).split())) from error


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors bit for bit; those that share memory are written once each.

    Raises:
        TensorFileError: the file cannot be written.
    """
    apart = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    try:
        save_file(apart, path, metadata=None if metadata is None else dict(metadata))
    except SafetensorError as error:
        raise TensorFileError(" ".join(str(error).split())) from error
