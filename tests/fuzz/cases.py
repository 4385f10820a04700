"""The targets by name, and the cases that follow from a seed: the same on every machine."""

import traceback
from dataclasses import dataclass
from importlib import import_module
from random import Random
from typing import Protocol, cast

from tests.fuzz.memory import MOST_BYTES

TARGETS = ("checkpoint", "architecture", "picture", "options", "manifest")


class Target(Protocol):
    """What each target's module offers."""

    def seeds(self) -> tuple[bytes, ...]:
        """Inputs to start from."""

    def generate(self, random: Random) -> bytes:
        """An input."""

    def mutate(self, data: bytes, random: Random) -> bytes:
        """An input near another one."""

    def run(self, data: bytes) -> None:
        """Returns for whatever is right or refused in our own words, and raises for anything else."""


def target(name: str) -> Target:
    """The target of that name; its module brings torch with it."""
    return cast(Target, import_module(f"tests.fuzz.{name}"))


def spare_bytes(name: str) -> int:
    """What a case of the target may take beside twice its input; a target may have a number of its own."""
    return int(getattr(target(name), "SPARE_BYTES", MOST_BYTES))


def case(name: str, seed: int, number: int) -> bytes:
    """Case ``number`` of a campaign."""
    return target(name).generate(Random(f"{name}/{seed}/{number}"))


@dataclass(frozen=True)
class Fault:
    """What a target let through: the error's kind, the place in our code nearest to it, and the whole traceback."""

    kind: str
    place: str
    text: str

    @classmethod
    def of(cls, error: BaseException) -> "Fault":
        """The fault that an exception is."""
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "detr_attnviz" in frame.filename] or frames
        place = f"{ours[-1].filename.rpartition('detr_attnviz/')[2]}:{ours[-1].lineno}" if ours else ""
        kind = type(error).__name__ + (f" ({error})" if isinstance(error, AssertionError) else "")
        return cls(kind, place, "".join(traceback.format_exception(error))[-4000:])


def fault_of(name: str, data: bytes) -> Fault | None:
    """What is wrong with the answer to an input; ``None`` if nothing is."""
    try:
        target(name).run(data)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # SystemExit and Rust's panics too
        return Fault.of(error)
    return None
