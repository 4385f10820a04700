"""What a pickled tensor says of its own size, held against the storage that it names.

A file may claim a million values over a storage of six, or strides that lead outside: what reads on claims alone shows
memory of the process as weights, or takes terabytes. Here nothing is read and nothing made.
"""

import math
from typing import NamedTuple

import torch

from detr_attnviz.checkpoints.asked import printable

ITEM_BYTES = {
    "Double": 8,
    "Float": 4,
    "Half": 2,
    "BFloat16": 2,
    "Long": 8,
    "Int": 4,
    "Short": 2,
    "Char": 1,
    "Byte": 1,
    "Bool": 1,
    "ComplexDouble": 16,
    "ComplexFloat": 8,
    "Untyped": 1,
}
"""Bytes of one item by the name of its storage class, ``torch.FloatStorage``."""

_LARGEST = 1 << 62


class MisleadingError(ValueError):
    """A claim that the file itself contradicts, or that no detector makes; the message says which."""


class Storage(NamedTuple):
    """A storage that a pickle names: ``items`` of ``item_bytes`` each under ``key``, of a part from ``first`` on."""

    key: str
    items: int
    item_bytes: int
    first: int = 0

    @property
    def size_bytes(self) -> int:
        """All items together."""
        return self.items * self.item_bytes


def storage_of(kind: str, key: object, items: object) -> Storage:
    """The storage that a persistent id names; ``kind`` is the storage class with its module.

    Raises: MisleadingError for an id that torch never writes.
    """
    item_bytes = ITEM_BYTES.get(kind.rpartition(".")[2].removesuffix("Storage"))
    if item_bytes is None:
        raise MisleadingError(f"a storage is of {printable(kind)}, which is no kind of plain number")
    if not isinstance(key, str):
        raise MisleadingError(f"a storage's key is {_short(key)}; expected a text")
    return Storage(key, whole(items, "a storage's number of items"), item_bytes)


def part_of(storage: Storage, view: object) -> tuple[str, Storage]:
    """A part of a storage, as PyTorch before 0.4 wrote it (key, first item, number of items), and its key.

    Raises: MisleadingError when it leads outside.
    """
    if not isinstance(view, tuple) or len(view) != 3 or not isinstance(view[0], str):
        raise MisleadingError("a storage's part is not told by a key and two numbers")
    first, items = whole(view[1], "a part's first item"), whole(view[2], "a part's number of items")
    if first + items > storage.items:
        raise MisleadingError(f"a part ends at item {first + items:,} of a storage of {storage.items:,}")
    return view[0], storage._replace(items=items, first=first)


def check_tensor(args: tuple[object, ...], dtype: str | None = None) -> int:
    """The number of bytes that a tensor of these arguments of ``torch._utils._rebuild_tensor…`` has.

    ``dtype`` is the tensor's own where its storage has none.

    Values may be there several times (strides of 0, windows that overlap): whoever adds up all tensors bounds that.

    Raises: MisleadingError when it reaches outside its storage.
    """
    if len(args) < 4 or not isinstance(args[0], Storage):
        raise MisleadingError("a tensor is not made of a storage, an offset, sizes and strides")
    storage, offset, sizes, strides = args[0], whole(args[1], "a tensor's offset"), _sides(args[2]), _sides(args[3])
    if len(sizes) != len(strides):
        raise MisleadingError(f"a tensor has {len(sizes)} sizes and {len(strides)} strides")
    item_bytes = storage.item_bytes if dtype is None else _bytes_of(dtype)
    held = storage.size_bytes // item_bytes
    values = math.prod(sizes)
    last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    if values and last >= held:
        raise MisleadingError(
            f"a tensor of {' × '.join(f'{size:,}' for size in sizes)} claims {last + 1:,} values, and its storage "
            f"{printable(storage.key)} holds {held:,}"
        )
    return values * item_bytes


def whole(value: object, what: str) -> int:
    """A number of things.

    Raises: MisleadingError for anything else, also a negative one.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _LARGEST:
        raise MisleadingError(f"{what} is {_short(value)}, which is no number of things")
    return value


def _sides(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple) or len(value) > 64:
        raise MisleadingError("a tensor's sizes or strides are no row of numbers")
    return tuple(whole(side, "a tensor's size or stride") for side in value)


def _bytes_of(dtype: str) -> int:
    found = getattr(torch, dtype.removeprefix("torch."), None)
    if not isinstance(found, torch.dtype):
        raise MisleadingError(f"a tensor is of {printable(dtype)}, which is no kind of number")
    return found.itemsize


def _short(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and abs(value) < 1 << 70 else f"a {type(value).__name__}"
