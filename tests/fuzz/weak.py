"""A target with every fault there is, for the test of the watchdog."""

import os
import time
from collections.abc import Callable, Mapping
from random import Random

_kept: list[bytearray] = []


def _raise() -> None:
    raise ValueError("foreign")


def _take_memory() -> None:
    _kept.append(bytearray(b"x") * (520 << 20))


FAULTS: Mapping[bytes, Callable[[], object]] = {
    b"fine": lambda: None,
    b"raise": _raise,
    b"end": os.abort,
    b"hang": lambda: time.sleep(60),
    b"memory": _take_memory,
}


def seeds() -> tuple[bytes, ...]:
    """The names of the faults, the one that is none first."""
    return tuple(FAULTS)


def generate(random: Random) -> bytes:
    """One of them."""
    return random.choice(seeds())


def mutate(data: bytes, random: Random) -> bytes:
    """Another one."""
    return generate(random)


def run(data: bytes) -> None:
    """Shows it."""
    FAULTS[data]()
