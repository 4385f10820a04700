"""The phases of the training: which pictures, how many of them, and how large the steps are."""

import math
from dataclasses import dataclass

SHIPPED_PX = 336
_WARM_UP_STEPS = 100


@dataclass(frozen=True)
class Phase:
    """One part of the run; `sides`: from which done part on, which sides of square pictures."""

    name: str
    share: float  # of the minutes of the run
    pictures: int  # a step, over all processes
    learning_rate: float
    last_rate: float  # what is left of it at the end
    sides: dict[float, tuple[int, ...]]
    decodes: bool = True
    encoder_rate: float = 1.0  # times the learning rate, for everything before the decoder
    frozen_norms: bool = False
    average_decay: float = 0.999  # of the averaged weights, per step

    def side_px(self, done: float, step: int) -> int:
        """The side of this step's pictures; several are used by turns."""
        sides = next(self.sides[start] for start in sorted(self.sides, reverse=True) if done >= start)
        return sides[step % len(sides)]

    def rate(self, done: float, step: int) -> float:
        """Warm-up at the start of the phase, then a cosine down to `last_rate`."""
        cosine = (1 + math.cos(math.pi * min(done, 1.0))) / 2
        return min(1.0, (step + 1) / _WARM_UP_STEPS) * (self.last_rate + (1 - self.last_rate) * cosine)


PHASES = (
    Phase(
        "encoder",
        share=0.08,
        pictures=32,
        learning_rate=1e-3,
        last_rate=0.1,
        sides={0: (160,), 0.5: (160, 192)},
        decodes=False,
    ),
    Phase(
        "detector",
        share=0.62,
        pictures=24,
        learning_rate=5e-4,
        last_rate=0.1,
        sides={
            0: (160,),
            0.25: (160, 192),
            0.4: (192, 224),
            0.5: (224, 288),
            0.65: (256, 320),
            0.8: (288, 352),
        },
        encoder_rate=0.3,
    ),
    Phase(
        "sharpen",
        share=0.3,
        pictures=16,
        learning_rate=2e-4,
        last_rate=0.01,
        sides={0: (320, 384), 0.4: (384,)},
        encoder_rate=0.3,
        frozen_norms=True,
        average_decay=0.995,
    ),
)
