"""Plays a pickle through without making anything of it: what it asks Python for, and what its tensors claim.

What passes is read by torch all the same with ``weights_only=True``: two doors, the first of which names all that it
keeps out, knows what the file holds besides, and has bounds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO

from detr_attnviz.checkpoints.claims import MisleadingError, Storage
from detr_attnviz.checkpoints.machine import DamagedError, Machine

MOST_BYTES = 1 << 26
"""Of one pickle, without the tensors' own data."""


@dataclass(frozen=True)
class Rehearsal:
    """What a pickle would do.

    ``asked`` are the names that it asks Python for beyond plain weights, sorted. ``storages`` are those that its
    tensors name, ``tensor_bytes`` what all its tensors come to. ``result`` is what it would give, as far as texts,
    numbers, tuples and lists go. ``trouble`` says why it could not be played to its end, and ``is_misleading`` that it
    claims what is not there.
    """

    asked: tuple[str, ...] = ()
    storages: Mapping[str, Storage] = field(default_factory=dict)
    tensor_bytes: int = 0
    result: object = None
    trouble: str = ""
    is_misleading: bool = False


def rehearse(file: IO[bytes]) -> Rehearsal:
    """Plays the pickle that begins here, and leaves ``file`` behind its end."""
    machine = Machine()
    trouble, is_misleading = "", False
    try:
        machine.play(_Bounded(file))
    except (MisleadingError, DamagedError) as error:
        trouble, is_misleading = str(error), isinstance(error, MisleadingError)
    except Exception as error:  # pickletools trips over damaged bytes in any way
        trouble = " ".join(str(error).split())[:160] or type(error).__name__
    asked = tuple(sorted(machine.asked))
    return Rehearsal(asked, machine.storages, machine.tensor_bytes, machine.result, trouble, is_misleading)


class _Bounded:
    """The part of a file that one pickle may take; what it claims beyond that is not even tried."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = MOST_BYTES

    def read(self, size: int) -> bytes:
        return self._taken(self._file.read(min(size, self._left + 1)))

    def readline(self) -> bytes:
        return self._taken(self._file.readline(self._left + 1))

    def _taken(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            raise DamagedError(
                f"over {MOST_BYTES >> 20} MB of pickle beside the tensors' data; no detector has as much"
            )
        return data
