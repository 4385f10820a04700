"""Arrays as a page carries them: base64 in inert tags of their own, the same content once; q and k as 16-bit integers.

Half-precision floats would miss values by more than a thousandth; integers with one scale per head and dimension have
the same two bytes and keep them.
"""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Row = dict[str, Any]
TOLERANCE = 1e-3
"""How far a map of 16-bit numbers may be from the record's, as a part of its peak; else they are written in 32."""
_DREGS = 1e-30
_SIGNED, _UNSIGNED = 2**15 - 1, 2**16 - 1


class Arrays:
    """What a page holds besides its document: arrays and pictures, each under an id."""

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}
        self._ids: dict[bytes, str] = {}
        self._count = {"a": 0, "p": 0}

    def add(self, values: NDArray[Any]) -> Row:
        """The document's entry of an array, which is kept once however often it is added."""
        data = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes()
        dtype = values.dtype.name
        return {"id": self._id("a", data, dtype), "dtype": dtype, "shape": list(values.shape)}

    def add_file(self, data: bytes) -> str:
        """The id of a file's bytes, such as a picture's."""
        return self._id("p", data)

    def tags(self) -> Iterator[bytes]:
        """One inert tag per array, in the order in which they came."""
        for name, data in self._data.items():
            yield b'<script type="application/octet-stream" id="%s">%s</script>\n' % (name.encode(), data)

    def _id(self, letter: str, data: bytes, dtype: str = "") -> str:
        digest = f"{letter}{dtype} ".encode() + hashlib.blake2b(data).digest()
        if digest not in self._ids:
            name = f"{letter}{self._count[letter]}"
            self._count[letter] += 1
            self._ids[digest], self._data[name] = name, base64.b64encode(data)
        return self._ids[digest]


@dataclass(frozen=True, eq=False)
class Packed:
    """Numbers as a page has them, and ``restored``, the float32 that it makes of them: ``values`` times ``scale``."""

    values: NDArray[Any]
    scale: NDArray[np.float32] | None
    restored: Tensor

    def entry(self, arrays: Arrays) -> Row:
        """The document's entry."""
        values = {"values": arrays.add(self.values)}
        return values if self.scale is None else {**values, "scale": arrays.add(self.scale)}


def as_floats(values: Tensor) -> Packed:
    """Float32."""
    restored = values.float()
    return Packed(array_of(restored), None, restored)


def as_integers(values: Tensor) -> Packed:
    """Signed 16 bits, with a scale for each head and dimension of ``[heads rows dim]``."""
    return _as_steps(values.float(), 1, _SIGNED)


def as_shares(values: Tensor) -> Packed:
    """Unsigned 16 bits, with a scale for each head of ``[heads …]``; none of the values is below zero."""
    return _as_steps(values.float(), tuple(range(1, values.dim())), _UNSIGNED)


def array_of(values: Tensor) -> NDArray[Any]:
    """A tensor of any device as an array."""
    array: NDArray[Any] = values.detach().cpu().numpy()
    return array


def largest_part(apart: Tensor, peaks: Tensor) -> float:
    """The largest of differences as parts of maps' peaks: 0 where both maps have no number, infinite where one has.

    Maps that are nothing but the dregs of float32 count as zero: there, digits are lost to both.
    """
    is_dregs = (peaks < _DREGS) & (apart < _DREGS)
    is_same = (apart == 0) | is_dregs | (peaks.isnan() & apart.isnan())
    return float(torch.where(is_same, 0.0, apart / peaks).nan_to_num(nan=torch.inf).amax())


def _as_steps(values: Tensor, over: int | tuple[int, ...], largest: int) -> Packed:
    scale = values.abs().amax(over, keepdim=True) / largest
    scale = torch.where(scale > 0, scale, 1.0)  # all zeros, or too small for a step to exist
    steps = (values / scale).round_().clamp_(-largest, largest)
    whole = array_of(steps).astype(np.int16 if largest == _SIGNED else np.uint16)
    return Packed(whole, array_of(scale.squeeze(over)), steps * scale)
